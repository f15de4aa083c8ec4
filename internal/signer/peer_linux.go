package signer

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// peer is the process at the other end of a connection, when it connected.
type peer struct{ uid, gid, pid int64 }

// peerOf asks the system who is there (SO_PEERCRED, unix(7)).
func peerOf(conn net.Conn) (peer, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{}, fmt.Errorf("%T is no unix socket", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return peer{}, err
	}
	return peer{uid: int64(cred.Uid), gid: int64(cred.Gid), pid: int64(cred.Pid)}, nil
}
