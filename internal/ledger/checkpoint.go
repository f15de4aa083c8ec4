package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

var (
	// ErrCheckpoint says that a text is not a checkpoint of ours in its one spelling.
	ErrCheckpoint = errors.New("malformed checkpoint")
	// ErrUnsigned says that a checkpoint does not carry a valid signature of the
	// key that was asked for.
	ErrUnsigned = errors.New("checkpoint is not signed by the expected key")
)

// Checkpoint says what a ledger held when it had Size entries.
type Checkpoint struct {
	Origin Origin
	Size   int64
	Root   Hash
}

// Body returns the text that is signed: origin, size and root, a line each.
//
// SPEC: "The third line is the root hash, the base64 encoding of the root of the
// RFC 6962 Merkle hash tree at the specified tree size." (C2SP tlog-checkpoint)
func (c Checkpoint) Body() []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// ParseCheckpoint reads what Body writes. Extension lines, which C2SP allows and
// discourages, are refused: nobody could audit what they claim.
func ParseCheckpoint(body []byte) (Checkpoint, error) {
	lines := strings.Split(string(body), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: not three lines", ErrCheckpoint)
	}
	origin, err := ParseOrigin(lines[0])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	size, err := parseInt(lines[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: size: %w", ErrCheckpoint, err)
	}
	root, err := parseBase64Hash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: root: %w", ErrCheckpoint, err)
	}
	if size == 0 && root != emptyRoot {
		return Checkpoint{}, fmt.Errorf("%w: root: %w: not that of an empty tree", ErrCheckpoint, ErrProof)
	}
	return Checkpoint{Origin: origin, Size: size, Root: root}, nil
}

// OpenCheckpoint reads a signed checkpoint and checks the verifier's signature.
// Signatures of other keys, such as witnesses, may stand beside it. The verifier
// is the ledger's: its name has to be the checkpoint's origin.
func OpenCheckpoint(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	n, err := openNote(signed, verifier)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint([]byte(n.Text))
	if err != nil {
		return Checkpoint{}, err
	}
	if string(c.Origin) != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint of %s, key of %s", ErrOrigin, c.Origin, verifier.Name())
	}
	return c, nil
}

// SplitCheckpoint takes a signed checkpoint apart into the text that was signed
// and the 64 bytes of the Ed25519 signature, for `openssl pkeyutl -verify`. It
// checks the signature first.
func SplitCheckpoint(signed []byte, key VerifierKey) (body, sig []byte, err error) {
	n, err := openNote(signed, key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return []byte(n.Text), raw[4:], nil // the first four bytes are the key's id
}

func openNote(signed []byte, verifier note.Verifier) (*note.Note, error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
	var wrong *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &wrong), errors.As(err, &none):
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	return n, nil
}

// parseInt reads a decimal number from 0 to MaxInt without spare zeros or signs.
func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxInt || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%w: not a decimal number from 0 to 2^53-1", ErrSyntax)
	}
	return n, nil
}

// parseBase64Hash reads the standard base64 of a hash; decoding alone would
// accept line breaks and spare bits.
func parseBase64Hash(s string) (Hash, error) {
	b, err := parseBase64(s)
	if err != nil || len(b) != len(Hash{}) {
		return Hash{}, fmt.Errorf("%w: not the base64 of 32 bytes", ErrSyntax)
	}
	return Hash(b), nil
}

func parseBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || !bytes.Equal(base64.StdEncoding.AppendEncode(nil, b), []byte(s)) {
		return nil, fmt.Errorf("%w: not base64", ErrSyntax)
	}
	return b, nil
}
