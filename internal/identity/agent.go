package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// ErrAgentKey says that the ssh-agent does not hold the key.
var ErrAgentKey = errors.New("ssh-agent does not hold the key")

// Agent is a Signer whose private key lives in an ssh-agent. It connects for
// every signature, so that the agent may be restarted in between.
type Agent struct {
	socket string
	key    PublicKey
}

// NewAgent returns a signer for key over the agent's Unix socket, usually the
// value of SSH_AUTH_SOCK. It asks the agent whether it holds the key: if not,
// the error is ErrAgentKey.
func NewAgent(ctx context.Context, socket string, key PublicKey) (*Agent, error) {
	a := &Agent{socket, key}
	if err := a.with(ctx, func(ssh.Signer) error { return nil }); err != nil {
		return nil, err
	}
	return a, nil
}

// PublicKey returns the key that signs.
func (a *Agent) PublicKey() PublicKey { return a.key }

// Sign asks the agent to sign. RSA signatures are made with SHA-512.
func (a *Agent) Sign(ctx context.Context, ns Namespace, message []byte) ([]byte, error) {
	var armored []byte
	err := a.with(ctx, func(signer ssh.Signer) (err error) {
		armored, err = sign(signer, a.key, ns, message)
		return err
	})
	if err != nil {
		return nil, err
	}
	return armored, nil
}

// with connects to the agent and calls use with the agent's signer for the key.
// When ctx is done the connection fails at once.
func (a *Agent) with(ctx context.Context, use func(ssh.Signer) error) (err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", a.socket)
	if err != nil {
		return fmt.Errorf("connect to ssh-agent: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	signer, err := a.find(conn)
	if err == nil {
		err = use(signer)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("ask ssh-agent: %w", err)
	}
	return nil
}

// find returns the agent's signer for the key.
func (a *Agent) find(conn net.Conn) (ssh.Signer, error) {
	key, err := a.key.ssh()
	if err != nil {
		return nil, err
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, err
	}
	for _, signer := range signers {
		if bytes.Equal(signer.PublicKey().Marshal(), key.Marshal()) {
			return signer, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrAgentKey, a.key.Fingerprint())
}
