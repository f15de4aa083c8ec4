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
	return errors.Join(
		saveAll(b.Tx, people, ch.People),
		insertAll(b, cases, inOrder(ch.Cases, func(x, y *evidence.Case) int { return bytes.Compare(x.ID[:], y.ID[:]) })),
		insertAll(b, exhibits, inOrder(ch.Exhibits, func(x, y *evidence.Exhibit) int {
			return cmp.Or(bytes.Compare(x.Case[:], y.Case[:]), cmp.Compare(x.Label, y.Label))
		})),
		insertAll(b, intakes, inOrder(ch.Intakes, func(x, y *evidence.Intake) int { return bytes.Compare(x.Intake[:], y.Intake[:]) })),
		insertAll(b, copies, inOrder(ch.Copies, func(x, y *evidence.Copy) int {
			return cmp.Or(bytes.Compare(x.Case[:], y.Case[:]), cmp.Compare(x.Exhibit, y.Exhibit), cmp.Compare(x.Number, y.Number))
		})),
		saveAll(b.Tx, findings, ch.Findings), saveAll(b.Tx, erasures, ch.Erasures), b.erase(ch.Erasures),
	)
}

// inOrder sorts nouns where they lie: they are large to be moved about.
func inOrder[N any](nouns []N, compare func(x, y *N) int) []*N {
	order := make([]*N, len(nouns))
	for i := range nouns {
		order[i] = &nouns[i]
	}
	slices.SortFunc(order, compare)
	return order
}

// rowsOfNouns is how many nouns one statement writes, of a table of at most 8 columns.
const rowsOfNouns = 32

// insertAll writes nouns, and has the next ones made into rows meanwhile.
func insertAll[N any](b *Bulk, t table[N], nouns []*N) error {
	group, ctx := errgroup.WithContext(b.ctx)
	made := make(chan []any, 64)
	group.Go(func() error {
		defer close(made)
		for part := range slices.Chunk(nouns, rowsOfNouns) {
			args := make([]any, 0, len(part)*(len(t.columns)+1))
			for _, noun := range part {
				doc, err := json.Marshal(noun)
				if err != nil {
					return fmt.Errorf("save %s: %w", t.name, err)
				}
				args = append(append(args, t.row(noun)...), string(doc))
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
