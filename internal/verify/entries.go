package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// batchSize is how many entries are held in memory at a time.
const batchSize = 1024

// entry is one envelope with what belongs to it.
type entry struct {
	seq       int64 // by which findings name it: its envelope's, or its place in what is judged
	line      []byte
	envelope  ledger.Envelope
	leaf      ledger.Hash
	malformed error // the line is no envelope

	payload, signature []byte // nil when missing
	event              *evidence.Event
	newer              *newer             // instead of event: what this program does not know
	key                identity.PublicKey // that must have signed; zero: not known
	withheld           string             // instead of the payload: why it is not there
	erased             bool               // the payload is gone, and event is what is left of it
	rekeyed            bool               // keys may have changed before it in ways that this program does not know

	found []Finding
}

func (e *entry) find(code Code, format string, args ...any) {
	e.found = append(e.found, NewFinding(code, fmt.Sprintf("entry %d", e.seq), format, args...))
}

// entries judges all that the ledger's entries consist of: in parallel what concerns
// each alone, in order the chains and the law, in parallel the signatures.
func (j *judge) entries(ctx context.Context) error {
	if !j.b.Has(bundle.EntriesFile) {
		j.chains = ledger.NewCaseChecker(j.origin())
		return nil // a fault of the container
	}
	var newest ledger.Envelope // of any case: the export
	err := j.lines(ctx, func(line []byte) error {
		if e, err := ledger.ParseEnvelope(line); err == nil && !e.Case.IsZero() {
			newest = e
			j.noteErasure(e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errLongLine) { // told with the second pass
		return err
	}
	j.id = newest.Case
	j.disclose(newest)
	j.chains = ledger.NewCaseChecker(j.origin(), ledger.CaseID{}, j.id)
	j.receipts.New = func() any { return ledger.NewReceipts(j.note, j.tree) }
	looked := make(chan []*entry, 1)
	var running sync.WaitGroup
	running.Go(func() {
		defer close(looked)
		err = j.look(ctx, looked)
	})
	for batch := range looked {
		j.follow(ctx, batch)
	}
	running.Wait()
	if err != nil && ctx.Err() == nil {
		j.r.find(CodeEntriesForm, bundle.EntriesFile, "%v", err)
	}
	j.ends()
	return ctx.Err()
}

// look reads the entries, and judges what can be judged of each alone. It is ahead of
// follow, so that no core waits while the other judges in order.
func (j *judge) look(ctx context.Context, looked chan<- []*entry) error {
	var batch []*entry
	send := func() error {
		if err := parallel(ctx, j.o.workers(), batch, j.lookAt); err != nil {
			return err
		}
		looked <- batch
		batch = make([]*entry, 0, batchSize)
		return nil
	}
	err := j.lines(ctx, func(line []byte) error {
		if batch = append(batch, &entry{line: bytes.Clone(line)}); len(batch) < batchSize {
			return nil
		}
		return send()
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, send())
}

// follow judges entries that follow each other in their order, and then their signatures.
func (j *judge) follow(ctx context.Context, batch []*entry) {
	for _, e := range batch {
		j.followAt(e)
	}
	if parallel(ctx, j.o.workers(), batch, func(e *entry) { e.signed(j.verifier) }) != nil {
		return
	}
	for _, e := range batch {
		j.r.add(e.found...)
	}
}

// origin is the ledger that all entries must be of.
func (j *judge) origin() ledger.Origin {
	if j.tree.Origin != "" {
		return j.tree.Origin
	}
	return j.key.Origin()
}

// errLongLine says that the rest of entries.jsonl was not read.
var errLongLine = fmt.Errorf("has a line of more than %d bytes; what follows was not read", 64<<10)

// lines visits every line of entries.jsonl. The error is that of visit or ctx, or
// errLongLine.
func (j *judge) lines(ctx context.Context, visit func(line []byte) error) error {
	r, err := j.b.OpenFile(bundle.EntriesFile)
	if err != nil {
		return nil // a fault of the container, as Check will see
	}
	defer func() { _ = r.Close() }() // only read from
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), append(bytes.Clone(data), '\n'), nil // no envelope, so it will be told
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(lines.Bytes()); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errLongLine
	}
	return ctx.Err()
}

// parallel does something with each item, on that many cores.
func parallel[T any](ctx context.Context, workers int, batch []T, do func(T)) error {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workers, len(batch)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(batch)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				do(batch[i])
			}
		})
	}
	running.Wait()
	return ctx.Err()
}

