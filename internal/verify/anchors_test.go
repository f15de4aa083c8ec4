package verify_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/timestamp"
	"github.com/custodyd/custodyd/internal/verify"
)

// anchorer is a story whose checkpoints are stamped by two authorities.
type anchorer struct {
	*bundletest.Story
	t    *testing.T
	tsas map[string]*authoritytest.Authority
	does map[string]authoritytest.Behaviour
	made []bundle.Anchor
}

func newAnchorer(t *testing.T) *anchorer {
	t.Helper()
	return &anchorer{
		Story: bundletest.NewStory(t), t: t, does: map[string]authoritytest.Behaviour{},
		tsas: map[string]*authoritytest.Authority{"lab2": authoritytest.New(t, "lab2"), "notary": authoritytest.New(t, "notary")},
	}
}

// stamp has the ledger as it stands stamped by these authorities.
func (a *anchorer) stamp(names ...string) bundle.Anchor {
	a.t.Helper()
	note := a.Checkpoint()
	made := bundle.Anchor{Size: a.Size(), Checkpoint: note}
	for _, name := range names {
		tsa := a.tsas[name]
		response := tsa.Stamp(a.t, note, nil, a.does[name])
		made.Stamps = append(made.Stamps, bundle.Stamp{
			Authority: name, Response: response, Certificates: timestamp.MarshalCertificates([]*x509.Certificate{tsa.Signer, tsa.Intermediate, tsa.Root}),
			Lists: timestamp.MarshalLists([]*x509.RevocationList{tsa.Revoke(a.t, tsa.Root), tsa.Revoke(a.t, tsa.Intermediate)}),
		})
	}
	a.made = append(a.made, made)
	return made
}

// tell records an entry of what was stamped.
func (a *anchorer) tell(made bundle.Anchor) {
	a.t.Helper()
	tree, err := ledger.OpenCheckpoint(made.Checkpoint, a.Key())
	if err != nil {
		a.t.Fatal(err)
	}
	b := evidence.CheckpointAnchored{Size: made.Size, Root: [32]byte(tree.Root), Note: sha256.Sum256(made.Checkpoint)}
	for _, s := range made.Stamps {
		token, err := timestamp.ParseResponse(s.Response, made.Checkpoint, nil)
		if err != nil {
			a.t.Fatal(err)
		}
		b.Tokens = append(b.Tokens, evidence.AnchorToken{Authority: s.Authority, Serial: token.Serial(), SHA256: sha256.Sum256(s.Response), Time: evidence.TimeOf(token.Time())})
	}
	a.Record(a.Event(evidence.CaseID{}, identity.Service, b))
}

// bundle gives the bundle of the case with all that was stamped.
func (a *anchorer) bundle() bundletest.Bag {
	a.t.Helper()
	src := a.Bundle()
	for i := range a.made {
		proof, err := ledger.ProveConsistency(a.Size(), a.made[i].Size, a)
		if err != nil {
			a.t.Fatal(err)
		}
		a.made[i].Proof = proof
	}
	src.Anchors = a.made
	return bundletest.Unpack(a.t, bundletest.Write(a.t, src))
}

// policy believes these authorities, and demands that many.
func (a *anchorer) policy(k int, names ...string) *verify.Policy {
	p := &verify.Policy{Key: a.Key(), Anchors: k}
	for _, name := range names {
		p.Authorities = append(p.Authorities, verify.Authority{Name: name, Root: a.tsas[name].Root})
	}
	return p
}

func states(r verify.Report) []string {
	list := []string{}
	for _, a := range r.Anchors {
		list = append(list, a.Authority+" "+string(a.State))
	}
	return list
}

