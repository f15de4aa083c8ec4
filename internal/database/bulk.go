package database

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/evidence"
)

// Save writes the nouns of a database that has none yet. Those of which there can be many
// are written in the order of their keys, which leaves no page behind half full.
func (b *Bulk) Save(ch evidence.Changes) error {
	slices.SortFunc(ch.Cases, func(x, y evidence.Case) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	slices.SortFunc(ch.Exhibits, func(x, y evidence.Exhibit) int {
		return cmp.Or(bytes.Compare(x.Case[:], y.Case[:]), cmp.Compare(x.Label, y.Label))
	})
	slices.SortFunc(ch.Intakes, func(x, y evidence.Intake) int { return bytes.Compare(x.Intake[:], y.Intake[:]) })
	slices.SortFunc(ch.Copies, func(x, y evidence.Copy) int {
		return cmp.Or(bytes.Compare(x.Case[:], y.Case[:]), cmp.Compare(x.Exhibit, y.Exhibit), cmp.Compare(x.Number, y.Number))
	})
	return errors.Join(
		saveAll(b.Tx, people, ch.People), insertAll(b, cases, ch.Cases), insertAll(b, exhibits, ch.Exhibits),
		insertAll(b, intakes, ch.Intakes), insertAll(b, copies, ch.Copies), saveAll(b.Tx, findings, ch.Findings),
		saveAll(b.Tx, erasures, ch.Erasures), b.erase(ch.Erasures),
	)
}

// rowsOfNouns is how many nouns one statement writes, of a table of at most 8 columns.
const rowsOfNouns = 32

// insertAll writes nouns, and has the next ones made into rows meanwhile.
func insertAll[N any](b *Bulk, t table[N], nouns []N) error {
	group, ctx := errgroup.WithContext(b.ctx)
	made := make(chan []any, 64)
	group.Go(func() error {
		defer close(made)
		for part := range slices.Chunk(nouns, rowsOfNouns) {
			args := make([]any, 0, len(part)*(len(t.columns)+1))
			for i := range part {
				doc, err := json.Marshal(part[i])
				if err != nil {
					return fmt.Errorf("save %s: %w", t.name, err)
				}
				args = append(append(args, t.row(&part[i])...), string(doc))
			}
			select {
			case made <- args:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		into, place := t.insert()
		whole := into + place + strings.Repeat(", "+place, rowsOfNouns-1)
		for args := range made {
			query := whole
			if rows := len(args) / (len(t.columns) + 1); rows < rowsOfNouns {
				query = into + place + strings.Repeat(", "+place, rows-1)
			}
			if err := b.exec(query, args...); err != nil {
				return fmt.Errorf("save %s: %w", t.name, err)
			}
		}
		return nil
	})
	return group.Wait()
}

// insert gives the beginning of a statement that adds nouns, up to VALUES, and the place
// that one takes behind it.
func (t table[N]) insert() (into, place string) {
	return "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ", doc) VALUES ", "(" + strings.Repeat("?, ", len(t.columns)) + "?)"
}
