package database

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"github.com/custodyd/custodyd/internal/evidence"
)

// RowError means that a projection's row is not what Save wrote for its noun:
// somebody else wrote it. It is an ErrDamaged.
type RowError struct {
	Table   string // such as copies
	Key     string // which row, as the columns have it
	Problem string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("table %s, row %s: %s", e.Table, e.Key, e.Problem)
}

// Unwrap returns ErrDamaged.
func (e *RowError) Unwrap() error { return ErrDamaged }

// table says how nouns of one kind lie in the database.
type table[N any] struct {
	name    string
	keys    []string       // the columns that name the noun
	columns []string       // the columns beside doc, keys first
	row     func(*N) []any // their values: string, int64 or []byte
	read    string         // SELECT … FROM name
	save    string         // INSERT … or UPDATE
}

func newTable[N any](name string, keys, others []string, row func(*N) []any) table[N] {
	t := table[N]{name: name, keys: keys, columns: append(append([]string{}, keys...), others...), row: row}
	all := append(append([]string{}, t.columns...), "doc")
	var set []string
	for _, c := range all[len(keys):] {
		set = append(set, c+" = excluded."+c)
	}
	t.read = "SELECT " + strings.Join(all, ", ") + " FROM " + name + " "
	into, place := t.insert()
	t.save = into + place + " ON CONFLICT (" + strings.Join(keys, ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
	return t
}

var (
	people = newTable("people", []string{"principal"}, []string{"key", "changed"},
		func(p *evidence.Person) []any { return []any{string(p.Principal), p.Key.String(), p.Changed} })
	cases = newTable("cases", []string{"id"}, []string{"reference", "state", "changed"},
		func(c *evidence.Case) []any {
			return []any{c.ID[:], string(c.Reference), string(c.State), c.Changed}
		})
	exhibits = newTable("exhibits", []string{"case_id", "label"}, []string{"changed"},
		func(x *evidence.Exhibit) []any { return []any{x.Case[:], string(x.Label), x.Changed} })
	intakes = newTable("intakes", []string{"intake"}, []string{"case_id", "exhibit", "state", "changed"},
		func(i *evidence.Intake) []any {
			return []any{i.Intake[:], i.Case[:], string(i.Exhibit), string(i.State), i.Changed}
		})
	copies = newTable("copies", []string{"case_id", "exhibit", "number"}, []string{"class", "intake", "state", "changed"},
		func(c *evidence.Copy) []any {
			return []any{
				c.Case[:], string(c.Exhibit), string(c.Number), string(c.Class), c.Intake[:], string(c.State), c.Changed,
			}
		})
	findings = newTable("findings", []string{"case_id", "number"}, []string{"exhibit", "copy", "state", "changed"},
		func(f *evidence.Finding) []any {
			return []any{f.Case[:], int64(f.Number), string(f.Exhibit), string(f.Copy), string(f.State), f.Changed}
		})
	erasures = newTable("erasures", []string{"entry"}, []string{"case_id", "leaf", "residue", "changed"},
		func(e *evidence.Erasure) []any {
			return []any{e.Entry, e.Case[:], e.Leaf[:], []byte(e.Residue), e.Changed}
		})
)

// Save writes the nouns over those of the same identity, parents first. What was
// erased leaves the entries with it.
func (tx *Tx) Save(ch evidence.Changes) error {
	return errors.Join(
		saveAll(tx, people, ch.People), saveAll(tx, cases, ch.Cases), saveAll(tx, exhibits, ch.Exhibits),
		saveAll(tx, intakes, ch.Intakes), saveAll(tx, copies, ch.Copies), saveAll(tx, findings, ch.Findings),
		saveAll(tx, erasures, ch.Erasures), tx.erase(ch.Erasures),
	)
}

func saveAll[N any](tx *Tx, t table[N], nouns []N) error {
	for i := range nouns {
		doc, err := json.Marshal(nouns[i])
		if err != nil {
			return fmt.Errorf("save %s: %w", t.name, err)
		}
		if err := tx.exec(t.save, append(t.row(&nouns[i]), string(doc))...); err != nil {
			return fmt.Errorf("save %s: %w", t.name, err)
		}
	}
	return nil
}

// find gives the one noun for which where holds, or ErrNotFound.
func find[N any](tx *Tx, t table[N], where string, args ...any) (N, error) {
	values, into := t.buffer()
	var noun N
	if err := tx.one(t.read+where, args, into...); err != nil {
		return noun, err
	}
	return t.decode(values)
}

// list gives the nouns for which rest holds, in its order.
func list[N any](tx *Tx, t table[N], rest string, args ...any) ([]N, error) {
	nouns := []N{}
	err := t.each(tx, rest, args, func(noun N, err error) error {
		nouns = append(nouns, noun)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t.name, err)
	}
	return nouns, nil
}

// each calls found with each noun, or with what is wrong with its row.
func (t table[N]) each(tx *Tx, rest string, args []any, found func(N, error) error) error {
	values, into := t.buffer()
	return tx.each(t.read+rest, args, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		return found(t.decode(values))
	})
}

