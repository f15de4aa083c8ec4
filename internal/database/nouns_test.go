package database

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/ledger"
)

// sameNouns compares states, in whatever order their nouns stand; only that of
// people has a meaning.
var sameNouns = cmp.Options{
	cmp.Comparer(func(a, b evidence.Time) bool { return a == b }),
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b evidence.Case) bool { return bytes.Compare(a.ID[:], b.ID[:]) < 0 }),
	cmpopts.SortSlices(func(a, b evidence.Exhibit) bool {
		return a.Case.String()+string(a.Label) < b.Case.String()+string(b.Label)
	}),
	cmpopts.SortSlices(func(a, b evidence.Intake) bool { return bytes.Compare(a.Intake[:], b.Intake[:]) < 0 }),
	cmpopts.SortSlices(func(a, b evidence.Copy) bool { return bytes.Compare(a.Intake[:], b.Intake[:]) < 0 }),
	cmpopts.SortSlices(func(a, b evidence.Finding) bool {
		return a.Case.String() < b.Case.String() || a.Case == b.Case && a.Number < b.Number
	}),
	cmpopts.SortSlices(func(a, b evidence.Erasure) bool { return a.Entry < b.Entry }),
}

// record puts an event of the lab into the ledger, with what Apply said of it.
func record(tx *Tx, lab *evidencetest.Lab, e evidence.Event, ch evidence.Changes) error {
	payload, err := e.Encode()
	if err != nil {
		return err
	}
	id := ledger.CaseID(e.Case)
	head, err := tx.Head()
	if err != nil {
		return err
	}
	caseHead, err := tx.CaseHead(id)
	if err != nil {
		return err
	}
	signature := []byte("signature")
	env := ledger.Next(head, caseHead, ledger.Envelope{
		Case: id, Log: evidencetest.Origin, Payload: sha256.Sum256(payload), Sig: sha256.Sum256(signature),
		Time: ledger.TimeOf(lab.Position(e).Time.Time()), Type: ledger.Type(evidence.EntryTypeOf(e)),
	})
	line := env.Bytes()
	leaf := ledger.LeafHash(line)
	err = errors.Join(tx.Append(Entry{
		Seq: env.Seq, Case: id, CaseSeq: env.CaseSeq, EventID: e.ID, Leaf: leaf, Envelope: line, Payload: payload, Signature: signature,
	}), tx.Save(ch))
	if err != nil {
		return err
	}
	lab.Record(e, digest.SHA256(leaf), ch)
	return nil
}

// The law says the same over the rows as over a state in memory, event by event,
// and what it changes reads back the same.
func TestFold(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { foldBoth(t, seed) })
	}
}

func foldBoth(t *testing.T, seed uint64) {
	db := newDatabase(t)
	lab := evidencetest.New()
	choose := rand.New(rand.NewPCG(seed, 0)).IntN
	for range 12 { // transactions
		update(t, db, func(tx *Tx) error {
			for range 15 { // events
				e := lab.Draw(choose)
				at := lab.Position(e)
				want, wantErr := evidence.Apply(lab, e, at)
				got, gotErr := evidence.Apply(tx, e, at)
				if text(gotErr) != text(wantErr) {
					t.Fatalf("%s: over rows %v, in memory %v", e.Kind(), gotErr, wantErr)
				}
				if diff := differ(want, got); diff != "" {
					t.Fatalf("%s: (-memory +rows)\n%s", e.Kind(), diff)
				}
				if wantErr != nil {
					continue
				}
				if err := record(tx, lab, e, got); err != nil {
					return err
				}
				found(t, tx, got)
			}
			return nil
		})
	}
	view(t, db, func(tx *Tx) error {
		all, wrong, err := tx.All()
		if diff := differ(lab.All(), all); diff != "" || len(wrong) > 0 {
			t.Fatalf("rows %v are wrong (-memory +rows)\n%s", wrong, diff)
		}
		found(t, tx, all)
		listed(t, tx, all)
		return err
	})
}

