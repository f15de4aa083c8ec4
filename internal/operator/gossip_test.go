package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
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

// TestRefusal: a service that will not prove what its key has signed is a finding, and
// the notes of one fork never take the place of another's.
func TestRefusal(t *testing.T) {
	key, signer := newKey(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
	}))
	defer refusing.Close()
	place, err := NewPlace(t.TempDir())
	must(t, err)
	o := &Operator{Config: Config{Place: place, Now: time.Now}, Binding: Binding{Origin: key.Origin(), VerifierKey: key}}
	o.Client, err = client.New(client.Config{Server: refusing.URL})
	must(t, err)
	defer o.Close()
	for i, word := range []string{"ours", "theirs", "others"} {
		s := &story{t: t, signer: signer}
		s.grow(20, word)
		if i == 0 {
			must(t, o.See(t.Context(), s.at(10).Signed))
			continue
		}
		var kept *Contradiction
		if err := o.See(t.Context(), s.at(12).Signed); !errors.Is(err, verify.ErrNotConsistent) || !errors.As(err, &kept) {
			t.Fatal(err)
		}
		text, err := os.ReadFile(kept.New)
		must(t, err)
		if string(text) != string(s.at(12).Signed) {
			t.Errorf("%s holds %q", kept.New, text)
		}
	}
	names, err := os.ReadDir(place.path("forks"))
	must(t, err)
	if len(names) != 3 { // ours, and two of theirs
		t.Errorf("%d notes are kept: %v", len(names), names)
	}
}
