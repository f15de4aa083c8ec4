package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the signature type of a witness's key.
//
// SPEC: "Ed25519 public keys MAY be encoded as vkeys with signature type 0x04"
// (C2SP tlog-cosignature)
const algCosignature = 0x04

// maxSecond is the last one that a cosignature of ours can name, of the year 9999.
const maxSecond = int64(maxTime / 1e6)

var (
	// ErrCosignature says that a line in the name of a witness does not hold.
	ErrCosignature = errors.New("cosignature does not hold")
	// ErrNotCosigned says that a witness's line is not there.
	ErrNotCosigned = errors.New("not cosigned by the witness")
)

// WitnessKey is the public key of a witness together with its name, in the text form
// name+id+base64. It is a note.Verifier of cosignatures; the zero value verifies
// nothing.
type WitnessKey struct {
	name string
	key  [ed25519.PublicKeySize]byte
}

// ParseWitnessKey reads the text form of a witness's key. The name is 1 to 100
// printing ASCII characters without space and plus.
func ParseWitnessKey(s string) (WitnessKey, error) {
	name, rest, _ := strings.Cut(s, "+")
	_, text, ok := strings.Cut(rest, "+")
	if !ok || !validWitnessName(name) {
		return WitnessKey{}, fmt.Errorf("parse witness key: %w: not name+id+base64", ErrSyntax)
	}
	raw, err := parseBase64(text)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algCosignature {
		return WitnessKey{}, fmt.Errorf("parse witness key: %w: not an Ed25519 key for cosignatures (type 0x04)", ErrSyntax)
	}
	k := WitnessKey{name: name, key: [ed25519.PublicKeySize]byte(raw[1:])}
	if k.String() != s {
		return WitnessKey{}, fmt.Errorf("parse witness key: %w: the id is not that of the key", ErrSyntax)
	}
	return k, nil
}

func validWitnessName(s string) bool {
	return len(s) >= 1 && len(s) <= maxOrigin &&
		strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == '+' || r > '~' }) < 0
}

// Name returns the witness's name.
func (k WitnessKey) Name() string { return k.name }

// KeyHash returns the key's id in a note.
//
// SPEC: "SHA-256(<name> || "\n" || 0x04 || 32-byte Ed25519 cosigner public key)[:4]"
// (C2SP tlog-cosignature)
func (k WitnessKey) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(k.name+"\n"), k.encoded()...))
	return binary.BigEndian.Uint32(sum[:])
}

// Verify reports whether sig, eight bytes of time and 64 of Ed25519, is this witness's
// cosignature of a checkpoint's body.
func (k WitnessKey) Verify(body, sig []byte) bool {
	if k == (WitnessKey{}) || len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return at <= uint64(maxSecond) && ed25519.Verify(k.key[:], cosigned(at, body), sig[8:])
}

// SameKey reports whether two witnesses are one key, be it under two names.
func (k WitnessKey) SameKey(other WitnessKey) bool { return k.key == other.key }

// IsLedger reports whether the witness signs with the ledger's own key, and so is none.
func (k WitnessKey) IsLedger(ledger VerifierKey) bool { return k.key == ledger.key }

// String returns the text form, name+id+base64.
func (k WitnessKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.KeyHash(), base64.StdEncoding.EncodeToString(k.encoded()))
}

// MarshalText writes what String returns.
func (k WitnessKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what ParseWitnessKey reads.
func (k *WitnessKey) UnmarshalText(text []byte) error {
	parsed, err := ParseWitnessKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

func (k WitnessKey) encoded() []byte { return append([]byte{algCosignature}, k.key[:]...) }

// cosigned is what a witness signs.
//
// SPEC: "The signed message MUST be two newline (U+000A) terminated lines (one header
// line and one timestamp line) followed by the whole note body of the cosigned
// checkpoint" (C2SP tlog-cosignature)
func cosigned(at uint64, body []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), body...)
}

// GenerateWitnessKey makes a witness's key pair: the secret key for NewCosigner and the
// text of the WitnessKey.
func GenerateWitnessKey(rand io.Reader, name string) (skey, vkey string, err error) {
	if !validWitnessName(name) {
		return "", "", fmt.Errorf("generate witness key: %w: the name is not 1 to %d printing ASCII characters without space and plus",
			ErrSyntax, maxOrigin)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return "", "", fmt.Errorf("generate witness key: %w", err)
	}
	c := cosignerOf(name, seed)
	secret := base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, seed...))
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, c.key.KeyHash(), secret), c.key.String(), nil
}

// A Cosigner holds a witness's secret key. It signs what it is given: whether a
// checkpoint continues the one before is for its caller to know.
type Cosigner struct {
	key    WitnessKey
	secret ed25519.PrivateKey
}