// differ is cmp.Diff for nouns, quick where nothing differs.
func differ[T any](want, got T) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, sameNouns)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// found looks up each noun that was saved.
func found(t testing.TB, tx *Tx, ch evidence.Changes) {
	check := func(want, got any, err error) {
		t.Helper()
		if diff := differ(want, got); diff != "" || err != nil {
			t.Fatalf("%v (-saved +found)\n%s", err, diff)
		}
	}
	for _, want := range ch.People {
		got, err := tx.Person(want.Principal)
		check(want, got, err)
	}
	for _, want := range ch.Cases {
		got, err := tx.Case(want.ID)
		check(want, got, err)
		got, err = tx.CaseByReference(want.Reference)
		check(want, got, err)
	}
	for _, want := range ch.Exhibits {
		got, err := tx.Exhibit(want.Case, want.Label)
		check(want, got, err)
	}
	for _, want := range ch.Intakes {
		got, err := tx.Intake(want.Intake)
		check(want, got, err)
	}
	for _, want := range ch.Copies {
		got, err := tx.Copy(want.CopyID)
		check(want, got, err)
	}
	for _, want := range ch.Findings {
		got, err := tx.Finding(want.Case, want.Number)
		check(want, got, err)
	}
	for _, want := range ch.Erasures {
		got, err := tx.Erasure(want.Case, want.Leaf)
		check(want, got, err)
		e, err := tx.EntryAt(want.Entry)
		check(want.Residue, string(e.Payload), err)
		check(true, e.Erased, nil)
	}
}

// listed compares the lists with all there is.
func listed(t testing.TB, tx *Tx, all evidence.Changes) {
	var lists evidence.Changes
	var pending, pendingOf []evidence.Intake
	var err error
	add := func(e error) { err = errors.Join(err, e) }
	lists.People, err = tx.People()
	if !cmp.Equal(all.People, lists.People, sameNouns) {
		t.Fatalf("people are not in the order of enrolment")
	}
	cases, e := tx.Cases()
	add(e)
	lists.Cases = cases
	for _, c := range lists.Cases {
		exhibits, e := tx.Exhibits(c.ID)
		add(e)
		intakes, e := tx.Intakes(c.ID)
		add(e)
		mine, e := tx.Pending(c.ID)
		add(e)
		copies, e := tx.Copies(c.ID)
		add(e)
		findings, e := tx.Findings(c.ID)
		add(e)
		lists.Exhibits = append(lists.Exhibits, exhibits...)
		lists.Intakes = append(lists.Intakes, intakes...)
		pendingOf = append(pendingOf, mine...)
		lists.Copies = append(lists.Copies, copies...)
		lists.Findings = append(lists.Findings, findings...)
		erased, e := tx.Erasures(c.ID)
		add(e)
		lists.Erasures = append(lists.Erasures, erased...)
	}
	if diff := differ(all, lists); diff != "" || err != nil {
		t.Fatalf("%v (-all +listed)\n%s", err, diff)
	}
	for _, i := range all.Intakes {
		if i.State == evidence.Declared {
			pending = append(pending, i)
		}
	}
	got, err := tx.PendingIntakes()
	if diff := differ(pending, got) + differ(pending, pendingOf); diff != "" || err != nil {
		t.Fatalf("pending: %v\n%s", err, diff)
	}
}

// story gives a database in which there is a noun of every kind.
func story(t *testing.T) *DB {
	t.Helper()
	db := newDatabase(t)
	lab := evidencetest.New()
	choose := rand.New(rand.NewPCG(4, 0)).IntN
	update(t, db, func(tx *Tx) error {
		for range 400 {
			e := lab.Draw(choose)
			ch, err := evidence.Apply(lab, e, lab.Position(e))
			if err != nil {
				continue
			}
			if err := record(tx, lab, e, ch); err != nil {
				return err
			}
		}
		return nil
	})
	return db
}

