package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// TestWitnesses puts lines under the checkpoint of a bundle, in every receipt too, and
// judges by policies that demand them.
func TestWitnesses(t *testing.T) {
	story := tell(t)
	note := story.bag[bundle.CheckpointFile]
	body := note[:bytes.Index(note, []byte("\n\n"))+1]
	exported := judge(t, story.packed, verify.Options{Policy: &story.policy}).Export.Time.Std()
	a, b, c := witnessKey(t, "a.example/w"), witnessKey(t, "b.example/w"), witnessKey(t, "c.example/w")
	line := func(w ledger.Cosigner, body []byte, at time.Time) string {
		t.Helper()
		text, err := w.Cosign(body, at)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	soon := exported.Add(time.Second)
	good := map[string]string{"a": line(a, body, soon), "b": line(b, body, soon), "c": line(c, body, soon)}
	other := line(b, append([]byte("other."), body...), soon)
	policy := story.policy
	policy.Witnesses = []verify.Witness{{Name: "A", Key: a.Key()}, {Name: "B", Key: b.Key()}}
	policy.Groups = []verify.Group{{Name: "both", K: 2, Members: []string{"A", "B"}}}
	with := func(quorum string) *verify.Policy {
		p := policy
		p.Quorum = quorum
		return &p
	}
	quorum, false2 := "witness-quorum data/checkpoint", "cosignature data/checkpoint"
	for name, row := range map[string]struct {
		lines   string
		policy  *verify.Policy
		want    []string
		states  string // of A, B and strangers
		noticed string // in notes
	}{
		"both":               {good["a"] + good["b"], with("both"), nil, "valid valid", ""},
		"other order":        {good["b"] + good["a"], with("both"), nil, "valid valid", ""},
		"one of two":         {good["b"], with("both"), []string{quorum}, "absent valid", ""},
		"one that is enough": {good["b"], with("B"), nil, "absent valid", ""},
		"none":               {"", with("A"), []string{quorum}, "absent absent", ""},
		"not demanded":       {"", with(verify.NoQuorum), nil, "absent absent", ""},
		"of another tree":    {good["a"] + other, with("both"), []string{false2, quorum}, "valid invalid", ""},
		"false, not needed":  {good["a"] + other, with("A"), []string{false2}, "valid invalid", ""},
		"a stranger":         {good["c"], with("A"), []string{quorum}, "absent absent unknown", ""},
		"with a stranger":    {good["c"] + good["a"], with("A"), nil, "valid absent unknown", ""},
		"no witnesses known": {good["c"], &story.policy, nil, "unknown", ""},
		"a day later":        {line(a, body, exported.Add(24*time.Hour)), with("A"), nil, "valid absent", "it was asked that much later, or a clock is wrong"},
		"a day before":       {line(a, body, exported.Add(-24*time.Hour)), with("A"), nil, "valid absent", "which did not exist then: a clock is wrong"},
	} {
		bag := story.bag.Clone()
		for path, text := range bag {
			if path == bundle.CheckpointFile || strings.HasPrefix(path, "data/proofs/") {
				bag[path] = append(bytes.Clone(text), row.lines...)
			}
		}
		bag.Recompute()
		r := judge(t, bag.Zip(t), verify.Options{Policy: row.policy})
		if got := codes(r.Findings); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q", name, got)
		}
		var states []string
		for _, w := range r.Witnesses {
			states = append(states, string(w.State))
		}
		if got := strings.Join(states, " "); got != row.states {
			t.Errorf("%s: %s", name, got)
		}
		notes := strings.Join(r.Notes, "\n")
		if noticed := strings.Contains(notes, "the witness"); noticed != (row.noticed != "") || !strings.Contains(notes, row.noticed) {
			t.Errorf("%s: %q", name, r.Notes)
		}
		if told := slices.ContainsFunc(r.NotChecked, func(s string) bool { return strings.HasPrefix(s, "outside witnesses") }); told == row.policy.Demands() {
			t.Errorf("%s: not checked: %q", name, r.NotChecked)
		}
		var text strings.Builder
		if err := r.Text(&text); err != nil || strings.Contains(text.String(), "witnesses:\n") != (len(states) > 0) {
			t.Errorf("%s: %v\n%s", name, err, &text)
		}
	}
}
