package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/ledger"
)

// CosignedState says what a witness's line came to.
type CosignedState string

// The states of a witness's line.
const (
	CosignedValid   CosignedState = "valid"
	CosignedInvalid CosignedState = "invalid" // in the name of a witness of the policy, and does not hold
	CosignedAbsent  CosignedState = "absent"  // a witness of the policy that has no line
	CosignedUnknown CosignedState = "unknown" // of a key that the policy does not know: proves nothing
)

// Cosigned is a witness and its line in a checkpoint.
type Cosigned struct {
	Name  string        `json:"name"` // in the policy; where it is unknown there, in the checkpoint
	Key   string        `json:"key"`  // name and id in the checkpoint
	State CosignedState `json:"state"`
	Time  *ledger.Time  `json:"time,omitempty"` // of a valid line, by the witness's clock, to the second
}

// farOff is how far a witness's clock may stand from the ledger's without being told.
const farOff = time.Hour

// Cosignatures reads the witnesses' lines of a signed checkpoint by a policy: first its
// witnesses, then the lines of others but the ledger.
func (p Policy) Cosignatures(signed []byte) ([]Cosigned, error) {
	lines, err := ledger.SignatureLines(signed)
	if err != nil {
		return nil, err
	}
	known := map[ledger.SignatureLine]bool{{Name: p.Key.Name(), ID: p.Key.KeyHash()}: true}
	var list []Cosigned
	for _, w := range p.Witnesses {
		line := ledger.SignatureLine{Name: w.Key.Name(), ID: w.Key.KeyHash()}
		known[line] = true
		c := Cosigned{Name: w.Name, Key: line.String()}
		switch at, err := w.Key.Cosignature(signed); {
		case err == nil:
			t := ledger.TimeOf(at)
			c.State, c.Time = CosignedValid, &t
		case errors.Is(err, ledger.ErrNotCosigned):
			c.State = CosignedAbsent
		default:
			c.State = CosignedInvalid
		}
		list = append(list, c)
	}
	for _, line := range lines {
		if !known[line] {
			list = append(list, Cosigned{Name: clip(line.Name), Key: clip(line.String()), State: CosignedUnknown})
		}
	}
	return list, nil
}

// Demands tells whether the policy demands witnesses.
func (p Policy) Demands() bool { return p.Quorum != "" && p.Quorum != NoQuorum }

// judgeCosignatures finds lines that do not hold, and a quorum that is not reached.
func judgeCosignatures(p Policy, list []Cosigned, subject string, found *Found) {
	state := map[string]CosignedState{}
	var missing []string
	for _, c := range list {
		switch c.State {
		case CosignedInvalid:
			found.find(CodeCosignature, subject, "the line in the name of the witness %s (%s) does not hold", c.Name, c.Key)
		case CosignedUnknown:
			continue
		case CosignedValid, CosignedAbsent:
		}
		if state[c.Name] = c.State; c.State != CosignedValid {
			missing = append(missing, c.Name)
		}
	}
	if !p.Reached(func(name string) bool { return state[name] == CosignedValid }) {
		found.find(CodeWitnessQuorum, subject, "the policy demands %s, and without %s that is not reached",
			p.demand(p.Quorum), strings.Join(missing, ", "))
	}
}

// demand says in words what a witness or group stands for.
func (p Policy) demand(name string) string {
	i := slices.IndexFunc(p.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return "the witness " + name
	}
	g := p.Groups[i]
	return fmt.Sprintf("%d of %s (%s)", g.K, strings.Join(g.Members, ", "), g.Name)
}

// witnesses judges the witnesses' lines in the bundle's checkpoint.
func (j *judge) witnesses() {
	p := Policy{Key: j.key}
	if j.o.Policy != nil {
		p = *j.o.Policy
	}
	list, err := p.Cosignatures(j.note)
	if err != nil {
		// A checkpoint that is none has its finding; that it is not cosigned is another.
		list = nil
		for _, w := range p.Witnesses {
			list = append(list, Cosigned{Name: w.Name, Key: w.Key.Name(), State: CosignedAbsent})
		}
	}
	j.r.Witnesses = append(j.r.Witnesses, list...)
	judgeCosignatures(p, list, bundle.CheckpointFile, &j.r.Found)
}

// demandsWitnesses tells whether the verifier asked for witnesses.
func (j *judge) demandsWitnesses() bool { return j.o.Policy != nil && j.o.Policy.Demands() }

// clocks notes where a witness's clock stands far from the ledger's.
func (j *judge) clocks() {
	if j.r.Export == nil {
		return
	}
	for _, c := range j.r.Witnesses {
		if c.Time == nil {
			continue
		}
		why := "it was asked that much later, or a clock is wrong"
		off := c.Time.Std().Sub(j.r.Export.Time.Std())
		if off < 0 {
			why = "which did not exist then: a clock is wrong"
		}
		if off.Abs() > farOff {
			j.r.note("the witness %s cosigned at %s, the checkpoint ends with an entry of %s: %s", c.Name, c.Time, j.r.Export.Time, why)
		}
	}
}

// cosigned tells of the witnesses, for people.
func (r Report) cosigned() []string {
	var list []string
	for _, c := range r.Witnesses {
		switch c.State {
		case CosignedValid:
			list = append(list, fmt.Sprintf("%s cosigned at %s (%s)", c.Name, c.Time.Std().Format(time.RFC3339), c.Key))
		case CosignedInvalid:
			list = append(list, fmt.Sprintf("%s: the line in its name does not hold (%s)", c.Name, c.Key))
		case CosignedAbsent:
			list = append(list, fmt.Sprintf("%s has not cosigned (%s)", c.Name, c.Key))
		case CosignedUnknown:
			list = append(list, fmt.Sprintf("%s: a line of a key that the policy does not know, which proves nothing (%s)", c.Name, c.Key))
		}
	}
	return list
}
