package evidence

import (
	"fmt"
	"regexp"

	"github.com/custodyd/custodyd/internal/digest"
)

// MaxTokens is how many authorities one entry can tell of.
const MaxTokens = 20

var (
	authorityName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	tokenSerial   = regexp.MustCompile(`^(0|[1-9][0-9]{0,48})$`) // 160 bits
)

// CheckAuthority refuses what is no name of a time-stamping authority.
func CheckAuthority(name string) error {
	if !authorityName.MatchString(name) {
		return field("authority", "is %.60q, want 1 to 40 of a-z 0-9 -", name)
	}
	return nil
}

// CheckpointAnchored says that authorities have time-stamped (RFC 3161) a checkpoint of
// this ledger. The tokens themselves are kept beside the ledger; who has one can see by
// its hash that it is the one that the ledger tells of.
type CheckpointAnchored struct {
	Size   int64         `json:"size"`   // of the checkpoint, in entries
	Root   digest.SHA256 `json:"root"`   // of its tree
	Note   digest.SHA256 `json:"note"`   // SHA-256 of the signed checkpoint: what was stamped
	Tokens []AnchorToken `json:"tokens"` // by authority
}

// AnchorToken is the time stamp of one authority.
type AnchorToken struct {
	Authority string        `json:"authority"` // as the service's configuration calls it
	Serial    string        `json:"serial"`    // that the authority has given the token, in decimal
	SHA256    digest.SHA256 `json:"sha256"`    // of the response that holds the token
	Time      Time          `json:"time"`      // by the authority's clock
}

func (CheckpointAnchored) kind() Kind { return "checkpoint.anchored" }

func (b CheckpointAnchored) check() error {
	switch {
	case b.Size < 1 || b.Size > maxInteger:
		return field("body.size", "is %d", b.Size)
	case b.Note == (digest.SHA256{}):
		return field("body.note", "is all zeros")
	case len(b.Tokens) < 1 || len(b.Tokens) > MaxTokens:
		return field("body.tokens", "has %d rows, want 1 to %d", len(b.Tokens), MaxTokens)
	}
	last := ""
	for i, t := range b.Tokens {
		name := fmt.Sprintf("body.tokens[%d]", i)
		switch {
		case !authorityName.MatchString(t.Authority) || t.Authority <= last:
			return field(name+".authority", "is %.60q, want 1 to 40 of a-z 0-9 -, in order and once", t.Authority)
		case !tokenSerial.MatchString(t.Serial):
			return field(name+".serial", "is %.60q, want a decimal number", t.Serial)
		case t.SHA256 == (digest.SHA256{}):
			return field(name+".sha256", "is all zeros")
		case t.Time.IsZero():
			return field(name+".time", "is missing")
		}
		last = t.Authority
	}
	return nil
}

// apply has nothing to forbid: whether the checkpoint is one of this ledger, and the
// tokens are over it, is for those to judge who have them.
func (b CheckpointAnchored) apply(*frame) error { return nil }