// NewCosigner reads a secret key from GenerateWitnessKey. No error repeats it.
func NewCosigner(skey string) (Cosigner, error) {
	parts := strings.SplitN(skey, "+", 5)
	if len(parts) != 5 || parts[0] != "PRIVATE" || parts[1] != "KEY" || !validWitnessName(parts[2]) {
		return Cosigner{}, fmt.Errorf("secret key of a witness: %w", ErrSyntax)
	}
	raw, err := parseBase64(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != algCosignature {
		return Cosigner{}, fmt.Errorf("secret key of a witness: %w: not an Ed25519 key for cosignatures", ErrSyntax)
	}
	c := cosignerOf(parts[2], raw[1:])
	if parts[3] != fmt.Sprintf("%08x", c.key.KeyHash()) {
		return Cosigner{}, fmt.Errorf("secret key of a witness: %w: the id is not that of the key", ErrSyntax)
	}
	return c, nil
}

func cosignerOf(name string, seed []byte) Cosigner {
	secret := ed25519.NewKeyFromSeed(seed)
	return Cosigner{
		key:    WitnessKey{name: name, key: [ed25519.PublicKeySize]byte(secret[ed25519.SeedSize:])},
		secret: secret,
	}
}

// Key returns the public key that verifies what this cosigner signs.
func (c Cosigner) Key() WitnessKey { return c.key }

// Cosign returns the signature line, with its newline, that says: at this second, the
// checkpoint was the largest one that the witness had seen of that ledger, and continued
// all that it had seen before. at must be after 1970 and before the year 10000.
func (c Cosigner) Cosign(body []byte, at time.Time) (string, error) {
	second := at.Unix()
	if second < 0 || second > maxSecond {
		return "", fmt.Errorf("cosign: %w: the time %s", ErrSyntax, at)
	}
	if c.secret == nil {
		return "", fmt.Errorf("cosign: %w: no key", ErrSyntax)
	}
	raw := binary.BigEndian.AppendUint32(nil, c.key.KeyHash())
	raw = binary.BigEndian.AppendUint64(raw, uint64(second))
	raw = append(raw, ed25519.Sign(c.secret, cosigned(uint64(second), body))...)
	return "— " + c.key.name + " " + base64.StdEncoding.EncodeToString(raw) + "\n", nil
}

// Cosignature finds the witness's line in a signed checkpoint and tells the second at
// which it was made. It is ErrNotCosigned when there is none, ErrCosignature when there
// is one that does not hold, and ErrCheckpoint when it is no note. The ledger's own
// signature is for OpenCheckpoint to check.
func (k WitnessKey) Cosignature(signed []byte) (time.Time, error) {
	_, at, err := k.line(signed)
	return at, err
}

func (k WitnessKey) line(signed []byte) (string, time.Time, error) {
	n, err := note.Open(signed, note.VerifierList(k))
	var wrong *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &wrong):
		return "", time.Time{}, fmt.Errorf("%w: %s", ErrCosignature, k.name)
	case errors.As(err, &none):
		return "", time.Time{}, fmt.Errorf("%w: %s", ErrNotCosigned, k.name)
	case err != nil:
		return "", time.Time{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	sig := n.Sigs[0]
	raw, err := parseBase64(sig.Base64)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%w: %s: %w", ErrCosignature, k.name, err)
	}
	at := int64(binary.BigEndian.Uint64(raw[4:])) //nolint:gosec // Verify has held it against maxSecond
	return "— " + sig.Name + " " + sig.Base64 + "\n", time.Unix(at, 0).UTC(), nil
}

// SignatureLine names whose line stands in a note, which proves nothing.
type SignatureLine struct {
	Name string
	ID   uint32 // of the key
}

// String returns name+id, as a verifier key begins.
func (l SignatureLine) String() string { return fmt.Sprintf("%s+%08x", l.Name, l.ID) }

// SignatureLines lists whose lines stand in a note, in their order, checking none.
func SignatureLines(signed []byte) ([]SignatureLine, error) {
	n, err := note.Open(signed, note.VerifierList())
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &none):
		n = none.Note
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	lines := make([]SignatureLine, len(n.UnverifiedSigs))
	for i, s := range n.UnverifiedSigs {
		lines[i] = SignatureLine{Name: s.Name, ID: s.Hash}
	}
	return lines, nil
}

// Cosigned makes one checkpoint of several that differ in their witnesses' lines only:
// the body, the ledger's line from the first, which must hold, and of each of these
// witnesses, in their order, the first line found that holds. All others are left out.
func Cosigned(key VerifierKey, witnesses []WitnessKey, signed ...[]byte) ([]byte, error) {
	if len(signed) == 0 {
		return nil, fmt.Errorf("%w: none", ErrCheckpoint)
	}
	n, err := openNote(signed[0], key)
	if err != nil {
		return nil, err
	}
	out := []byte(n.Text + "\n— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n")
	for _, w := range witnesses {
		for _, s := range signed {
			if !bytes.HasPrefix(s, []byte(n.Text+"\n")) {
				return nil, fmt.Errorf("%w: of another checkpoint", ErrCosignature)
			}
			if line, _, err := w.line(s); err == nil {
				out = append(out, line...)
				break
			}
		}
	}
	return out, nil
}
