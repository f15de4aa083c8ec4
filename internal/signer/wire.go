package signer

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

const (
	maxProof   = 63      // hashes, more than a ledger of 2^53 entries needs
	maxRequest = 8 << 10 // bytes
	maxAnswer  = 4 << 10 // bytes
	plain      = "text/plain; charset=utf-8"
	keyPath    = "/key"
	lastPath   = "/last"
	signPath   = "/sign"
	anyHost    = "http://signer"
	maxHeaders = 4 << 10 // bytes
)

// errRequest says that a request is not of the form of the package comment.
var errRequest = errors.New("malformed request")

// request is what a signature is asked for.
type request struct {
	proof []ledger.Hash
	next  ledger.Checkpoint
}

// marshal writes what parseRequest reads.
func (r request) marshal() []byte {
	var b []byte
	for _, h := range r.proof {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, r.next.Body()...)
}

// parseRequest reads the body of a request; each has one spelling.
func parseRequest(body []byte) (request, error) {
	var r request
	for {
		line, rest, ok := bytes.Cut(body, []byte{'\n'})
		body = rest
		switch {
		case !ok:
			return request{}, fmt.Errorf("%w: no empty line", errRequest)
		case len(line) == 0:
			var err error
			if r.next, err = ledger.ParseCheckpoint(body); err != nil {
				return request{}, fmt.Errorf("%w: %w", errRequest, err)
			}
			return r, nil
		case len(r.proof) == maxProof:
			return request{}, fmt.Errorf("%w: more than %d hashes", errRequest, maxProof)
		}
		h, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(h) != len(ledger.Hash{}) || strings.ContainsRune(string(line), '\r') {
			return request{}, fmt.Errorf("%w: line %d is not the base64 of 32 bytes", errRequest, len(r.proof)+1)
		}
		r.proof = append(r.proof, ledger.Hash(h))
	}
}
