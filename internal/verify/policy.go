package verify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrPolicy says that a text is not a policy.
var ErrPolicy = errors.New("not a policy")

// SPEC: "It is strongly recommended that an implementation supports at least up to 32
// logs, 32 witnesses, and 32 groups." (C2SP tlog-policy)
const (
	maxPolicy    = 64 << 10 // bytes
	maxWitnesses = 100      // and groups; a note has no more lines either
	maxName      = 100      // of a witness or group, bytes
)

// NoQuorum is the quorum that demands no witness.
const NoQuorum = "none"

// Policy is what the verifier believes before looking at anything.
type Policy struct {
	Key         ledger.VerifierKey // of the ledger, with its origin
	Witnesses   []Witness          // in the order of the file, like groups
	Groups      []Group
	Authorities []Authority // whose time stamps are believed, in the order of the file
	Anchors     int         // how many of them must have stamped a checkpoint that covers the whole bundle
	Quorum      string      // the witness or group that has to stand behind a checkpoint; empty or NoQuorum: none
}

// Witness is one that the verifier knows.
type Witness struct {
	Name string // in the policy; the key has the name in the notes
	Key  ledger.WitnessKey
}

// Group stands behind a checkpoint when at least K of its members do, each a witness or
// a group that stands before it in the policy.
type Group struct {
	Name    string
	K       int
	Members []string
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
	if err := p.whole(origin); err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrPolicy, err)
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
	case word == "witness":
		err = p.witness(value)
	case word == "group":
		err = p.group(value)
	case word == "authority":
		err = p.authority(value)
	case word == "anchors" && p.Anchors == 0:
		err = p.anchors(value)
	case word == "quorum" && p.Quorum == "":
		if value != NoQuorum && !p.defined(value) {
			return fmt.Errorf("quorum: %.100q is no witness or group above", value)
		}
		p.Quorum = value
	default:
		return fmt.Errorf("%.20q is unknown, or there already", word)
	}
	return err
}

// witness reads NAME VKEY.
func (p *Policy) witness(value string) error {
	name, text, ok := strings.Cut(value, " ")
	if !ok {
		return errors.New("witness: a name and the witness's key are due: witness NAME VKEY")
	}
	if err := p.newName(name); err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	key, err := ledger.ParseWitnessKey(text)
	switch {
	case err != nil:
		return fmt.Errorf("witness: %w", err)
	case slices.ContainsFunc(p.Witnesses, func(w Witness) bool { return w.Key.SameKey(key) }):
		return fmt.Errorf("witness: the key of %s is there already", name)
	case len(p.Witnesses) == maxWitnesses:
		return fmt.Errorf("witness: more than %d", maxWitnesses)
	}
	p.Witnesses = append(p.Witnesses, Witness{Name: name, Key: key})
	return nil
}

// group reads NAME K MEMBER…, where K may be the word any or all.
func (p *Policy) group(value string) error {
	words := strings.Split(value, " ")
	if len(words) < 3 {
		return errors.New("group: a name, how many, and its members are due: group NAME 2|any|all MEMBER…")
	}
	g := Group{Name: words[0], Members: words[2:]}
	if err := p.newName(g.Name); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	for i, m := range g.Members {
		switch {
		case !p.defined(m):
			return fmt.Errorf("group: %.100q is no witness or group above", m)
		case p.member(m) || slices.Contains(g.Members[:i], m):
			// SPEC: "Each defined name can be listed as a group member at most once."
			return fmt.Errorf("group: %s is a member already", m)
		}
	}
	switch k, err := strconv.Atoi(words[1]); {
	case words[1] == "any":
		g.K = 1
	case words[1] == "all":
		g.K = len(g.Members)
	case err != nil || strconv.Itoa(k) != words[1] || k < 1 || k > len(g.Members):
		return fmt.Errorf("group: %.20q is neither any nor all nor a number from 1 to %d", words[1], len(g.Members))
	default:
		g.K = k
	}
	if len(p.Groups) == maxWitnesses {
		return fmt.Errorf("group: more than %d", maxWitnesses)
	}
	p.Groups = append(p.Groups, g)
	return nil
}

// newName checks a name that a witness or group is to have. Unlike C2SP we take printing
// ASCII only: names are shown.
func (p *Policy) newName(name string) error {
	switch {
	case name == "" || len(name) > maxName || strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		return fmt.Errorf("a name is 1 to %d printing ASCII characters without space", maxName)
	case name == NoQuorum || p.defined(name):
		return fmt.Errorf("the name %s is taken", name)
	}
	return nil
}

func (p *Policy) defined(name string) bool {
	return slices.ContainsFunc(p.Witnesses, func(w Witness) bool { return w.Name == name }) ||
		slices.ContainsFunc(p.Groups, func(g Group) bool { return g.Name == name })
}

func (p *Policy) member(name string) bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool { return slices.Contains(g.Members, name) })
}

// whole checks what no line alone can tell.
func (p *Policy) whole(origin ledger.Origin) error {
	switch {
	case origin == "":
		return errors.New("no origin")
	case p.Key == ledger.VerifierKey{}:
		return errors.New("no log")
	case p.Origin() != origin:
		return fmt.Errorf("the key of %s in the policy of %s", p.Origin(), origin)
	case len(p.Witnesses) > 0 && p.Quorum == "":
		return errors.New("witnesses and no quorum: say who has to stand behind a checkpoint, or quorum none")
	}
	for _, w := range p.Witnesses {
		if w.Key.IsLedger(p.Key) {
			return fmt.Errorf("the witness %s signs with the ledger's own key", w.Name)
		}
	}
	return p.wholeAuthorities()
}

// Reached tells whether the quorum is, when these witnesses, by their names in the
// policy, stand behind a checkpoint. Without a quorum it always is.
func (p Policy) Reached(cosigned func(name string) bool) bool {
	if p.Quorum == "" || p.Quorum == NoQuorum {
		return true
	}
	stands := map[string]bool{}
	for _, w := range p.Witnesses {
		stands[w.Name] = cosigned(w.Name)
	}
	for _, g := range p.Groups { // members stand before their group
		n := 0
		for _, m := range g.Members {
			if stands[m] {
				n++
			}
		}
		stands[g.Name] = n >= g.K
	}
	return stands[p.Quorum]
}

// Marshal writes the policy in the form that ParsePolicy reads.
func (p Policy) Marshal() []byte {
	b := fmt.Appendf(nil, "origin %s\nlog %s\n", p.Origin(), p.Key)
	for _, w := range p.Witnesses {
		b = fmt.Appendf(b, "witness %s %s\n", w.Name, w.Key)
	}
	for _, g := range p.Groups {
		b = fmt.Appendf(b, "group %s %d %s\n", g.Name, g.K, strings.Join(g.Members, " "))
	}
	if p.Quorum != "" {
		b = fmt.Appendf(b, "quorum %s\n", p.Quorum)
	}
	return p.marshalAuthorities(b)
}

// FileName gives the name of the policy file of a ledger. No two origins share one.
func FileName(origin ledger.Origin) string {
	return strings.ReplaceAll(string(origin), "/", "+") + ".policy"
}