// buffer gives room for a row, and pointers into it.
func (t table[N]) buffer() (values, into []any) {
	values = make([]any, len(t.columns)+1)
	for i := range values {
		into = append(into, &values[i])
	}
	return values, into
}

// decode reads a noun from its row, which must be exactly what Save writes for it.
func (t table[N]) decode(values []any) (N, error) {
	var zero, noun N
	doc, _ := values[len(t.columns)].(string)
	if err := json.Unmarshal([]byte(doc), &noun); err != nil {
		return zero, t.wrong(values, "doc: "+err.Error())
	}
	for i, want := range t.row(&noun) {
		if !reflect.DeepEqual(values[i], want) {
			return zero, t.wrong(values, t.columns[i]+" is not what doc says")
		}
	}
	again, err := json.Marshal(noun)
	if err != nil {
		return zero, t.wrong(values, "doc: "+err.Error())
	}
	if string(again) != doc {
		return zero, t.wrong(values, "doc has another form than it was given")
	}
	return noun, nil
}

func (t table[N]) wrong(values []any, problem string) error {
	key := make([]string, len(t.keys))
	for i := range key {
		key[i] = fmt.Sprint(values[i])
		if b, ok := values[i].([]byte); ok {
			key[i] = fmt.Sprintf("%x", b)
		}
	}
	return &RowError{Table: t.name, Key: strings.Join(key, "/"), Problem: problem}
}

// Rows are the rows of all nouns, table by table, read as they are asked for. A row that
// is not what Save wrote comes as a [*RowError], and the next one after it; any other
// error is the last.
type Rows struct {
	People   iter.Seq2[evidence.Person, error] // in the order of enrolment
	Cases    iter.Seq2[evidence.Case, error]
	Exhibits iter.Seq2[evidence.Exhibit, error]
	Intakes  iter.Seq2[evidence.Intake, error]
	Copies   iter.Seq2[evidence.Copy, error]
	Findings iter.Seq2[evidence.Finding, error]
	Erasures iter.Seq2[evidence.Erasure, error]
}

// Rows gives the rows of all nouns, each table by its key.
func (tx *Tx) Rows() Rows {
	return Rows{
		People: rows(tx, people, "number"), Cases: rows(tx, cases, "id"), Exhibits: rows(tx, exhibits, "case_id, label"),
		Intakes: rows(tx, intakes, "intake"), Copies: rows(tx, copies, "case_id, exhibit, number"),
		Findings: rows(tx, findings, "case_id, number"), Erasures: rows(tx, erasures, "entry"),
	}
}

func rows[N any](tx *Tx, t table[N], order string) iter.Seq2[N, error] {
	return func(yield func(N, error) bool) {
		err := t.each(tx, "ORDER BY "+order, nil, func(noun N, err error) error {
			if !yield(noun, err) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			var none N
			yield(none, fmt.Errorf("read all %s: %w", t.name, err))
		}
	}
}