// whole is an anchored story: an early stamp that the ledger tells of, and one of each
// authority over the export.
func whole(t *testing.T) (*anchorer, bundletest.Bag) {
	t.Helper()
	a := newAnchorer(t)
	past := func() time.Time { return a.Now().Add(time.Second) } // of the story's clock
	a.does["lab2"], a.does["notary"] = authoritytest.Behaviour{Now: past}, authoritytest.Behaviour{Now: past}
	a.tell(a.stamp("lab2"))
	a.Seal()
	a.stamp("lab2", "notary")
	return a, a.bundle()
}

func TestAnchored(t *testing.T) {
	a, bag := whole(t)
	r := judge(t, bag.Zip(t), verify.Options{Policy: a.policy(2, "lab2", "notary")})
	if r.Verdict != verify.Verified || len(r.Anchors) != 3 || len(r.Findings) > 0 {
		t.Fatal(r.Verdict, r.Findings, r.Anchors)
	}
	early, late := r.Anchors[0], r.Anchors[2]
	if early.Whole || early.Covers != 28 || early.Entries != 29 || !late.Whole || late.Covers != 30 || late.Signer != a.tsas["notary"].Signer.Subject.String() {
		t.Errorf("%+v", r.Anchors)
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"time stamps:\n  entries up to 28 existed before 2026-03-01T", "all of this existed before 2026-03-01T", "says notary (CN=notary signer,O=tests)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	for _, n := range r.NotChecked {
		if strings.Contains(n, "revoked") {
			t.Error(n)
		}
	}
	// Who is not in the policy is not believed, and not passed over either.
	r = judge(t, bag.Zip(t), verify.Options{Policy: a.policy(0, "notary")})
	if diff := cmp.Diff([]string{"lab2 unchecked", "lab2 unchecked", "notary verified"}, states(r)); diff != "" || r.Verdict != verify.Verified {
		t.Error(r.Verdict, diff)
	}
	if !slices.ContainsFunc(r.NotChecked, func(s string) bool { return strings.Contains(s, "the time stamps of lab2") }) {
		t.Errorf("%q", r.NotChecked)
	}
	r = judge(t, bag.Zip(t), verify.Options{})
	if diff := cmp.Diff([]string{"lab2 unchecked", "lab2 unchecked", "notary unchecked"}, states(r)); diff != "" || r.Verdict != verify.Incomplete {
		t.Error(r.Verdict, diff)
	}
}

