package database

import (
	"database/sql"
	"errors"
	"fmt"
)

// Published is a segment of the ledger that lies in the object store.
type Published struct {
	From, To  int64  // entries From to To-1
	Envelopes []byte // the object with the envelopes: the caller's own JSON
	Payloads  []byte // the one with the payloads
}

// SavePublished notes the next segment. One that is noted already is left as it is;
// otherwise it is ErrConstraint unless it begins where the one before ends and there
// are as many entries.
func (tx *Tx) SavePublished(p Published) error {
	size, err := tx.PublishedSize()
	if err != nil {
		return err
	}
	if p.To <= size {
		return nil
	}
	err = tx.exec("INSERT INTO published (first, until, envelopes, payloads) VALUES (?, ?, ?, ?)",
		p.From, p.To, string(p.Envelopes), string(p.Payloads))
	if err != nil {
		return fmt.Errorf("note segment from %d: %w", p.From, err)
	}
	return nil
}

// PublishedSize gives how many entries the noted segments hold.
func (tx *Tx) PublishedSize() (int64, error) {
	last, err := tx.LastPublished()
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return last.To, err
}

const selectPublished = "SELECT first, until, envelopes, payloads FROM published "

func (p *Published) columns() []any { return []any{&p.From, &p.To, &p.Envelopes, &p.Payloads} }

// LastPublished gives the newest noted segment, or ErrNotFound.
func (tx *Tx) LastPublished() (Published, error) {
	var p Published
	if err := tx.one(selectPublished+"ORDER BY first DESC LIMIT 1", nil, p.columns()...); err != nil {
		return Published{}, fmt.Errorf("read last published: %w", err)
	}
	return p, nil
}

// Published gives up to limit segments in order, of those that begin at from or later.
func (tx *Tx) Published(from int64, limit int) ([]Published, error) {
	var list []Published
	err := tx.each(selectPublished+"WHERE first >= ? ORDER BY first LIMIT ?", []any{from, limit}, func(rows *sql.Rows) error {
		var p Published
		err := rows.Scan(p.columns()...)
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read published: %w", err)
	}
	return list, nil
}

// Run gives entries in the ledger's order from number from on, before number until, and
// none after those that come to most bytes: the last one may pass it.
func (tx *Tx) Run(from, until int64, most int) ([]Entry, error) {
	return tx.entries(most, "WHERE seq >= ? AND seq < ? ORDER BY seq", from, until)
}