// Somebody who writes a row is found out by whoever reads it.
func TestRowsThatWereWritten(t *testing.T) {
	type tampering struct{ table, set, problem string }
	tests := map[string]tampering{
		"key":          {"people", "key = 'ssh-ed25519 x'", "key is not what doc says"},
		"reference":    {"cases", "reference = reference || 'x'", "reference is not what doc says"},
		"finding":      {"findings", "exhibit = exhibit, state = 'closed'", "state is not what doc says"},
		"class":        {"copies", "class = 'derived'", "class is not what doc says"},
		"not JSON":     {"copies", "doc = 'x'", "doc: invalid character 'x' looking for beginning of value"},
		"empty":        {"copies", "doc = ''", "doc: unexpected end of JSON input"},
		"null":         {"copies", "doc = 'null'", "case_id is not what doc says"},
		"spaces":       {"copies", "doc = doc || ' '", "doc has another form than it was given"},
		"more members": {"copies", "doc = replace(doc, '{\"case\"', '{\"more\":1,\"case\"')", "doc has another form than it was given"},
		"member twice": {"copies", "doc = replace(doc, '{\"case\"', '{\"title\":\"x\",\"case\"')", "doc has another form than it was given"},
	}
	for _, table := range []string{"people", "cases", "exhibits", "intakes", "copies", "findings"} {
		tests[table+" changed"] = tampering{table, "changed = changed + 1", "changed is not what doc says"}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			db := story(t)
			update(t, db, func(tx *Tx) error {
				first := "(SELECT min(rowid) FROM " + test.table + ")"
				return tx.exec("UPDATE " + test.table + " SET " + test.set + " WHERE rowid = " + first)
			})
			view(t, db, func(tx *Tx) error {
				all, wrong, err := tx.All()
				if err != nil {
					return err
				}
				if len(wrong) != 1 || wrong[0].Table != test.table || wrong[0].Problem != test.problem || wrong[0].Key == "" {
					t.Fatalf("wrong are %v", wrong)
				}
				count := map[string]int{
					"people": len(all.People), "cases": len(all.Cases), "exhibits": len(all.Exhibits),
					"intakes": len(all.Intakes), "copies": len(all.Copies), "findings": len(all.Findings),
				}[test.table]
				var rows int
				if err := tx.one("SELECT count(*) FROM "+test.table, nil, &rows); err != nil {
					return err
				}
				if count != rows-1 {
					t.Errorf("%d of %d rows are read", count, rows)
				}
				return nil
			})
		})
	}
}

