package operator

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh/agent"

	"github.com/custodyd/custodyd/internal/identity"
)

// ErrNoAgent: there is no ssh-agent to ask.
var ErrNoAgent = errors.New("no ssh-agent: SSH_AUTH_SOCK is not set")

// signer gives the signer of a binding. The passphrase is asked for when needed.
func (b Binding) signer(ctx context.Context, passphrase func() ([]byte, error)) (identity.Signer, error) {
	if b.AgentKey.IsZero() {
		return identity.LoadKeyFile(b.KeyFile, passphrase)
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, ErrNoAgent
	}
	return identity.NewAgent(ctx, socket, b.AgentKey)
}

// AgentKeys lists the keys that the ssh-agent holds and the service accepts.
func AgentKeys(ctx context.Context) (keys []identity.PublicKey, err error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, ErrNoAgent
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to ssh-agent: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	held, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("ask ssh-agent: %w", err)
	}
	for _, k := range held {
		key, _, err := identity.ParsePublicKey(k.Format + " " + base64.StdEncoding.EncodeToString(k.Blob))
		if err == nil { // others are of kinds that the service does not take
			keys = append(keys, key)
		}
	}
	return keys, nil
}
