package database

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
)

// AnchorState is how far a time stamp has come.
type AnchorState string

// The states of a time stamp.
const (
	AnchorPending  AnchorState = "pending"
	AnchorAnchored AnchorState = "anchored"
	AnchorFailed   AnchorState = "failed"
)

// Anchor is what became of one authority in one round of time stamps.
type Anchor struct {
	Size      int64 // of the checkpoint, in entries
	Authority string
	State     AnchorState
	Tries     int       // how often it was asked
	Refusals  int       // how often it answered something else than a time stamp
	Due       time.Time // when a pending one is asked again
	Problem   string    // why it is not anchored
	Doc       []byte    // the caller's own, where it is anchored
	Entry     int64     // that tells of the token; -1: none yet
	Object    []byte    // where the object store has it, as JSON; empty: not yet
}

// AddRound begins a round over a checkpoint with these authorities pending, all due; it
// adds those that an earlier one did not have, and reports whether there was none.
func (tx *Tx) AddRound(size int64, note []byte, authorities []string) (added bool, err error) {
	_, err = tx.RoundNote(size)
	if errors.Is(err, ErrNotFound) {
		added = true
		err = tx.exec("INSERT INTO anchor_rounds (size, note) VALUES (?, ?)", size, note)
	}
	for _, a := range authorities {
		if err == nil {
			err = tx.exec("INSERT INTO anchor_stamps (size, authority, state) VALUES (?, ?, 'pending') ON CONFLICT (size, authority) DO NOTHING", size, a)
		}
	}
	if err != nil {
		return false, fmt.Errorf("add round %d: %w", size, err)
	}
	return added, nil
}

// RoundNote gives the checkpoint of a round, or ErrNotFound.
func (tx *Tx) RoundNote(size int64) ([]byte, error) {
	var note []byte
	if err := tx.one("SELECT note FROM anchor_rounds WHERE size = ?", []any{size}, &note); err != nil {
		return nil, fmt.Errorf("read round %d: %w", size, err)
	}
	return note, nil
}

// SaveAnchor writes what became of an authority over what was known of it in that round.
func (tx *Tx) SaveAnchor(a Anchor) error {
	err := tx.exec(`INSERT INTO anchor_stamps (size, authority, state, tries, refusals, due, problem, doc, entry, object)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (size, authority) DO UPDATE SET state = excluded.state, tries = excluded.tries, refusals = excluded.refusals,
			due = excluded.due, problem = excluded.problem, doc = excluded.doc, entry = excluded.entry, object = excluded.object`,
		a.Size, a.Authority, string(a.State), a.Tries, a.Refusals, a.Due.UnixMicro(), a.Problem, string(a.Doc), a.Entry, string(a.Object))
	if err != nil {
		return fmt.Errorf("save the time stamp of %s over %d: %w", a.Authority, a.Size, err)
	}
	return nil
}

const selectAnchors = "SELECT size, authority, state, tries, refusals, due, problem, doc, entry, object FROM anchor_stamps "

func (tx *Tx) anchors(where string, args ...any) ([]Anchor, error) {
	var list []Anchor
	err := tx.each(selectAnchors+where, args, func(rows *sql.Rows) error {
		var a Anchor
		var due int64
		err := rows.Scan(&a.Size, &a.Authority, &a.State, &a.Tries, &a.Refusals, &due, &a.Problem, &a.Doc, &a.Entry, &a.Object)
		a.Due = time.UnixMicro(due).UTC()
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read time stamps: %w", err)
	}
	return list, nil
}

// AnchorsOf gives a round's time stamps, by authority.
func (tx *Tx) AnchorsOf(size int64) ([]Anchor, error) {
	return tx.anchors("WHERE size = ? ORDER BY authority", size)
}

// PendingAnchor gives the newest pending time stamp of an authority among those that are
// due by now, or else the one that is due next; or ErrNotFound.
func (tx *Tx) PendingAnchor(authority string, now time.Time) (Anchor, error) {
	at := now.UnixMicro()
	list, err := tx.anchors(`WHERE authority = ? AND state = 'pending'
		ORDER BY CASE WHEN due <= ? THEN 0 ELSE due END, size DESC LIMIT 1`, authority, at)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("pending time stamps of %s: %w", authority, ErrNotFound)
	}
	if err != nil {
		return Anchor{}, err
	}
	return list[0], nil
}