// Lookups and lists refuse a wrong row as a whole.
func TestReadRefusesWrongRows(t *testing.T) {
	db := story(t)
	var ch evidence.Changes
	view(t, db, func(tx *Tx) (err error) {
		ch, _, err = tx.All()
		return err
	})
	update(t, db, func(tx *Tx) error {
		for _, table := range []string{"people", "cases", "exhibits", "intakes", "copies", "findings"} {
			if err := tx.exec("UPDATE " + table + " SET changed = changed + 1"); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(tx *Tx) error {
		c := ch.Copies[0].CopyID
		for name, read := range map[string]func() (any, error){
			"person":            func() (any, error) { return tx.Person(ch.People[0].Principal) },
			"case":              func() (any, error) { return tx.Case(ch.Cases[0].ID) },
			"case by reference": func() (any, error) { return tx.CaseByReference(ch.Cases[0].Reference) },
			"exhibit":           func() (any, error) { return tx.Exhibit(ch.Exhibits[0].Case, ch.Exhibits[0].Label) },
			"intake":            func() (any, error) { return tx.Intake(ch.Intakes[0].Intake) },
			"copy":              func() (any, error) { return tx.Copy(c) },
			"finding":           func() (any, error) { return tx.Finding(ch.Findings[0].Case, ch.Findings[0].Number) },
			"people":            func() (any, error) { return tx.People() },
			"cases":             func() (any, error) { return tx.Cases() },
			"exhibits":          func() (any, error) { return tx.Exhibits(ch.Exhibits[0].Case) },
			"intakes":           func() (any, error) { return tx.Intakes(c.Case) },
			"copies":            func() (any, error) { return tx.Copies(c.Case) },
			"findings":          func() (any, error) { return tx.Findings(ch.Findings[0].Case) },
		} {
			noun, err := read()
			if _, ok := errors.AsType[*RowError](err); !ok || !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: error is %v", name, err)
			}
			if !reflect.ValueOf(noun).IsZero() {
				t.Errorf("%s: there is a noun beside the error: %v", name, noun)
			}
		}
		return nil
	})
}

// Masters come before working copies, and M2 before M10.
func TestOrderOfCopies(t *testing.T) {
	db := newDatabase(t)
	want := []string{"A-1/M1", "A-1/M2", "A-1/M10", "A-1/W1", "A-1/W2", "A-1/W11", "A-1/D1", "B-1/M1", "B-1/W1"}
	var ch evidence.Changes
	id := evidence.CaseID{1}
	ch.Cases = []evidence.Case{{ID: id, Reference: "r", State: evidence.Open}}
	for _, label := range []evidence.Name{"A-1", "B-1"} {
		ch.Exhibits = append(ch.Exhibits, evidence.Exhibit{Case: id, ExhibitDescription: evidence.ExhibitDescription{Label: label}})
	}
	for i, path := range []int{5, 0, 8, 2, 7, 4, 1, 3, 6} {
		label, number, _ := strings.Cut(want[path], "/")
		intake := uuid.UUID{15: byte(i)}
		ch.Intakes = append(ch.Intakes, evidence.Intake{
			Case: id, State: evidence.Sealed, By: "examiner1",
			IntakeDeclaration: evidence.IntakeDeclaration{Intake: intake, Exhibit: evidence.Name(label)},
		})
		ch.Copies = append(ch.Copies, evidence.Copy{
			CopyID: evidence.CopyID{Case: id, Exhibit: evidence.Name(label), Number: evidence.Number(number)},
			Class:  evidence.Number(number).Class(), Intake: intake, State: evidence.Sealed,
			SealedBy: "examiner1", Custodian: "examiner1",
		})
	}
	for i := range ch.Cases {
		ch.Cases[i].OpenedBy = "examiner1"
	}
	for i := range ch.Exhibits {
		ch.Exhibits[i].AddedBy = "examiner1"
	}
	update(t, db, func(tx *Tx) error { return tx.Save(ch) })
	view(t, db, func(tx *Tx) error {
		copies, err := tx.Copies(id)
		var got []string
		for _, c := range copies {
			got = append(got, c.CopyID.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("copies are %q, want %q", got, want)
		}
		return err
	})
}

func TestNotFound(t *testing.T) {
	db := newDatabase(t)
	view(t, db, func(tx *Tx) error {
		for name, read := range map[string]func() error{
			"person":            func() error { _, err := tx.Person("p"); return err },
			"case":              func() error { _, err := tx.Case(evidence.CaseID{1}); return err },
			"case by reference": func() error { _, err := tx.CaseByReference("r"); return err },
			"exhibit":           func() error { _, err := tx.Exhibit(evidence.CaseID{1}, "E"); return err },
			"intake":            func() error { _, err := tx.Intake(uuid.UUID{1}); return err },
			"copy":              func() error { _, err := tx.Copy(evidence.CopyID{}); return err },
			"finding":           func() error { _, err := tx.Finding(evidence.CaseID{1}, 1); return err },
			"entry":             func() error { _, err := tx.Entry(evidence.CaseID{1}, digest.SHA256{}); return err },
		} {
			if err := read(); !errors.Is(err, evidence.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
}
