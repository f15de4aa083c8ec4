package signer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Listen makes the socket and listens on it. One that a signer left behind is
// replaced; one that somebody listens on is not. Closing the listener removes it.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	l, err := listen(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(ctx context.Context, path string) (_ net.Listener, err error) {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a directory", dir)
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return nil, fmt.Errorf("everybody can write to %s: put the socket into a directory of its own", dir)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	// It is made where nobody else can reach it, and appears with its mode.
	private, err := os.MkdirTemp(dir, ".signer-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(private)) }()
	hidden := filepath.Join(private, "s")
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", hidden)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(hidden, 0o660), os.Link(hidden, path)); err != nil { //nolint:gosec // its group is who may ask
		return nil, errors.Join(err, l.Close())
	}
	return &socket{Listener: l, path: path}, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("there is a file of that name, and it is not a socket")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("another signer listens on it"), conn.Close())
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return os.Remove(path)
}

// socket is a listener whose socket goes with it.
type socket struct {
	net.Listener
	path string
}

// Close implements [net.Listener].
func (s *socket) Close() error {
	if err := s.Listener.Close(); err != nil {
		return err // net.ErrClosed: the second time it may be another's
	}
	return os.Remove(s.path)
}
