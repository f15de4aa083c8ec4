package database

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
)

// What is erased is in no byte of the files: not in the entry, not in the rows that were
// made from it and written over since, not in the log.
func TestErasedBytesAreGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	db, err := Create(t.Context(), path, Meta{Origin: evidencetest.Origin, VerifierKey: "key"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	lab := evidencetest.New()
	choose := rand.New(rand.NewPCG(9, 0)).IntN
	act := func(tx *Tx, e evidence.Event) error {
		ch, err := evidence.Apply(tx, e, lab.Position(e))
		if err != nil {
			return err
		}
		return record(tx, lab, e, ch)
	}
	do := func(actor identity.Principal, c evidence.CaseID, body evidence.Body) {
		t.Helper()
		update(t, db, func(tx *Tx) error { return act(tx, lab.Event(actor, c, body)) })
	}
	for range len(evidencetest.Staff) {
		update(t, db, func(tx *Tx) error { return act(tx, lab.Draw(choose)) })
	}
	secret := "Jane-Doe-of-Salzburg"
	c := lab.CaseID()
	do("examiner1", c, evidence.CaseOpened{Reference: "secret-1", Title: secret, RetainDays: 30})
	var erase []int
	for n := range 40 {
		label := evidence.Name("X-" + strings.Repeat("1", n+1))
		erase = append(erase, len(lab.Past))
		do("custodian1", c, evidence.ExhibitAdded{ // of all sizes, over several pages
			Label: label, Kind: "disk", FoundBy: secret, FoundAt: secret, Witness: secret, Note: strings.Repeat(secret, 1+n*4),
		})
		id := lab.ID()
		erase = append(erase, len(lab.Past))
		do("examiner1", c, evidence.IntakeDeclared{
			Intake: id, Exhibit: label, Title: secret, Size: 4096,
			Acquisition: evidence.Acquisition{Tool: secret, Witness: secret, Place: secret, Command: strings.Repeat(secret, 1+n*2)},
		})
		do("examiner1", c, evidence.CopySealed{Facts: lab.Facts(id, "")})
		update(t, db, func(tx *Tx) error { // others go on
			for range 5 {
				e := lab.Draw(choose)
				ch, err := evidence.Apply(tx, e, lab.Position(e))
				if err != nil || e.Case == c {
					continue
				}
				if err := record(tx, lab, e, ch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if n := where(t, path, secret); n == 0 {
		t.Fatal("it is nowhere to begin with")
	}
	for n, past := range lab.Past {
		if past.Case == c && past.Kind() == "case.opened" {
			erase = append(erase, n)
		}
	}
	for _, n := range erase {
		b, err := lab.Erase(n)
		if err != nil {
			t.Fatal(err)
		}
		do("custodian1", c, b)
	}
	if done, err := db.Scrub(t.Context()); err != nil || !done {
		t.Fatalf("scrub: %v, %v", done, err)
	}
	if n := where(t, path, secret); n > 0 {
		t.Errorf("it is still in %d places", n)
	}
	view(t, db, func(tx *Tx) error { // a reader is in the way of the log
		if _, err := tx.Head(); err != nil {
			return err
		}
		do("custodian1", c, evidence.ExhibitAdded{Label: "Y", Kind: "disk", FoundBy: "a", FoundAt: "b", Witness: "c"})
		done, err := db.Scrub(t.Context())
		if done {
			t.Error("the log was cut while somebody read from it")
		}
		return err
	})
	damage, err := db.Damage(t.Context())
	if err != nil || len(damage) > 0 {
		t.Errorf("%v, %v", damage, err)
	}
}

// where counts a text in the files of a database.
func where(t *testing.T, path, text string) (n int) {
	t.Helper()
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		n += bytes.Count(data, []byte(text))
	}
	return n
}