// TestAnchorTamper changes what belongs to time stamps, each in its way.
func TestAnchorTamper(t *testing.T) {
	a, good := whole(t)
	own := a.Size()
	path := func(k bundle.Kind, size int64, name string) string { return bundle.AnchorPath(k, size, name) }
	stamp, early := path(bundle.KindStamp, own, "lab2"), path(bundle.KindStamp, 29, "lab2")
	quorum := "anchor-quorum " + bundle.CheckpointFile
	rogue := authoritytest.New(t, "lab2")
	note := good[path(bundle.KindAnchored, own, "")]
	for name, row := range map[string]struct {
		tamper func(bag bundletest.Bag)
		want   []string
	}{
		"nothing": {func(bundletest.Bag) {}, []string{}},
		"dropped": {func(b bundletest.Bag) { delete(b, stamp) }, []string{
			"anchor " + path(bundle.KindRevoked, own, "lab2"), "anchor " + path(bundle.KindCertificates, own, "lab2"), quorum,
		}},
		"all dropped": {func(b bundletest.Bag) {
			maps.DeleteFunc(b, func(p string, _ []byte) bool { return strings.HasPrefix(p, "data/anchors/") })
		}, []string{quorum}},
		"the early one dropped": {func(b bundletest.Bag) {
			maps.DeleteFunc(b, func(p string, _ []byte) bool { return strings.HasPrefix(p, "data/anchors/29") })
		}, []string{}},
		"flipped":      {func(b bundletest.Bag) { b.Flip(stamp, len(b[stamp])-5) }, []string{"anchor " + stamp, quorum}},
		"bytes behind": {func(b bundletest.Bag) { b[stamp] = append(slices.Clone(b[stamp]), 0) }, []string{"anchor " + stamp, quorum}},
		"of another":   {func(b bundletest.Bag) { b[stamp] = b[path(bundle.KindStamp, own, "notary")] }, []string{"anchor " + stamp, quorum}},
		"of earlier":   {func(b bundletest.Bag) { b[stamp] = b[early] }, []string{"anchor " + stamp, quorum}},
		"by a rogue":   {func(b bundletest.Bag) { b[stamp] = rogue.Stamp(t, note, nil, a.does["lab2"]) }, []string{"anchor " + stamp, quorum}},
		"another early": {func(b bundletest.Bag) {
			b[early] = a.tsas["lab2"].Stamp(t, b[path(bundle.KindAnchored, 29, "")], nil, a.does["lab2"])
		}, []string{"anchor " + early}},
		"back-dated": {func(b bundletest.Bag) {
			b[stamp] = a.tsas["lab2"].Stamp(t, note, nil, authoritytest.Behaviour{Now: func() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }})
		}, []string{"anchor-time " + stamp, quorum}},
		"without its certificates": {func(b bundletest.Bag) { delete(b, path(bundle.KindCertificates, own, "lab2")) }, []string{"anchor " + stamp, quorum}},
		"certificates garbled":     {func(b bundletest.Bag) { b.Flip(path(bundle.KindCertificates, own, "lab2"), 100) }, []string{"anchor " + stamp, quorum}},
		"lists garbled":            {func(b bundletest.Bag) { b.Flip(path(bundle.KindRevoked, own, "lab2"), 100) }, []string{"anchor " + stamp, quorum}},
		"revoked": {func(b bundletest.Bag) {
			tsa := a.tsas["lab2"]
			b[path(bundle.KindRevoked, own, "lab2")] = timestamp.MarshalLists([]*x509.RevocationList{tsa.Revoke(t, tsa.Intermediate, x509.RevocationListEntry{
				SerialNumber: tsa.Signer.SerialNumber, RevocationTime: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), ReasonCode: 1,
			})})
		}, []string{"anchor " + stamp, quorum}},
		"checkpoint unsigned": {func(b bundletest.Bag) { b.Flip(path(bundle.KindAnchored, own, ""), len(note)-10) }, []string{"anchor " + path(bundle.KindAnchored, own, ""), quorum}},
		"checkpoint gone":     {func(b bundletest.Bag) { delete(b, path(bundle.KindAnchored, own, "")) }, []string{"anchor " + path(bundle.KindAnchored, own, ""), quorum}},
		"proof gone":          {func(b bundletest.Bag) { delete(b, path(bundle.KindConsistency, 29, "")) }, []string{"anchor " + path(bundle.KindAnchored, 29, "")}},
		"proof of nothing":    {func(b bundletest.Bag) { b[path(bundle.KindConsistency, 29, "")] = nil }, []string{"anchor " + path(bundle.KindAnchored, 29, "")}},
		"proof garbled":       {func(b bundletest.Bag) { b.Flip(path(bundle.KindConsistency, 29, ""), 3) }, []string{"anchor " + path(bundle.KindAnchored, 29, "")}},
		"another size": {func(b bundletest.Bag) {
			for _, k := range []bundle.Kind{bundle.KindAnchored, bundle.KindConsistency} {
				b[path(k, 28, "")] = b[path(k, 29, "")]
			}
		}, []string{"anchor " + path(bundle.KindAnchored, 28, "")}},
	} {
		bag := good.Clone()
		row.tamper(bag)
		bag.Recompute()
		r := judge(t, bag.Zip(t), verify.Options{Policy: a.policy(2, "lab2", "notary")})
		slices.Sort(row.want)
		if diff := cmp.Diff(row.want, append([]string{}, codes(r.Findings)...)); diff != "" {
			t.Errorf("%s: %s\n%v", name, diff, r.Findings)
		}
	}
}

