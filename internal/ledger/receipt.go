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

// ErrReceipt says that a text is not a receipt of ours in its one spelling.
var ErrReceipt = errors.New("malformed receipt")

// Receipt shows that an entry stands in the ledger: a C2SP tlog-proof whose extra
// data is the entry's envelope. It is checked with nothing but the ledger's key.
type Receipt struct {
	Index      int64  // place in the ledger, from 0
	Envelope   []byte // of the entry at Index
	Proof      []Hash // inclusion proof, from the leaf's sibling to the root's child
	Checkpoint []byte // signed, of a tree that holds the entry
}

const (
	receiptHeader = "c2sp.org/tlog-proof@v1\n"
	// maxProof is the height of the tallest tree, one of MaxInt entries.
	maxProof = 53
)

// Marshal returns the receipt's text, for a file named *.tlog-proof.
func (r Receipt) Marshal() []byte {
	b := []byte(receiptHeader + "extra ")
	b = base64.StdEncoding.AppendEncode(b, r.Envelope)
	b = append(b, "\nindex "...)
	b = strconv.AppendInt(b, r.Index, 10)
	for _, h := range r.Proof {
		b = append(b, '\n')
		b = base64.StdEncoding.AppendEncode(b, h[:])
	}
	b = append(b, "\n\n"...)
	return append(b, r.Checkpoint...)
}

// ParseReceipt reads what Marshal writes, without checking what it claims. The
// extra line, which C2SP makes optional, has to be there.
//
// SPEC: "After the inclusion proof lines and an empty line, the checkpoint issued
// by the log is included verbatim" (C2SP tlog-proof)
func ParseReceipt(b []byte) (Receipt, error) {
	head, checkpoint, ok := bytes.Cut(b, []byte("\n\n"))
	text, isProof := strings.CutPrefix(string(head), receiptHeader)
	if !ok || !isProof || len(checkpoint) == 0 {
		return Receipt{}, fmt.Errorf("%w: not a C2SP tlog-proof", ErrReceipt)
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 2 || len(lines) > 2+maxProof {
		return Receipt{}, fmt.Errorf("%w: too few or too many lines", ErrReceipt)
	}
	extra, ok := strings.CutPrefix(lines[0], "extra ")
	envelope, err := parseBase64(extra)
	if !ok || err != nil {
		return Receipt{}, fmt.Errorf("%w: no envelope in an extra line", ErrReceipt)
	}
	if len(envelope) == 0 || len(envelope) > MaxEnvelope {
		return Receipt{}, fmt.Errorf("%w: extra: %w", ErrReceipt, ErrEnvelope)
	}
	number, ok := strings.CutPrefix(lines[1], "index ")
	index, err := parseInt(number)
	if !ok || err != nil {
		return Receipt{}, fmt.Errorf("%w: no index", ErrReceipt)
	}
	var proof []Hash
	for _, line := range lines[2:] {
		h, err := parseBase64Hash(line)
		if err != nil {
			return Receipt{}, fmt.Errorf("%w: proof: %w", ErrReceipt, err)
		}
		proof = append(proof, h)
	}
	return Receipt{Index: index, Envelope: envelope, Proof: proof, Checkpoint: bytes.Clone(checkpoint)}, nil
}

// Verify checks all that a receipt claims: the checkpoint is signed by the
// verifier, the ledger's, and its tree holds the envelope at its place. What
// it returns is then as trustworthy as the verifier; whether the envelope is of
// the expected payload and signature is for the caller to compare.
//
// SPEC: "Applications MUST NOT implicitly trust the extra data, as it is not
// authenticated." (C2SP tlog-proof) Here it is: the proof is over its hash.
func (r Receipt) Verify(verifier note.Verifier) (Envelope, Checkpoint, error) {
	c, err := OpenCheckpoint(r.Checkpoint, verifier)
	if err != nil {
		return Envelope{}, Checkpoint{}, fmt.Errorf("verify receipt: %w", err)
	}
	e, err := ParseEnvelope(r.Envelope)
	if err != nil {
		return Envelope{}, Checkpoint{}, fmt.Errorf("verify receipt: %w", err)
	}
	if e.Log != c.Origin {
		return Envelope{}, Checkpoint{}, fmt.Errorf("verify receipt: entry %w: %s, not %s", ErrOrigin, e.Log, c.Origin)
	}
	if e.Seq != r.Index {
		return Envelope{}, Checkpoint{}, fmt.Errorf("verify receipt: %w: entry %d at index %d", ErrSequence, e.Seq, r.Index)
	}
	if err := CheckInclusion(r.Proof, c.Size, c.Root, r.Index, LeafHash(r.Envelope)); err != nil {
		return Envelope{}, Checkpoint{}, fmt.Errorf("verify receipt: %w", err)
	}
	return e, c, nil
}
