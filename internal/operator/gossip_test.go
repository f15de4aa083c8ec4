package operator

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// story is a ledger in the hands of somebody with its key: it signs any tree.
type story struct {
	t      *testing.T
	signer note.Signer
	tree   ledger.Tree
	hashes []ledger.Hash
}

func (s *story) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	out := make([]ledger.Hash, len(indexes))
	for i, n := range indexes {
		out[i] = s.hashes[n]
	}
	return out, nil
}

func (s *story) grow(size int64, word string) {
	for s.tree.Size() < size {
		s.hashes = s.tree.Append(s.hashes, ledger.LeafHash([]byte(word)))
	}
}

func (s *story) at(size int64) verify.Note {
	s.t.Helper()
	root, err := ledger.RootAt(size, s)
	must(s.t, err)
	c := ledger.Checkpoint{Origin: "lab.example/custody", Size: size, Root: root}
	signed, err := note.Sign(&note.Note{Text: string(c.Body())}, s.signer)
	must(s.t, err)
	return verify.Note{Claimed: c, Signed: signed}
}

// shows is a service that has the first size entries of a story.
type shows struct {
	*story
	size    int64
	refuses error
}

func (s shows) Checkpoint(context.Context) ([]byte, error) { return s.at(s.size).Signed, nil }

