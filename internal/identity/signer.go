package identity

import (
	"bytes"
	"context"
	"fmt"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Signer makes signatures that Verify accepts with its public key. Both methods
// may be called concurrently.
type Signer interface {
	// PublicKey returns the key that signs. It does not wait.
	PublicKey() PublicKey
	// Sign returns the armored signature of message in the namespace ns. It
	// may wait for a person to touch a key, until ctx is done.
	Sign(ctx context.Context, ns Namespace, message []byte) (armored []byte, err error)
}

// sign makes an armored signature and verifies it, so that a faulty agent or
// key file is noticed before the signature is recorded.
func sign(signer ssh.Signer, key PublicKey, ns Namespace, message []byte) ([]byte, error) {
	sig, err := sshsig.Sign(bytes.NewReader(message), signer, sshsig.HashSHA512, string(ns))
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", key.Fingerprint(), err)
	}
	// An agent may ignore the flag that asks for SHA-512.
	if key.Type() == ssh.KeyAlgoRSA && sig.Signature.Format != ssh.KeyAlgoRSASHA512 {
		return nil, fmt.Errorf("sign with %s: %w: got %s, want %s",
			key.Fingerprint(), ErrSignatureForm, sig.Signature.Format, ssh.KeyAlgoRSASHA512)
	}
	armored := armor(sig)
	if err := Verify(key, ns, message, armored); err != nil {
		return nil, fmt.Errorf("sign with %s: %w", key.Fingerprint(), err)
	}
	return armored, nil
}
