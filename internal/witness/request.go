package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrRequest says that a body is not an add-checkpoint request in its one spelling.
var ErrRequest = errors.New("malformed add-checkpoint request")

const (
	// SPEC: "The client MUST NOT send more than 63 consistency proof lines."
	maxProof = 63
	// maxBody bounds a request and an answer: the proof, and a note with the lines of
	// many witnesses.
	maxBody = 64 << 10
)

// Request is what a ledger sends to a witness.
type Request struct {
	Old   int64         // size of the checkpoint that the witness cosigned last, 0 if none
	Proof []ledger.Hash // that the checkpoint continues it
	Note  []byte        // the signed checkpoint
}

// ParseRequest reads what Marshal writes. The note is read no further.
func ParseRequest(body []byte) (Request, error) {
	head, note, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return Request{}, fmt.Errorf("%w: no empty line before the checkpoint", ErrRequest)
	}
	lines := strings.Split(string(head), "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	if !ok || len(lines) > 1+maxProof {
		return Request{}, fmt.Errorf("%w: not a line with the old size and at most %d hashes", ErrRequest, maxProof)
	}
	r := Request{Note: note}
	var err error
	if r.Old, err = parseSize(size); err != nil {
		return Request{}, err
	}
	for _, line := range lines[1:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != len(ledger.Hash{}) || base64.StdEncoding.EncodeToString(raw) != line {
			return Request{}, fmt.Errorf("%w: a proof's line is not the base64 of 32 bytes", ErrRequest)
		}
		r.Proof = append(r.Proof, ledger.Hash(raw))
	}
	return r, nil
}

// Marshal writes the request.
func (r Request) Marshal() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.Note...)
}

// parseSize reads a decimal number without spare zeros.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > ledger.MaxInt || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%w: %.20q is not a tree size", ErrRequest, s)
	}
	return n, nil
}
