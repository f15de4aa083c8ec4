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
		insertAll(b, cases, inOrder(ch.Cases, func(c *evidence.Case) order { return orderOf(c.ID[:], "") },
			func(x, y *evidence.Case) int { return bytes.Compare(x.ID[:], y.ID[:]) })),
		insertAll(b, exhibits, inOrder(ch.Exhibits, func(e *evidence.Exhibit) order { return orderOf(e.Case[:], string(e.Label)) },
			func(x, y *evidence.Exhibit) int { return cmp.Compare(x.Label, y.Label) })),
		insertAll(b, intakes, inOrder(ch.Intakes, func(i *evidence.Intake) order { return orderOf(i.Intake[:], "") },
			func(x, y *evidence.Intake) int { return bytes.Compare(x.Intake[:], y.Intake[:]) })),
		insertAll(b, copies, inOrder(ch.Copies, func(c *evidence.Copy) order { return orderOf(c.Case[:], string(c.Exhibit)) },
			func(x, y *evidence.Copy) int {
				return cmp.Or(cmp.Compare(x.Exhibit, y.Exhibit), cmp.Compare(x.Number, y.Number))
			})),
		saveAll(b.Tx, findings, ch.Findings), saveAll(b.Tx, erasures, ch.Erasures), b.erase(ch.Erasures),
	)
}

// order is the beginning of a key: an id, and the beginning of a name.
type order [2 * 16]byte

func orderOf(id []byte, name string) (o order) {
	copy(o[copy(o[:], id):], name)
	return o
}

// inOrder sorts nouns by the beginning of their keys, and where that is the same by rest.
// They stay where they are: they are large, and far from each other.
func inOrder[N any](nouns []N, first func(*N) order, rest func(x, y *N) int) []*N {
	type place struct {
		order
		noun *N
	}
	places := make([]place, len(nouns))
	for i := range nouns {
		places[i] = place{first(&nouns[i]), &nouns[i]}
	}
	slices.SortFunc(places, func(x, y place) int {
		if c := bytes.Compare(x.order[:], y.order[:]); c != 0 {
			return c
		}
		return rest(x.noun, y.noun)
	})
	sorted := make([]*N, len(nouns))
	for i := range places {
		sorted[i] = places[i].noun
	}
	return sorted
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
