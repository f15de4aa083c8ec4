package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// The findings about a whole ledger, beside those about entries and checkpoints.
const (
	CodeColumns        Code = "entry-columns"   // what is kept beside an entry is not what it says
	CodeTreeHash       Code = "tree-hash"       // a stored hash of the tree is not what the entries make
	CodeCheckpointSize Code = "checkpoint-size" // a checkpoint is kept as one of another size
	CodeRoot           Code = "root"            // the entries do not make the root that was signed
	CodeRolledBack     Code = "rolled-back"     // more entries were signed than there are
	CodeSignerBehind   Code = "signer-behind"   // the key has signed more than its signer knows of
)

// Record is an entry as it is kept. The first five members stand beside the
// envelope, for looking it up, and must be what envelope and payload say.
type Record struct {
	Seq       int64
	Case      ledger.CaseID
	CaseSeq   int64
	EventID   uuid.UUID
	Leaf      ledger.Hash
	Envelope  []byte
	Payload   []byte
	Signature []byte // armoured
	Erased    bool   // Payload is what stays of it after an erasure
}

// TreeHash is a stored hash of the tree, see ledger.StoredHashes.
type TreeHash struct {
	Index int64
	Hash  ledger.Hash
}

// KeptCheckpoint is a signed checkpoint as it is kept.
type KeptCheckpoint struct {
	Size int64 // by which it is found
	Note []byte
}

// LedgerSource is a whole ledger as somebody keeps it. What the sequences yield is
// not changed afterwards; an error of theirs ends the judgement.
type LedgerSource struct {
	Key ledger.VerifierKey
	// Last is what the key's own signer signed last; without an origin, not known.
	Last ledger.Checkpoint
	// Known is how many entries somebody has judged already, to the root that was signed:
	// what they lead to counts, and nothing is found in them. Their signatures are not
	// looked at.
	Known       int64
	Entries     iter.Seq2[Record, error]         // all, as they are ordered where they are kept
	Hashes      iter.Seq2[TreeHash, error]       // by rising index; nil when none are kept
	Checkpoints iter.Seq2[KeptCheckpoint, error] // by rising size; nil when none are kept
}

// LedgerReport is the judgement of a ledger.
type LedgerReport struct {
	Verdict     Verdict
	Found       // of the entries in their order, the hashes, the checkpoints
	Entries     int64
	Checkpoints int64
	Root        ledger.Hash // of the tree over all entries, right or wrong
	Erased      int64       // entries without their payloads, whose signatures nobody can check
	Signed      int64       // entries under the newest checkpoint that holds; those after it nobody has signed yet
}

// Ledger judges a whole ledger: every envelope and both chains, payloads and
// signatures by the keys of their time, the law on a replay, the tree's stored hashes,
// and the root wherever it was signed. It holds a batch of entries in memory at a
// time, beside the state that they lead to, which it returns. The error is that of
// ctx or of a sequence; the report beside it, without a verdict or a root, is of what
// was judged before.
func Ledger(ctx context.Context, s LedgerSource, workers int) (LedgerReport, *evidence.Memory, error) {
	l := &ledgerJudge{
		source: s, workers: Options{Workers: workers}.workers(), replay: newReplay(),
		checker: ledger.NewChecker(s.Key.Origin()), gone: gone{}, r: LedgerReport{Found: newFound()},
	}
	if err := l.judge(ctx); err != nil {
		return LedgerReport{Verdict: Incomplete, Found: l.r.Found, Entries: l.checker.Size()}, nil, fmt.Errorf("verify ledger: %w", err)
	}
	return l.r, l.state, nil
}

type ledgerJudge struct {
	source  LedgerSource
	workers int
	r       LedgerReport
	replay
	checker *ledger.Checker
	gone    gone
	tree    treeJudge
	signed  signedJudge
}

// row is an entry and what is kept beside it.
type row struct {
	entry
	Record
}