func (s shows) Consistency(_ context.Context, from, to int64) ([]ledger.Hash, error) {
	if s.refuses != nil {
		return nil, s.refuses
	}
	return ledger.ProveConsistency(to, from, s)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newKey makes the key of a ledger.
func newKey(t *testing.T) (ledger.VerifierKey, note.Signer) {
	t.Helper()
	skey, vkey, err := ledger.GenerateKey(rand.Reader, "lab.example/custody")
	must(t, err)
	key, err := ledger.ParseVerifierKey(vkey)
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	return key, signer
}

func TestCompare(t *testing.T) {
	key, signer := newKey(t)
	otherKey, _, err := ledger.GenerateKey(rand.Reader, "lab.example/custody")
	must(t, err)
	otherSigner, err := note.NewSigner(otherKey)
	must(t, err)
	tell := func(word string) *story {
		s := &story{t: t, signer: signer}
		s.grow(5, "shared")
		s.grow(20, word)
		return s
	}
	ours, theirs, forged := tell("ours"), tell("theirs"), tell("ours")
	forged.signer = otherSigner
	elsewhere := ours.at(10)
	elsewhere.Claimed.Origin = "law.example/custody"

	for name, c := range map[string]struct {
		seen, note verify.Note
		service    shows
		want       Relation
		remembered int64
		err        error // of the comparison
	}{
		"the same":              {ours.at(10), ours.at(10), shows{}, Same, 10, nil},
		"newer":                 {ours.at(10), ours.at(12), shows{ours, 20, nil}, Same, 12, nil},
		"older":                 {ours.at(12), ours.at(10), shows{ours, 20, nil}, Same, 12, nil},
		"split, same size":      {ours.at(10), theirs.at(10), shows{}, SplitView, 10, nil},
		"split, newer":          {ours.at(10), theirs.at(12), shows{ours, 20, nil}, Unproven, 10, nil},
		"split, the other side": {ours.at(10), theirs.at(12), shows{theirs, 20, nil}, Unproven, 10, nil},
		"split, older":          {ours.at(12), theirs.at(10), shows{ours, 20, nil}, Unproven, 12, nil},
		"before the fork":       {ours.at(12), theirs.at(4), shows{ours, 20, nil}, Same, 12, nil},
		"the service is behind": {ours.at(10), ours.at(12), shows{ours, 11, nil}, Unproven, 10, nil},
		"it refuses":            {ours.at(10), ours.at(12), shows{ours, 20, api.NewProblem(api.CodeInvalid, "", "")}, Unproven, 10, nil},
		"it cannot be reached":  {ours.at(10), ours.at(12), shows{ours, 20, client.ErrUnreachable}, NotCompared, 10, client.ErrUnreachable},
		"it is unavailable":     {ours.at(10), ours.at(12), shows{ours, 20, api.CodeUnavailable}, NotCompared, 10, api.CodeUnavailable},
		"its key is another":    {ours.at(10), ours.at(12), shows{forged, 20, nil}, NotCompared, 10, ledger.ErrUnsigned},
		"signed by another":     {ours.at(10), forged.at(12), shows{ours, 20, nil}, NotSigned, 10, nil},
		"another ledger":        {ours.at(10), elsewhere, shows{}, UnknownLedger, 10, nil},
		"nothing seen":          {verify.Note{}, ours.at(12), shows{}, FirstSeen, 12, nil},
	} {
		place, err := NewPlace(t.TempDir())
		must(t, err)
		must(t, place.write(verify.Policy{Key: key}.Marshal(), verify.FileName(key.Origin())))
		if c.seen.Signed != nil {
			must(t, place.write(c.seen.Signed, "checkpoints", fileName(key.Origin())))
		}
		got, err := place.Compare(t.Context(), c.note, ProofOf(c.service, key))
		if err != nil || got.Relation != c.want || !errors.Is(got.Err, c.err) || (got.Kept != "") != (c.want == SplitView || c.want == Unproven) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		seen, err := place.Seen()
		if err != nil || len(seen) != 1 || seen[0].Claimed.Size != c.remembered {
			t.Errorf("%s: remembers %+v, %v", name, seen, err)
		}
		if got.Kept == "" {
			continue
		}
		text, err := os.ReadFile(got.Kept)
		must(t, err)
		notes, err := verify.ParseNotes(text)
		if err != nil || len(notes) != 2 || string(notes[0].Signed) != string(c.seen.Signed) || string(notes[1].Signed) != string(c.note.Signed) {
			t.Errorf("%s: kept %q, %v", name, text, err)
		}
	}
}

// TestCompareByMirror: the tiles of a mirror, which the ledger's key signed, prove a split
// view where the sizes differ, and no service has to answer.
func TestCompareByMirror(t *testing.T) {
	key, signer := newKey(t)
	ours, theirs := &story{t: t, signer: signer}, &story{t: t, signer: signer}
	ours.grow(20, "ours")
	theirs.grow(20, "theirs")
	for name, row := range map[string]struct {
		note verify.Note
		want Relation
	}{"one ledger": {ours.at(12), Same}, "split": {theirs.at(12), SplitView}} {
		place, err := NewPlace(t.TempDir())
		must(t, err)
		must(t, place.write(verify.Policy{Key: key}.Marshal(), verify.FileName(key.Origin())))
		must(t, place.write(ours.at(10).Signed, "checkpoints", fileName(key.Origin())))
		got, err := place.Compare(t.Context(), row.note, func(_ context.Context, from, to ledger.Checkpoint) ([]ledger.Hash, error) {
			return ledger.ProveConsistency(to.Size, from.Size, ours)
		})
		if err != nil || got.Relation != row.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestSeen: what somebody else put there is told, not passed over.
func TestSeen(t *testing.T) {
	place, err := NewPlace(t.TempDir())
	must(t, err)
	if seen, err := place.Seen(); err != nil || len(seen) != 0 {
		t.Errorf("nothing: %v, %v", seen, err)
	}
	must(t, place.write([]byte("x"), "checkpoints", "lab.example+custody"))
	if _, err := place.Seen(); !errors.Is(err, verify.ErrNotes) {
		t.Error(err)
	}
	must(t, os.Rename(place.path("checkpoints", "lab.example+custody"), filepath.Join(place.path("checkpoints"), ".new-1")))
	if seen, err := place.Seen(); err != nil || len(seen) != 0 {
		t.Errorf("a writer's leftover: %v, %v", seen, err)
	}
}

// TestSee: what contradicts what this machine saw, or is not proven by a service that
// answers, is a finding with both notes kept, and no two of them in one file; a service that
// cannot answer is to be asked again. Nothing but a proof lets the one take the place of the
// other.
func TestSee(t *testing.T) {
	key, signer := newKey(t)
	tell := func(word string) *story {
		s := &story{t: t, signer: signer}
		s.grow(20, word)
		return s
	}
	ours, theirs := tell("ours"), tell("theirs")
	proof := func(of *story) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			proven, err := ledger.ProveConsistency(12, 10, of)
			if err != nil {
				t.Error(err)
			}
			answer := api.Consistency{}
			for _, h := range proven {
				answer.Proof = append(answer.Proof, digest.SHA256(h))
			}
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				t.Error(err)
			}
		}
	}
	status := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	problem := func(code api.Code) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", api.ProblemType)
			w.WriteHeader(code.Status())
			if err := json.NewEncoder(w).Encode(api.NewProblem(code, "r", "")); err != nil {
				t.Error(err)
			}
		}
	}
	for name, row := range map[string]struct {
		note    verify.Note
		answer  http.HandlerFunc
		wantErr error
		finding bool // both notes are kept
	}{
		"the same":              {ours.at(10), status(500), nil, false},
		"proven":                {ours.at(12), proof(ours), nil, false},
		"a fork of one size":    {theirs.at(10), status(500), verify.ErrNotConsistent, true},
		"a proof of another":    {theirs.at(12), proof(ours), verify.ErrNotConsistent, true},
		"it has no such":        {theirs.at(12), status(404), ErrUnproven, true},
		"it has no such now":    {theirs.at(12), problem(api.CodeNotFound), ErrUnproven, true},
		"it takes no such":      {theirs.at(12), problem(api.CodeInvalid), ErrUnproven, true},
		"it forbids":            {theirs.at(12), status(403), ErrUnproven, true},
		"it wants a sign-in":    {theirs.at(12), status(401), ErrUnproven, true},
		"it is busy":            {theirs.at(12), problem(api.CodeBusy), client.ErrBusy, false},
		"it was too slow":       {theirs.at(12), problem(api.CodeTimeout), api.CodeTimeout, false},
		"it is asked too often": {theirs.at(12), status(429), api.CodeUnavailable, false},
		"it fails":              {theirs.at(12), status(500), api.CodeUnavailable, false},
		"it fails in a new way": {theirs.at(12), problem("new"), api.CodeUnavailable, false},
		"it is unavailable":     {theirs.at(12), status(503), api.CodeUnavailable, false},
		"its ledger stopped":    {theirs.at(12), problem(api.CodeLedgerStopped), api.CodeLedgerStopped, false},
		"it is cut":             {theirs.at(12), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, client.ErrUnreachable, false},
		"it is down":            {theirs.at(12), nil, client.ErrUnreachable, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := httptest.NewServer(row.answer)
			defer service.Close()
			if row.answer == nil {
				service.Close()
			}
			place, err := NewPlace(t.TempDir())
			must(t, err)
			o := &Operator{Config: Config{Place: place, Now: time.Now}, Binding: Binding{Origin: key.Origin(), VerifierKey: key}}
			o.Client, err = client.New(client.Config{Server: service.URL})
			must(t, err)
			defer o.Close()
			must(t, o.See(t.Context(), ours.at(10).Signed))
			err = o.See(t.Context(), row.note.Signed)
			kept := new(Contradiction)
			if !errors.Is(err, row.wantErr) || errors.As(err, &kept) != row.finding {
				t.Fatalf("%v, want %v", err, row.wantErr)
			}
			for _, word := range []error{verify.ErrNotConsistent, ErrUnproven} {
				if errors.Is(err, word) != errors.Is(row.wantErr, word) {
					t.Errorf("it says too much: %v", err)
				}
			}
			remembered := ours.at(10)
			if err == nil {
				remembered = row.note
			}
			seen, err := place.Seen()
			if err != nil || len(seen) != 1 || string(seen[0].Signed) != string(remembered.Signed) {
				t.Errorf("it remembers %+v, %v", seen, err)
			}
			if !row.finding {
				if _, err := os.Stat(place.path("forks")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("something was kept: %v", err)
				}
				return
			}
			if err := o.See(t.Context(), tell("others").at(row.note.Claimed.Size).Signed); !errors.As(err, new(*Contradiction)) {
				t.Error(err)
			}
			for path, want := range map[string]verify.Note{kept.Old: ours.at(10), kept.New: row.note} {
				text, err := os.ReadFile(path)
				if err != nil || string(text) != string(want.Signed) {
					t.Errorf("%s holds %q, %v", path, text, err)
				}
			}
			names, err := os.ReadDir(place.path("forks"))
			if err != nil || len(names) != 3 { // ours, and two of theirs
				t.Errorf("%d notes are kept: %v, %v", len(names), names, err)
			}
		})
	}
}