// Two names are two authorities only if other keys stand behind them.
func TestOneAuthorityTwoNames(t *testing.T) {
	a, bag := whole(t)
	tsa := a.tsas["lab2"]
	for _, k := range []bundle.Kind{bundle.KindStamp, bundle.KindCertificates, bundle.KindRevoked} {
		bag[bundle.AnchorPath(k, a.Size(), "notary")] = bag[bundle.AnchorPath(k, a.Size(), "lab2")]
	}
	bag.Recompute()
	template := *tsa.Root
	template.SerialNumber = big.NewInt(77)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, tsa.Root.PublicKey, tsa.KeyOf(tsa.Root))
	if err != nil {
		t.Fatal(err)
	}
	issuedAgain, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for name, second := range map[string]*x509.Certificate{"the root, issued again": issuedAgain, "the root's intermediate": tsa.Intermediate} {
		p := a.policy(2, "lab2")
		p.Authorities = append(p.Authorities, verify.Authority{Name: "notary", Root: second})
		slices.Reverse(p.Authorities)
		if _, err := verify.ParsePolicy(p.Marshal()); !errors.Is(err, verify.ErrPolicy) {
			t.Errorf("%s: is another authority: %v", name, err)
		}
		slices.Reverse(p.Authorities)
		if _, err := verify.ParsePolicy(p.Marshal()); !errors.Is(err, verify.ErrPolicy) {
			t.Errorf("%s: is another authority: %v", name, err)
		}
		// Nor does a policy count two that nobody has read from a file.
		r := judge(t, bag.Zip(t), verify.Options{Policy: p})
		if diff := cmp.Diff([]string{"anchor-quorum " + bundle.CheckpointFile}, codes(r.Findings)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		// One authority may have a root of either kind as a second one.
		p.Authorities[1].Name, p.Anchors = "lab2", 1
		if _, err := verify.ParsePolicy(p.Marshal()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not there, or does not fit, is told in the words that are true of it.
func TestAnchorWords(t *testing.T) {
	a, bag := whole(t)
	without := bag.Clone()
	maps.DeleteFunc(without, func(p string, _ []byte) bool { return strings.HasPrefix(p, "data/anchors/") })
	without.Recompute()
	late := bag.Clone()
	note := bag[bundle.AnchorPath(bundle.KindAnchored, a.Size(), "")]
	late[bundle.AnchorPath(bundle.KindStamp, a.Size(), "lab2")] = a.tsas["lab2"].Stamp(t, note, nil, authoritytest.Behaviour{Now: func() time.Time { return a.Now().AddDate(0, 9, 0) }})
	late.Recompute()
	wrong := a.policy(1)
	wrong.Authorities = append(wrong.Authorities, verify.Authority{Name: "lab2", Root: a.tsas["notary"].Root})
	const (
		notHere = "time stamps that the entries tell of and that are not in the bundle: of lab2 over 29 entries, of "
		unasked = "time stamps: none is demanded and none verified"
		failed  = "times: none of the time stamps that are demanded holds"
		later   = "it was asked for that much later, or a clock is wrong"
		nobody  = "with keys of their own; those that hold: none"
	)
	for name, row := range map[string]struct {
		bag    bundletest.Bag
		policy *verify.Policy
		want   []string
	}{
		"good":            {bag, a.policy(2, "lab2", "notary"), nil},
		"none, unasked":   {without, a.policy(0), []string{notHere, unasked}},
		"none, asked for": {without, a.policy(1, "lab2"), []string{notHere, failed, nobody}},
		"a wrong root":    {bag, wrong, []string{failed, nobody}},
		"unknown":         {bag, a.policy(0), []string{"not checked: lab2 says that all of this existed before 2026-", unasked}},
		"months later":    {late, a.policy(1, "lab2"), []string{later}},
	} {
		r := judge(t, row.bag.Zip(t), verify.Options{Policy: row.policy})
		var text bytes.Buffer
		if err := r.Text(&text); err != nil {
			t.Fatal(err)
		}
		for _, words := range []string{notHere, unasked, failed, later, nobody} {
			if strings.Contains(text.String(), words) != slices.Contains(row.want, words) {
				t.Errorf("%s: %q: want %v in\n%s", name, words, slices.Contains(row.want, words), &text)
			}
		}
		for _, words := range row.want {
			if !strings.Contains(text.String(), words) {
				t.Errorf("%s: no %q in\n%s", name, words, &text)
			}
		}
	}
}

// Another ledger's story, signed with the stolen key, does not take over a time stamp.
func TestAnchorOfAnotherStory(t *testing.T) {
	a := newAnchorer(t)
	a.stamp("lab2", "notary")
	a.Seal()
	bag := a.bundle()
	other := newAnchorer(t)
	other.Seal()
	forged := other.bundle()
	for path, data := range bag {
		if strings.HasPrefix(path, "data/anchors/") {
			forged[path] = data
		}
	}
	forged.Recompute()
	r := judge(t, forged.Zip(t), verify.Options{Policy: &verify.Policy{Key: other.Key()}})
	if !slices.Contains(codes(r.Findings), "anchor data/anchors/29.checkpoint") {
		t.Error(r.Findings)
	}
}

// What the entries say of time stamps is judged without any file of one.
func TestEntriesOfAnchors(t *testing.T) {
	a := newAnchorer(t)
	token := func(at time.Time) []evidence.AnchorToken {
		return []evidence.AnchorToken{{Authority: "lab2", Serial: "1", SHA256: [32]byte{1}, Time: evidence.TimeOf(at)}}
	}
	record := func(size int64, at time.Time) int64 {
		a.Record(a.Event(evidence.CaseID{}, identity.Service, evidence.CheckpointAnchored{Size: size, Note: [32]byte{1}, Tokens: token(at)}))
		return a.Size() - 1
	}
	record(1, a.Now())
	ahead := record(2, a.Now().Add(time.Hour))
	record(a.Size()+1, a.Now())
	a.Seal()
	r := judge(t, a.bundle().Zip(t), verify.Options{Policy: a.policy(0)})
	if diff := cmp.Diff([]string{"anchor entry 31"}, codes(r.Findings)); diff != "" {
		t.Error(diff)
	}
	if ahead != 30 || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "entry 30") && strings.Contains(n, "was behind") }) {
		t.Errorf("%d: %q", ahead, r.Notes)
	}
}