func (l *ledgerJudge) judge(ctx context.Context) error {
	stop, err := l.tree.start(l.source.Hashes)
	defer stop()
	if err != nil {
		return err
	}
	stop, err = l.signed.start(l.source)
	defer stop()
	if err != nil {
		return err
	}
	var batch []*row
	for record, err := range l.source.Entries {
		if err != nil {
			return errors.Join(err, l.batch(ctx, batch))
		}
		if batch = append(batch, newRow(record)); len(batch) < batchSize {
			continue
		}
		if err := l.batch(ctx, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if err := l.batch(ctx, batch); err != nil {
		return err
	}
	l.gone.end(&l.r.Found)
	l.r.Entries, l.r.Root = l.checker.Size(), l.checker.Root()
	if err := l.tree.end(&l.r); err != nil {
		return err
	}
	if err := l.signed.end(ctx, &l.r, l.workers); err != nil {
		return err
	}
	l.r.Verdict = l.r.verdict(false)
	return nil
}

func newRow(r Record) *row {
	return &row{entry{seq: r.Seq, line: r.Envelope, payload: r.Payload, signature: r.Signature}, r}
}

// batch judges the next entries.
func (l *ledgerJudge) batch(ctx context.Context, batch []*row) error {
	if err := l.signed.expect(ctx, l.checker.Size()+int64(len(batch)), l.workers); err != nil {
		return err
	}
	if err := parallel(ctx, l.workers, batch, (*row).look); err != nil {
		return err
	}
	for _, e := range batch {
		l.follow(e)
		if err := l.tree.add(e.leaf); err != nil {
			return err
		}
		l.signed.at(l.checker.Size(), l.checker.Root)
	}
	for len(batch) > 0 && batch[0].Seq < l.source.Known {
		batch = batch[1:]
	}
	if err := parallel(ctx, l.workers, batch, func(e *row) { e.signed(l.verifier) }); err != nil {
		return err
	}
	for _, e := range batch {
		l.r.add(e.found...)
	}
	return nil
}

// look judges what can be judged of an entry alone.
func (e *row) look() {
	e.leaf = ledger.LeafHash(e.line)
	if e.envelope, e.malformed = ledger.ParseEnvelope(e.line); e.malformed != nil {
		e.find(CodeEnvelope, "%v", e.malformed)
		return
	}
	for _, c := range []struct {
		name string
		same bool
	}{
		{"number", e.Seq == e.envelope.Seq},
		{"case", e.Case == e.envelope.Case},
		{"place in the case", e.CaseSeq == e.envelope.CaseSeq},
		{"leaf hash", e.Leaf == e.leaf},
	} {
		if !c.same {
			e.find(CodeColumns, "the %s kept beside it is not that of its envelope", c.name)
		}
	}
	e.checkSignatureHash("the signature", sha256.Sum256(e.signature))
	if e.Record.Erased {
		e.lookErased()
	} else {
		e.checkPayload("the payload", sha256.Sum256(e.payload))
	}
	if e.event != nil && e.EventID != e.event.ID || e.newer != nil && e.EventID != e.newer.ID {
		e.find(CodeColumns, "the id kept beside it is not that of its payload")
	}
}

// follow judges an entry's place, and applies the law to what happened.
func (l *ledgerJudge) follow(e *row) {
	if e.malformed != nil {
		_ = l.checker.Add(e.line) // told already; the chain has to go on behind it
		return
	}
	err := l.checker.AddParsed(e.envelope, e.leaf)
	e.placed(err)
	if !errors.Is(err, ledger.ErrRepeated) { // else it has no place in the story
		if e.Record.Erased {
			l.r.Erased++
		}
		l.gone.follow(e)
		l.happened(&e.entry)
	}
}

// tally is one finding for many faults of a kind, which follow from each other: the
// first in words, the others by number.
type tally struct {
	first Finding
	count int
}

func (t *tally) add(code Code, subject, format string, args ...any) {
	if t.count++; t.count == 1 {
		t.first = NewFinding(code, subject, format, args...)
	}
}

func (t *tally) to(l *Found) {
	if t.count == 0 {
		return
	}
	if t.count > 1 {
		t.first.Detail += fmt.Sprintf("; and %d more", t.count-1)
	}
	l.add(t.first)
}

// puller reads a sequence item by item. The zero value is one that is over.
type puller[T any] struct {
	pull func() (T, error, bool)
	next T
	more bool
}

// start reads the first item. stop is never nil.
func (p *puller[T]) start(seq iter.Seq2[T, error]) (stop func(), err error) {
	if seq == nil {
		return func() {}, nil
	}
	p.pull, stop = iter.Pull2(seq)
	return stop, p.advance()
}

// advance reads the next item.
func (p *puller[T]) advance() (err error) {
	p.next, err, p.more = p.pull()
	return err
}
