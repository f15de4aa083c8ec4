package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrPolicy says that a text is not a policy.
var ErrPolicy = errors.New("not a policy")

const (
	maxPolicy    = 64 << 10 // bytes
	maxWitnesses = 100
)

// Policy is what the verifier believes before looking at anything.
type Policy struct {
	Key       ledger.VerifierKey // of the ledger, with its origin
	Witnesses []string           // names of those whose signatures are demanded, sorted
}

// Origin gives the ledger that the policy is about.
func (p Policy) Origin() ledger.Origin { return p.Key.Origin() }

// ParsePolicy reads a policy file. Unknown words, and words that stand there twice, are
// an ErrPolicy: a demand that is not understood must not be passed over.
func ParsePolicy(text []byte) (Policy, error) {
	if len(text) > maxPolicy {
		return Policy{}, fmt.Errorf("%w: longer than %d bytes", ErrPolicy, maxPolicy)
	}
	lines := strings.Split(string(text), "\n")
	if lines[len(lines)-1] != "" {
		return Policy{}, fmt.Errorf("%w: the last line has no end", ErrPolicy)
	}
	var p Policy
	var origin ledger.Origin
	for i, line := range lines {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.line(line, &origin); err != nil {
			return Policy{}, fmt.Errorf("%w: line %d: %w", ErrPolicy, i+1, err)
		}
	}
	switch {
	case origin == "":
		return Policy{}, fmt.Errorf("%w: no origin", ErrPolicy)
	case p.Key == ledger.VerifierKey{}:
		return Policy{}, fmt.Errorf("%w: no log", ErrPolicy)
	case p.Origin() != origin:
		return Policy{}, fmt.Errorf("%w: the key of %s in the policy of %s", ErrPolicy, p.Origin(), origin)
	}
	return p, nil
}

func (p *Policy) line(line string, origin *ledger.Origin) (err error) {
	word, value, _ := strings.Cut(line, " ")
	switch {
	case word == "origin" && *origin == "":
		*origin, err = ledger.ParseOrigin(value)
	case word == "log" && p.Key == ledger.VerifierKey{}:
		p.Key, err = ledger.ParseVerifierKey(value)
	case word == "witness" && len(p.Witnesses) < maxWitnesses:
		name, err := ledger.ParseOrigin(value) // names of notes are spelled like origins
		if err != nil {
			return fmt.Errorf("witness: %w", err)
		}
		i, found := slices.BinarySearch(p.Witnesses, string(name))
		if found {
			return errors.New("witness is there twice")
		}
		p.Witnesses = slices.Insert(p.Witnesses, i, string(name))
	default:
		return fmt.Errorf("%.20q is unknown, or there already", word)
	}
	return err
}

// Marshal writes the policy in the form that ParsePolicy reads.
func (p Policy) Marshal() []byte {
	b := fmt.Appendf(nil, "origin %s\nlog %s\n", p.Origin(), p.Key)
	for _, w := range p.Witnesses {
		b = fmt.Appendf(b, "witness %s\n", w)
	}
	return b
}

// FileName gives the name of the policy file of a ledger. No two origins share one.
func FileName(origin ledger.Origin) string {
	return strings.ReplaceAll(string(origin), "/", "+") + ".policy"
}