// lookAt judges what can be judged of an entry alone.
func (j *judge) lookAt(e *entry) {
	e.leaf = ledger.LeafHash(e.line)
	if e.envelope, e.malformed = ledger.ParseEnvelope(e.line); e.malformed != nil {
		return // follow tells
	}
	e.seq = e.envelope.Seq
	j.included(e)
	var sum digest.SHA256
	var err error
	path := bundle.EntryPath(bundle.KindSignature, e.seq)
	if e.signature, sum, err = j.b.ReadSummed(path); err != nil {
		e.find(CodeSignatureMissing, "%s", missing(path, err))
	} else {
		e.checkSignatureHash(path, sum)
	}
	path = bundle.EntryPath(bundle.KindPayload, e.seq)
	if j.withheldPayload(e, path) {
		return
	}
	switch e.payload, sum, err = j.b.ReadSummed(path); {
	case err == nil:
		e.checkPayload(path, sum)
		j.stillThere(e)
	case !errors.Is(err, fs.ErrNotExist) || !j.erasedPayload(e):
		e.find(CodePayloadMissing, "%s", missing(path, err))
	}
}

// checkSignatureHash compares the signature with the envelope. what names it.
func (e *entry) checkSignatureHash(what string, sum digest.SHA256) {
	if ledger.Hash(sum) != e.envelope.Sig {
		e.find(CodeSignatureHash, "%s is not the signature that its envelope names", what)
	}
}

// checkPayload reads the payload and compares it with the envelope. what names it.
func (e *entry) checkPayload(what string, sum digest.SHA256) {
	if ledger.Hash(sum) != e.envelope.Payload {
		e.find(CodePayloadHash, "%s is not the payload that its envelope names", what)
	}
	event, err := evidence.Parse(e.payload)
	if err != nil {
		if e.newer = asNewer(e.payload, err); e.newer == nil {
			e.find(CodePayloadForm, "%v", err)
		} else if n := e.newer; n.Log != string(e.envelope.Log) || n.Case != evidence.CaseID(e.envelope.Case) {
			e.find(CodePayloadEnvelope, "the payload is for another ledger or case")
		}
		return
	}
	if e.event = &event; event.IsErased() {
		e.find(CodePayloadForm, "is what erasing leaves of an entry, and stands for the entry itself")
	}
	if detail := disagree(e.envelope, event); detail != "" {
		e.find(CodePayloadEnvelope, "%s", detail)
	}
}

// missing says why a file cannot be had.
func missing(path string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return path + " is missing"
	}
	return err.Error()
}

// included checks the receipt of an entry.
func (j *judge) included(e *entry) {
	path := bundle.EntryPath(bundle.KindProof, e.envelope.Seq)
	text, err := j.b.ReadFile(path)
	if err != nil {
		e.find(CodeReceiptMissing, "%s", missing(path, err))
		return
	}
	receipts, _ := j.receipts.Get().(*ledger.Receipts)
	good := receipts.Good(text, e.line, e.envelope.Seq, e.leaf)
	if j.receipts.Put(receipts); good {
		return
	}
	receipt, err := ledger.ParseReceipt(text)
	switch {
	case err != nil:
		e.find(CodeReceiptForm, "%v", err)
		return
	case !bytes.Equal(receipt.Envelope, e.line), receipt.Index != e.envelope.Seq:
		e.find(CodeReceiptEntry, "%s is of another entry", path)
	case !bytes.Equal(receipt.Checkpoint, j.note):
		e.find(CodeReceiptNote, "%s is under another checkpoint", path)
	}
	if err := ledger.CheckInclusion(receipt.Proof, j.tree.Size, j.tree.Root, e.envelope.Seq, e.leaf); err != nil {
		e.find(CodeInclusion, "does not stand in the tree of the checkpoint")
	}
}

// signed checks the signature of an entry.
func (e *entry) signed(verifier *identity.Verifier) {
	if e.erased {
		e.signedErased()
		return
	}
	if e.key.IsZero() || e.payload == nil || e.signature == nil {
		return
	}
	if err := verifier.Verify(e.key, identity.NamespaceEvent, e.payload, e.signature); err != nil {
		e.find(e.rekeying(CodeSignature), "by %s: %v", e.actor(), err)
	}
}

// actor gives who the payload says it is by.
func (e *entry) actor() identity.Principal {
	if e.newer != nil {
		return e.newer.Actor
	}
	return e.event.Actor
}

// rekeying is the code of a finding that rests on whose key is whose.
func (e *entry) rekeying(code Code) Code {
	if e.rekeyed {
		return CodeUnknownAction
	}
	return code
}
