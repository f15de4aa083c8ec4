package bundle_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// anchored is a bundle with time stamps over checkpoints of many sizes.
func anchored(t *testing.T) (bundle.Source, *authoritytest.Authority) {
	t.Helper()
	s, tsa := bundletest.NewStory(t), authoritytest.New(t, "lab2")
	var made []bundle.Anchor
	stamp := func() {
		note := s.Checkpoint()
		made = append(made, bundle.Anchor{Size: s.Size(), Checkpoint: note, Stamps: []bundle.Stamp{{
			Authority: "lab2", Response: tsa.Stamp(t, note, nil, authoritytest.Behaviour{}),
			Certificates: timestamp.MarshalCertificates([]*x509.Certificate{tsa.Signer, tsa.Intermediate, tsa.Root}),
			Lists:        timestamp.MarshalLists([]*x509.RevocationList{tsa.Revoke(t, tsa.Root)}),
		}}})
	}
	for s.Size() < 33 {
		stamp()
		s.Record(s.Event(evidence.CaseID{}, identity.Service, evidence.ServiceStarted{Version: "1", Store: "s3", Bucket: "b", Lock: "none"}))
	}
	s.Seal()
	stamp()
	src := s.Bundle()
	for i := range made {
		proof, err := ledger.ProveConsistency(s.Size(), made[i].Size, s)
		if err != nil {
			t.Fatal(err)
		}
		made[i].Proof = proof
	}
	src.Anchors = made
	return src, tsa
}

// TestReadmeAnchors runs the commands of README.txt about time stamps, on what is in
// order and on what is not.
func TestReadmeAnchors(t *testing.T) {
	src, tsa := anchored(t)
	packed := bundletest.Unpack(t, bundletest.Write(t, src))
	last := src.Anchors[len(src.Anchors)-1].Size
	for name, row := range map[string]struct {
		tamper func(bag bundletest.Bag)
		roots  string
		block  int // that finds it; paragraphs: none
	}{
		"as it is":             {func(bundletest.Bag) {}, tsa.RootFile, paragraphs},
		"another root":         {func(bundletest.Bag) {}, authoritytest.New(t, "other").RootFile, readStamps},
		"a changed checkpoint": {func(b bundletest.Bag) { b.Flip("data/anchors/31.checkpoint", 30) }, tsa.RootFile, readAnchors},
		"a changed proof":      {func(b bundletest.Bag) { b.Flip("data/anchors/31.consistency", 3) }, tsa.RootFile, readAnchors},
		"a shorter proof": {func(b bundletest.Bag) {
			p := b["data/anchors/31.consistency"]
			b["data/anchors/31.consistency"] = p[:bytes.LastIndexByte(p[:len(p)-1], '\n')+1]
		}, tsa.RootFile, readAnchors},
		"another checkpoint": {func(b bundletest.Bag) { b["data/anchors/31.checkpoint"] = b["data/anchors/30.checkpoint"] }, tsa.RootFile, readAnchors},
		"a changed token": {func(b bundletest.Bag) {
			path := fmt.Sprintf("data/anchors/%d-lab2.tsr", last)
			b.Flip(path, len(b[path])-3)
		}, tsa.RootFile, readStamps},
		"a token over another": {func(b bundletest.Bag) { b["data/anchors/31-lab2.tsr"] = b["data/anchors/30-lab2.tsr"] }, tsa.RootFile, readStamps},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bag := packed.Clone()
			row.tamper(bag)
			dir := bag.WriteTo(t)
			for i, block := range commands(t, bag, src.Key.String()) {
				if i != readAnchors && i != readStamps || i > row.block {
					continue // each paragraph relies on those before it
				}
				out, ok := enter(t, "sh", dir, strings.Replace(block, "'ROOTS'", "'"+row.roots+"'", 1))
				if ok != (i != row.block) {
					t.Errorf("paragraph %d: in order %v:\n%s", i, ok, out)
				}
				if i == readStamps && ok && strings.Count(out, "entries existed before") != len(src.Anchors) {
					t.Error(out)
				}
			}
		})
	}
}

func TestAnchorPaths(t *testing.T) {
	src, _ := anchored(t)
	bag := bundletest.Unpack(t, bundletest.Write(t, src))
	opened, err := bundle.Open(t.Context(), bytes.NewReader(bag.Zip(t)), int64(len(bag.Zip(t))))
	if err != nil || len(opened.Faults()) > 0 {
		t.Fatal(err, opened.Faults())
	}
	for _, bad := range []string{
		"data/anchors/x.checkpoint", "data/anchors/0.checkpoint", "data/anchors/07.checkpoint", "data/anchors/7-.tsr", "data/anchors/7-A.tsr", "data/anchors/7.tsr",
		"data/anchors/7-a.crl", "data/anchors/7-" + strings.Repeat("a", 41) + ".tsr", "data/anchors/-7-a.tsr", "data/anchors/7-a.checkpoint", "data/anchors/7-a.b.pem",
	} {
		more := bag.Clone()
		more[bad] = nil
		more.Recompute()
		packed := more.Zip(t)
		opened, err := bundle.Open(t.Context(), bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			t.Fatal(err)
		}
		unknown := func(f bundle.Fault) bool { return f.Code == bundle.FaultUnknown && f.Path == bad }
		if !slices.ContainsFunc(opened.Faults(), unknown) {
			t.Errorf("%s: %v", bad, opened.Faults())
		}
	}
}

// What is no anchor of the ledger is not written.
func TestAnchorSource(t *testing.T) {
	for name, change := range map[string]func(*bundle.Anchor){
		"another size":  func(a *bundle.Anchor) { a.Size++ },
		"unsigned":      func(a *bundle.Anchor) { a.Checkpoint = a.Checkpoint[:len(a.Checkpoint)-5] },
		"a path":        func(a *bundle.Anchor) { a.Stamps[0].Authority = "../x" },
		"no response":   func(a *bundle.Anchor) { a.Stamps[0].Response = nil },
		"an early note": func(a *bundle.Anchor) { a.Stamps[0].Authority = "" },
	} {
		src, _ := anchored(t)
		change(&src.Anchors[rand.IntN(len(src.Anchors))])
		if err := bundle.Write(t.Context(), &bytes.Buffer{}, src); err == nil {
			t.Errorf("%s: was written", name)
		}
	}
}

// FuzzProof: what parses is written as the same bytes.
func FuzzProof(f *testing.F) {
	f.Add(bundle.MarshalProof([]ledger.Hash{{1}, {2}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		proof, err := bundle.ParseProof(text)
		if err == nil && !bytes.Equal(bundle.MarshalProof(proof), text) {
			t.Errorf("%q", text)
		}
	})
}
