package database

import (
	"errors"
	"iter"

	"github.com/custodyd/custodyd/internal/evidence"
)

// All gives every noun, and apart from them every row that is not what Save wrote.
func (tx *Tx) All() (ch evidence.Changes, wrong []*RowError, err error) {
	r := tx.Rows()
	err = errors.Join(
		split(r.People, &ch.People, &wrong), split(r.Cases, &ch.Cases, &wrong), split(r.Exhibits, &ch.Exhibits, &wrong),
		split(r.Intakes, &ch.Intakes, &wrong), split(r.Copies, &ch.Copies, &wrong), split(r.Findings, &ch.Findings, &wrong),
		split(r.Erasures, &ch.Erasures, &wrong),
	)
	return ch, wrong, err
}

func split[N any](seq iter.Seq2[N, error], nouns *[]N, wrong *[]*RowError) error {
	for noun, err := range seq {
		if row, ok := errors.AsType[*RowError](err); ok {
			*wrong = append(*wrong, row)
			continue
		}
		if err != nil {
			return err
		}
		*nouns = append(*nouns, noun)
	}
	return nil
}
