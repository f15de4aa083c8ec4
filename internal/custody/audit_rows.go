package custody

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
)

// rows compares the projections with the state that the entries make.
func (a *audit) rows(tx *database.Tx) error {
	got, damaged, err := tx.All()
	if err != nil {
		return err
	}
	told := map[string]bool{}
	for _, row := range damaged {
		name := rowName(row.Table, row.Key)
		told[name] = true
		a.find(CodeRowDamaged, name, "%s", row.Problem)
	}
	want := a.state.All()
	a.r.Rows += int64(len(damaged))
	err = errors.Join(
		compareRows(a, told, "people", want.People, got.People, func(p evidence.Person) string { return string(p.Principal) }),
		compareRows(a, told, "cases", want.Cases, got.Cases, func(c evidence.Case) string { return c.ID.String() }),
		compareRows(a, told, "exhibits", want.Exhibits, got.Exhibits, func(x evidence.Exhibit) string {
			return fmt.Sprintf("%s/%s", x.Case, x.Label)
		}),
		compareRows(a, told, "intakes", want.Intakes, got.Intakes, func(i evidence.Intake) string {
			return fmt.Sprintf("%x", i.Intake[:])
		}),
		compareRows(a, told, "copies", want.Copies, got.Copies, func(c evidence.Copy) string {
			return fmt.Sprintf("%s/%s/%s", c.Case, c.Exhibit, c.Number)
		}),
		compareRows(a, told, "findings", want.Findings, got.Findings, func(f evidence.Finding) string {
			return fmt.Sprintf("%s/%d", f.Case, f.Number)
		}),
		compareRows(a, told, "erasures", want.Erasures, got.Erasures, func(e evidence.Erasure) string { return fmt.Sprint(e.Entry) }),
	)
	if err != nil {
		return err
	}
	a.order(want.People, got.People)
	return nil
}

// rowName is how findings name a row: as [database.RowError] does.
func rowName(table, key string) string { return "table " + table + ", row " + key }

// compareRows compares the nouns of a table in both directions. Rows that were told
// to be damaged already are not told to be missing too.
func compareRows[N any](a *audit, told map[string]bool, table string, want, got []N, key func(N) string) error {
	docs := make(map[string][]byte, len(want))
	for _, noun := range want {
		doc, err := json.Marshal(noun)
		if err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		docs[rowName(table, key(noun))] = doc
	}
	for _, noun := range got {
		a.r.Rows++
		name := rowName(table, key(noun))
		doc, err := json.Marshal(noun)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		known, ok := docs[name]
		delete(docs, name)
		switch {
		case !ok:
			a.find(CodeRowUnknown, name, "no entry made it")
		case !bytes.Equal(known, doc):
			a.find(CodeRowDiffers, name, "is not what the entries make, in: %s", strings.Join(differing(known, doc), ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		if !told[name] {
			a.find(CodeRowMissing, name, "the entries make it, and there is no row")
		}
	}
	return nil
}

// differing names the members in which two JSON objects differ.
func differing(a, b []byte) []string {
	var x, y map[string]json.RawMessage
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return []string{"form"} // not of ours: every noun is an object
	}
	names := map[string]bool{}
	for name := range maps.Keys(x) {
		names[name] = !bytes.Equal(x[name], y[name])
	}
	for name := range maps.Keys(y) {
		names[name] = !bytes.Equal(x[name], y[name])
	}
	maps.DeleteFunc(names, func(_ string, differ bool) bool { return !differ })
	return slices.Sorted(maps.Keys(names))
}

// order compares the order of enrolment, which is a column of its own: who is first
// is the service.
func (a *audit) order(want, got []evidence.Person) {
	place := map[string]int{}
	for i, p := range want {
		place[string(p.Principal)] = i
	}
	last := -1
	for _, p := range got {
		i, ok := place[string(p.Principal)]
		if ok && i < last {
			a.find(CodeRowOrder, rowName("people", string(p.Principal)), "stands behind people who were enrolled later")
		}
		last = max(last, i)
	}
}
