package database

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrEntry means that an entry does not agree with its envelope, or its envelope
// not with its place.
var ErrEntry = errors.New("entry and envelope disagree")

// Entry is an entry of the ledger with its payload and signature, each byte as it
// was when it was appended. The first five members are for looking it up.
type Entry struct {
	Seq       int64
	Case      ledger.CaseID
	CaseSeq   int64
	EventID   uuid.UUID // the payload's id
	Leaf      ledger.Hash
	Envelope  []byte
	Payload   []byte
	Signature []byte // armoured
	// Erased: the payload was taken away, and Payload is what stays of it. That an entry
	// of the ledger says so is for the caller to see.
	Erased bool
}

// Check compares the entry with its own envelope, which it returns: place, leaf
// hash, and the hashes of payload, unless it was erased, and signature. That EventID is the payload's is
// for the caller to see.
func (e Entry) Check() (ledger.Envelope, error) {
	env, err := ledger.ParseEnvelope(e.Envelope)
	if err != nil {
		return ledger.Envelope{}, fmt.Errorf("%w: entry %d: %w", ErrEntry, e.Seq, err)
	}
	var what string
	switch {
	case e.Seq != env.Seq:
		what = "seq"
	case e.Case != env.Case:
		what = "case"
	case e.CaseSeq != env.CaseSeq:
		what = "case seq"
	case e.Leaf != ledger.LeafHash(e.Envelope):
		what = "leaf"
	case !e.Erased && sha256.Sum256(e.Payload) != env.Payload:
		what = "payload"
	case sha256.Sum256(e.Signature) != env.Sig:
		what = "signature"
	default:
		return env, nil
	}
	return ledger.Envelope{}, fmt.Errorf("%w: entry %d: %s", ErrEntry, e.Seq, what)
}