func TestAuthorityPolicy(t *testing.T) {
	a := newAnchorer(t)
	p := a.policy(2, "lab2", "notary")
	text := p.Marshal()
	again, err := verify.ParsePolicy(text)
	if err != nil || !bytes.Equal(again.Marshal(), text) || len(again.Authorities) != 2 || again.Anchors != 2 {
		t.Fatalf("%+v: %v", again, err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, bad := range map[string]string{
		"more than there are":  strings.Replace(string(text), "anchors 2", "anchors 3", 1),
		"none":                 strings.Replace(string(text), "anchors 2", "anchors 0", 1),
		"twice":                string(text) + "anchors 2\n",
		"in words":             strings.Replace(string(text), "anchors 2", "anchors two", 1),
		"a root twice":         string(text) + lines[2],
		"one root, two names":  string(text) + strings.Replace(lines[2], "lab2", "lab3", 1),
		"no root":              string(text) + "authority lab3\n",
		"no base64":            string(text) + "authority lab3 !\n",
		"no certificate":       string(text) + "authority lab3 AAAA\n",
		"a name of a path":     string(text) + strings.Replace(lines[2], "lab2", "../lab2", 1),
		"anchors, and no root": string(lines[0]) + lines[1] + "anchors 1\n",
	} {
		if _, err := verify.ParsePolicy([]byte(bad)); !errors.Is(err, verify.ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