// DelayAnchors has the pending time stamps of an authority that was asked before wait
// until then at least.
func (tx *Tx) DelayAnchors(authority string, until time.Time) error {
	at := until.UnixMicro()
	err := tx.exec("UPDATE anchor_stamps SET due = ? WHERE authority = ? AND state = 'pending' AND due < ? AND tries > 0", at, authority, at)
	if err != nil {
		return fmt.Errorf("delay the time stamps of %s: %w", authority, err)
	}
	return nil
}

// WaitingAuthorities gives the authorities that have pending time stamps.
func (tx *Tx) WaitingAuthorities() ([]string, error) {
	var list []string
	err := tx.each("SELECT DISTINCT authority FROM anchor_stamps WHERE state = 'pending' ORDER BY authority", nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		list = append(list, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	return list, nil
}

// ExpireAnchors gives up the pending time stamps of an authority but the newest few.
func (tx *Tx) ExpireAnchors(authority string, keep int, problem string) error {
	err := tx.exec(`UPDATE anchor_stamps SET state = 'failed', problem = ? WHERE authority = ? AND state = 'pending' AND size NOT IN
		(SELECT size FROM anchor_stamps WHERE authority = ? AND state = 'pending' ORDER BY size DESC LIMIT ?)`,
		problem, authority, authority, keep)
	if err != nil {
		return fmt.Errorf("give up time stamps of %s: %w", authority, err)
	}
	return nil
}

// UntoldAnchors gives the time stamps that came and are not both in an entry and in the
// object store, by size and authority.
func (tx *Tx) UntoldAnchors() ([]Anchor, error) {
	return tx.anchors("WHERE state = 'anchored' AND object = '' ORDER BY size, authority")
}

// ToldAnchors gives up to limit numbers of entries that tell of time stamps, from that on.
func (tx *Tx) ToldAnchors(from int64, limit int) ([]int64, error) {
	return tx.sizes("SELECT DISTINCT entry FROM anchor_stamps WHERE entry >= ? ORDER BY entry LIMIT ?", from, limit)
}

// AnchorsTold gives the time stamps that an entry tells of, by authority.
func (tx *Tx) AnchorsTold(entry int64) ([]Anchor, error) {
	return tx.anchors("WHERE entry = ? ORDER BY authority", entry)
}

// LastRounds gives the sizes of the newest rounds, the newest first, and below that size
// if it is not zero.
func (tx *Tx) LastRounds(below int64, limit int) ([]int64, error) {
	return tx.sizes("SELECT size FROM anchor_rounds WHERE ? = 0 OR size < ? ORDER BY size DESC LIMIT ?", below, below, limit)
}

// LastAnchored gives the size of the newest checkpoint with a time stamp, zero for none.
func (tx *Tx) LastAnchored() (int64, error) {
	sizes, err := tx.sizes("SELECT COALESCE(MAX(size), 0) FROM anchor_stamps WHERE state = 'anchored'")
	if err != nil {
		return 0, err
	}
	return sizes[0], nil
}

// CoveringRounds gives, for the entries of a case below that number of entries, the size
// of the earliest round with a time stamp over each, in order and once.
func (tx *Tx) CoveringRounds(c evidence.CaseID, below int64) ([]int64, error) {
	return tx.sizes(`SELECT DISTINCT s FROM (SELECT (SELECT MIN(a.size) FROM anchor_stamps AS a WHERE a.state = 'anchored' AND a.size > e.seq) AS s
		FROM entries AS e WHERE e.case_id = ? AND e.seq < ?) AS rounds WHERE s IS NOT NULL AND s <= ? ORDER BY s`, c[:], below, below)
}

func (tx *Tx) sizes(query string, args ...any) ([]int64, error) {
	var list []int64
	err := tx.each(query, args, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		list = append(list, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read rounds of time stamps: %w", err)
	}
	return list, nil
}

// CountAnchors tells how many time stamps are in a state.
func (tx *Tx) CountAnchors(state AnchorState) (int64, error) {
	sizes, err := tx.sizes("SELECT COUNT(*) FROM anchor_stamps WHERE state = ?", string(state))
	if err != nil {
		return 0, err
	}
	return sizes[0], nil
}