// Append adds the next entry and its tree hashes. ErrEntry when it does not check
// or does not follow the head, ErrConstraint when its event id is taken.
func (tx *Tx) Append(e Entry) error {
	env, err := e.Check()
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	head, err := tx.Head()
	if err != nil {
		return fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	caseHead, err := tx.CaseHead(e.Case)
	if err != nil {
		return fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	if env.Log != tx.origin || ledger.Next(head, caseHead, env) != env {
		return fmt.Errorf("append: %w: entry %d does not follow the %d entries of %s", ErrEntry, e.Seq, head.Size, tx.origin)
	}
	if tx.tree == nil {
		if tx.tree, err = ledger.LoadTree(head.Size, tx.Hashes()); err != nil {
			return fmt.Errorf("append entry %d: %w", e.Seq, err)
		}
	}
	err = tx.exec(`INSERT INTO entries (seq, case_id, case_seq, event_id, leaf, envelope, payload, signature)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Seq, e.Case[:], e.CaseSeq, e.EventID[:], e.Leaf[:], e.Envelope, e.Payload, e.Signature)
	if err != nil {
		return fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	tx.pending = tx.tree.Append(tx.pending, e.Leaf)
	*tx.head = head.After(env, e.Leaf)
	tx.heads[e.Case] = caseHead.After(env, e.Leaf)
	return nil
}

// Head gives the end of the ledger, as this transaction has left it.
func (tx *Tx) Head() (ledger.Head, error) {
	if tx.head != nil {
		return *tx.head, nil
	}
	var head ledger.Head
	var envelope []byte
	err := tx.one("SELECT leaf, envelope FROM entries ORDER BY seq DESC LIMIT 1", nil, fixed(head.Last[:]), &envelope)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return ledger.Head{}, fmt.Errorf("read head: %w", err)
	default:
		env, err := ledger.ParseEnvelope(envelope)
		if err != nil {
			return ledger.Head{}, fmt.Errorf("read head: %w", err)
		}
		head.Size, head.Time = env.Seq+1, env.Time
	}
	tx.head = &head
	return head, nil
}

// CaseHead gives the end of the chain of a case, as this transaction has left it.
// It is the zero value for a case that has no entries.
func (tx *Tx) CaseHead(id ledger.CaseID) (ledger.CaseHead, error) {
	if head, ok := tx.heads[id]; ok {
		return head, nil
	}
	var head ledger.CaseHead
	err := tx.one("SELECT case_seq + 1, leaf FROM entries WHERE case_id = ? ORDER BY case_seq DESC LIMIT 1",
		[]any{id[:]}, &head.Size, fixed(head.Last[:]))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return ledger.CaseHead{}, fmt.Errorf("read head of case %s: %w", id, err)
	}
	tx.heads[id] = head
	return head, nil
}

// Length implements [evidence.View].
func (tx *Tx) Length(id evidence.CaseID) (int64, error) {
	head, err := tx.CaseHead(ledger.CaseID(id))
	return head.Size, err
}

// Entry implements [evidence.View].
func (tx *Tx) Entry(id evidence.CaseID, leaf digest.SHA256) (int64, error) {
	var caseSeq int64
	// Newest first: what an actor has seen is seldom old.
	err := tx.one("SELECT case_seq FROM entries WHERE case_id = ? AND leaf = ? ORDER BY case_seq DESC LIMIT 1",
		[]any{id[:], leaf[:]}, &caseSeq)
	return caseSeq, err
}

const selectEntries = "SELECT seq, case_id, case_seq, event_id, leaf, envelope, payload, signature, " +
	"EXISTS (SELECT 1 FROM erasures WHERE entry = seq) FROM entries "

func (e *Entry) columns() []any {
	return []any{
		&e.Seq, fixed(e.Case[:]), &e.CaseSeq, fixed(e.EventID[:]), fixed(e.Leaf[:]), &e.Envelope, &e.Payload, &e.Signature, &e.Erased,
	}
}

// EntryAt gives the entry with that number, or ErrNotFound.
func (tx *Tx) EntryAt(seq int64) (Entry, error) { return tx.entry("WHERE seq = ?", seq) }

// EntryByEvent gives the entry whose payload has that id, or ErrNotFound.
func (tx *Tx) EntryByEvent(id uuid.UUID) (Entry, error) { return tx.entry("WHERE event_id = ?", id[:]) }

func (tx *Tx) entry(where string, arg any) (Entry, error) {
	var e Entry
	if err := tx.one(selectEntries+where, []any{arg}, e.columns()...); err != nil {
		return Entry{}, fmt.Errorf("read entry: %w", err)
	}
	return e, nil
}

// Entries gives up to limit entries in the ledger's order, beginning with number from.
func (tx *Tx) Entries(from int64, limit int) ([]Entry, error) {
	return tx.entries(math.MaxInt, "WHERE seq >= ? ORDER BY seq LIMIT ?", from, limit)
}

// Envelopes gives up to limit envelopes in the ledger's order, beginning with number from.
func (tx *Tx) Envelopes(from int64, limit int) ([][]byte, error) {
	var list [][]byte
	err := tx.each("SELECT envelope FROM entries WHERE seq >= ? ORDER BY seq LIMIT ?", []any{from, limit}, func(rows *sql.Rows) error {
		var envelope []byte
		err := rows.Scan(&envelope)
		list = append(list, envelope)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read envelopes: %w", err)
	}
	return list, nil
}

// maxPage is how many bytes of entries CaseEntries gives at once; the last entry
// may pass it.
const maxPage = 1 << 20

// CaseEntries gives up to limit entries of a case in the order of its chain,
// beginning with number from of that chain: fewer where they are large, and none
// only where there are none.
func (tx *Tx) CaseEntries(id ledger.CaseID, from int64, limit int) ([]Entry, error) {
	return tx.entries(maxPage, "WHERE case_id = ? AND case_seq >= ? ORDER BY case_seq LIMIT ?", id[:], from, limit)
}

// errEnough ends a query before its last row.
var errEnough = errors.New("enough rows")

func (tx *Tx) entries(most int, where string, args ...any) ([]Entry, error) {
	var list []Entry
	size := 0
	err := tx.each(selectEntries+where, args, func(rows *sql.Rows) error {
		if size >= most {
			return errEnough
		}
		var e Entry
		err := rows.Scan(e.columns()...)
		list = append(list, e)
		size += len(e.Envelope) + len(e.Payload) + len(e.Signature)
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	return list, nil
}
