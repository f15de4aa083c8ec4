package bundle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// Anchor is a checkpoint of the ledger that was given to time-stamping authorities.
type Anchor struct {
	Size       int64         // of its tree, in entries
	Checkpoint []byte        // what was stamped: signed by the ledger and nobody else
	Proof      []ledger.Hash // that the bundle's checkpoint continues it
	Stamps     []Stamp       // that came until the bundle was written; perhaps none
}

// Stamp is the time stamp of one authority.
type Stamp struct {
	Authority    string // as the ledger calls it
	Response     []byte // RFC 3161 TimeStampResp, in DER
	Certificates []byte // timestamp.MarshalCertificates
	Lists        []byte // timestamp.MarshalLists; empty: none could be had
}

// anchors writes the time stamps.
func (b *writer) anchors() error {
	for _, a := range b.src.Anchors {
		if err := b.anchor(a); err != nil {
			return fmt.Errorf("anchor at %d: %w", a.Size, err)
		}
	}
	return nil
}

func (b *writer) anchor(a Anchor) error {
	tree, err := ledger.OpenCheckpoint(a.Checkpoint, b.src.Key)
	if err != nil || tree.Size != a.Size {
		return fmt.Errorf("%w: its checkpoint is of another size, or not signed: %w", ErrSource, err)
	}
	err = errors.Join(
		b.add(AnchorPath(KindAnchored, a.Size, ""), a.Checkpoint),
		b.add(AnchorPath(KindConsistency, a.Size, ""), MarshalProof(a.Proof)),
	)
	for _, s := range a.Stamps {
		path := AnchorPath(KindStamp, a.Size, s.Authority)
		if _, ok := parsePath(path); !ok {
			return fmt.Errorf("%w: no file can be named after %q", ErrSource, s.Authority)
		}
		if _, e := timestamp.ParseResponse(s.Response, a.Checkpoint, nil); e != nil {
			return fmt.Errorf("%w: %s: %w", ErrSource, path, e)
		}
		err = errors.Join(err, b.add(path, s.Response), b.add(AnchorPath(KindCertificates, a.Size, s.Authority), s.Certificates))
		if len(s.Lists) > 0 {
			err = errors.Join(err, b.add(AnchorPath(KindRevoked, a.Size, s.Authority), s.Lists))
		}
	}
	return err
}

// MarshalProof writes a proof: a line of base64 for each hash.
func MarshalProof(proof []ledger.Hash) []byte {
	var text []byte
	for _, h := range proof {
		text = base64.StdEncoding.AppendEncode(text, h[:])
		text = append(text, '\n')
	}
	return text
}

// maxProof is how many hashes a proof can have: two for each level of a tree of 2^53.
const maxProof = 128

// ParseProof reads what MarshalProof writes and nothing else.
func ParseProof(text []byte) ([]ledger.Hash, error) {
	var proof []ledger.Hash
	for line := range strings.Lines(string(text)) {
		sum, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(line, "\n"))
		if err != nil || len(sum) != len(ledger.Hash{}) || len(proof) == maxProof {
			return nil, errors.New("not a proof")
		}
		proof = append(proof, ledger.Hash(sum))
	}
	if string(MarshalProof(proof)) != string(text) {
		return nil, errors.New("not a proof in its one form")
	}
	return proof, nil
}
