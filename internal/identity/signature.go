package identity

import (
	"bytes"
	"crypto/ed25519"
	_ "crypto/sha256" // hash algorithms of signatures
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// What Verify finds wrong with a signature.
var (
	ErrSignatureForm = errors.New("signature is not in the form ssh-keygen writes")
	ErrNamespace     = errors.New("signature is for another namespace")
	ErrSigner        = errors.New("signature is by another key")
	ErrPresence      = errors.New("signature without user presence")
	ErrSignature     = errors.New("signature does not match")
)

// Namespace keeps signatures made for one purpose from being used for another.
type Namespace string

// The namespaces we sign in and accept.
const (
	NamespaceEvent   Namespace = "custody-event"
	NamespaceSession Namespace = "custody-session"
)

// MaxSignature is the size in bytes above which no armored signature is read.
const MaxSignature = 16 << 10

// Verify returns nil if armored is the signature of message by key in the
// namespace ns. Otherwise the error is ErrPublicKey (key is the zero value),
// ErrNamespace, ErrSignatureForm, ErrSigner, ErrPresence or ErrSignature.
func Verify(key PublicKey, ns Namespace, message, armored []byte) error {
	return verify(key, ns, message, armored, ed25519.Verify)
}

// verify is Verify with what checks the signature itself. What that refuses is checked
// again by the libraries, which then say what is wrong.
func verify(key PublicKey, ns Namespace, message, armored []byte, check ed25519Check) error {
	if ns != NamespaceEvent && ns != NamespaceSession {
		return fmt.Errorf("%w: %q is none of ours", ErrNamespace, ns)
	}
	if verifyPlain(key, ns, message, armored, check) {
		return nil
	}
	return verifyAny(key, ns, message, armored)
}

// verifyAny is Verify for all kinds of keys and signatures.
func verifyAny(key PublicKey, ns Namespace, message, armored []byte) error {
	public, err := key.ssh()
	if err != nil {
		return err
	}
	sig, err := parseSignature(armored)
	if err != nil {
		return err
	}
	// The caller's namespace decides, never the one the signature brings.
	if sig.Namespace != string(ns) {
		return fmt.Errorf("%w: %q, want %q", ErrNamespace, sig.Namespace, ns)
	}
	if !bytes.Equal(sig.PublicKey.Marshal(), public.Marshal()) {
		return fmt.Errorf("%w: %s, want %s", ErrSigner, ssh.FingerprintSHA256(sig.PublicKey), key.Fingerprint())
	}
	if err := checkInner(key, sig.Signature); err != nil {
		return err
	}
	if err := sshsig.Verify(bytes.NewReader(message), sig, public, sig.HashAlgorithm, string(ns)); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// SignatureKey gives the public key that a signature brings along. It says by whose key the
// signature wants to be, and nothing of whether it holds.
func SignatureKey(armored []byte) (PublicKey, error) {
	sig, err := parseSignature(armored)
	if err != nil {
		return PublicKey{}, err
	}
	return newPublicKey(sig.PublicKey)
}

// parseSignature reads the one armored form of a signature.
func parseSignature(armored []byte) (*sshsig.Signature, error) {
	if len(armored) > MaxSignature {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrSignatureForm, MaxSignature)
	}
	sig, err := sshsig.Unarmor(armored)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignatureForm, err)
	}
	if !bytes.Equal(armor(sig), armored) {
		return nil, fmt.Errorf("%w: second spelling", ErrSignatureForm)
	}
	return sig, nil
}

// armorLine is the width at which OpenSSH breaks base64. sshsig.Armor breaks
// at 64, which would give every signature two files.
const armorLine = 70

// armor writes a signature as ssh-keygen -Y sign does.
func armor(sig *sshsig.Signature) []byte {
	text := base64.StdEncoding.AppendEncode(nil, sig.Marshal())
	var out bytes.Buffer
	out.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > 0 {
		n := min(armorLine, len(text))
		out.Write(text[:n])
		out.WriteByte('\n')
		text = text[n:]
	}
	out.WriteString("-----END SSH SIGNATURE-----\n")
	return out.Bytes()
}

// skFields follow the signature proper of an sk- key
// (OpenSSH PROTOCOL.u2f, "SSH U2F signatures").
type skFields struct {
	Flags   byte
	Counter uint32
}

const skUserPresent = 0x01

// checkInner checks what the ssh package is lenient about: bytes after the
// signature, numbers with spare zeros, and user presence.
func checkInner(key PublicKey, sig *ssh.Signature) error {
	switch key.Type() {
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		var fields skFields
		if err := ssh.Unmarshal(sig.Rest, &fields); err != nil {
			return fmt.Errorf("%w: %w", ErrSignatureForm, err)
		}
		if fields.Flags&skUserPresent == 0 {
			return ErrPresence
		}
	default:
		if len(sig.Rest) != 0 {
			return fmt.Errorf("%w: %d bytes after the signature", ErrSignatureForm, len(sig.Rest))
		}
	}
	switch key.Type() {
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256:
		var number struct{ R, S *big.Int }
		if err := ssh.Unmarshal(sig.Blob, &number); err != nil {
			return fmt.Errorf("%w: %w", ErrSignatureForm, err)
		}
		if !bytes.Equal(ssh.Marshal(number), sig.Blob) {
			return fmt.Errorf("%w: number with spare zeros", ErrSignatureForm)
		}
	}
	return nil
}
