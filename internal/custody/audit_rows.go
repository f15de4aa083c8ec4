package custody

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// rows compares the projections with the state that the entries make, row by row: of
// what it compares it holds the keys of one table.
func (a *audit) rows(tx *database.Tx) error {
	got, want, state := tx.Rows(), a.state.Nouns(), a.state
	type within struct { // a case
		id   evidence.CaseID
		name evidence.Name
	}
	type numbered struct {
		id     evidence.CaseID
		number int
	}
	err := errors.Join(
		compareRows(a, "people", want.People, got.People,
			func(p evidence.Person) identity.Principal { return p.Principal },
			func(p identity.Principal) string { return string(p) }, state.Person),
		compareRows(a, "cases", want.Cases, got.Cases,
			func(c evidence.Case) evidence.CaseID { return c.ID }, evidence.CaseID.String, state.Case),
		compareRows(a, "exhibits", want.Exhibits, got.Exhibits,
			func(x evidence.Exhibit) within { return within{x.Case, x.Label} },
			func(x within) string { return fmt.Sprintf("%s/%s", x.id, x.name) },
			func(x within) (evidence.Exhibit, error) { return state.Exhibit(x.id, x.name) }),
		compareRows(a, "intakes", want.Intakes, got.Intakes,
			func(i evidence.Intake) uuid.UUID { return i.Intake },
			func(id uuid.UUID) string { return fmt.Sprintf("%x", id[:]) }, state.Intake),
		compareRows(a, "copies", want.Copies, got.Copies,
			func(c evidence.Copy) evidence.CopyID { return c.CopyID },
			func(c evidence.CopyID) string { return fmt.Sprintf("%s/%s/%s", c.Case, c.Exhibit, c.Number) }, state.Copy),
		compareRows(a, "findings", want.Findings, got.Findings,
			func(f evidence.Finding) numbered { return numbered{f.Case, f.Number} },
			func(f numbered) string { return fmt.Sprintf("%s/%d", f.id, f.number) },
			func(f numbered) (evidence.Finding, error) { return state.Finding(f.id, f.number) }),
		a.erasures(want.Erasures, got.Erasures),
	)
	if err != nil {
		return err
	}
	return a.order(want.People, got.People)
}

// erasures compares those, which are few, by entry.
func (a *audit) erasures(want iter.Seq[evidence.Erasure], got iter.Seq2[evidence.Erasure, error]) error {
	erased := map[int64]evidence.Erasure{}
	for e := range want {
		erased[e.Entry] = e
	}
	return compareRows(a, "erasures", want, got, func(e evidence.Erasure) int64 { return e.Entry },
		func(entry int64) string { return strconv.FormatInt(entry, 10) },
		func(entry int64) (evidence.Erasure, error) {
			e, ok := erased[entry]
			if !ok {
				return e, evidence.ErrNotFound
			}
			return e, nil
		})
}

// rowName is how findings name a row: as [database.RowError] does.
func rowName(table, key string) string { return "table " + table + ", row " + key }

// compareRows compares the rows of a table with the nouns that they have to be, in both
// directions. Rows that were told to be damaged already are not told to be missing too.
func compareRows[N any, K comparable](a *audit, table string, want iter.Seq[N], got iter.Seq2[N, error],
	key func(N) K, words func(K) string, find func(K) (N, error),
) error {
	told := map[string]bool{}
	there := map[K]bool{}
	for noun, err := range got {
		if row, ok := errors.AsType[*database.RowError](err); ok {
			a.r.Rows++
			told[rowName(row.Table, row.Key)] = true
			a.find(CodeRowDamaged, rowName(row.Table, row.Key), "%s", row.Problem)
			continue
		}
		if err != nil {
			return err
		}
		a.r.Rows++
		k := key(noun)
		known, err := find(k)
		if err != nil || there[k] { // the state is in memory: it is not there
			a.find(CodeRowUnknown, rowName(table, words(k)), "no entry made it")
			continue
		}
		there[k] = true
		differ, err := differing(known, noun)
		if err != nil {
			return fmt.Errorf("%s: %w", rowName(table, words(k)), err)
		}
		if len(differ) > 0 {
			a.find(CodeRowDiffers, rowName(table, words(k)), "is not what the entries make, in: %s", strings.Join(differ, ", "))
		}
	}
	var missing []string
	for noun := range want {
		if k := key(noun); !there[k] && !told[rowName(table, words(k))] {
			missing = append(missing, rowName(table, words(k)))
		}
	}
	slices.Sort(missing)
	for _, name := range missing {
		a.find(CodeRowMissing, name, "the entries make it, and there is no row")
	}
	return nil
}

// differing names the members in which two nouns differ.
func differing(known, row any) ([]string, error) {
	a, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(row)
	if err != nil || bytes.Equal(a, b) {
		return nil, err
	}
	var x, y map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		return nil, err
	}
	var names []string
	for name := range x {
		if !bytes.Equal(x[name], y[name]) {
			names = append(names, name)
		}
	}
	for name := range y {
		if _, both := x[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// order compares the order of enrolment, which is a column of its own: who is first
// is the service.
func (a *audit) order(want iter.Seq[evidence.Person], got iter.Seq2[evidence.Person, error]) error {
	place := map[identity.Principal]int{}
	for p := range want {
		place[p.Principal] = len(place)
	}
	last := -1
	for p, err := range got {
		if _, damaged := errors.AsType[*database.RowError](err); damaged {
			continue
		}
		if err != nil {
			return err
		}
		i, ok := place[p.Principal]
		if ok && i < last {
			a.find(CodeRowOrder, rowName("people", string(p.Principal)), "stands behind people who were enrolled later")
		}
		last = max(last, i)
	}
	return nil
}
