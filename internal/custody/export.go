package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Export is a bundle that can be written now. Its seal stands in the ledger.
type Export struct {
	Reference evidence.Name
	Recorded  Recorded // the seal
	source    bundle.Source
}

// maxContents bounds the working copies whose bytes one bundle holds.
const maxContents = 200

// ExportOptions say what of a case a bundle is to hold.
type ExportOptions struct {
	Contents     []evidence.Path     // working copies bound to the caller, with their bytes
	Pseudonymous bool                // without the payloads of entries of type keys
	Withheld     []evidence.Withheld // entries without their payloads, in any order
}

// Export seals a case's chain for a bundle: with the seal, dropped newest entries
// show, and so do payloads that are dropped beside those that it states as withheld.
// That bytes of a copy leave is an entry before the first one does, or a denial.
func (s *Service) Export(ctx context.Context, c Caller, ref evidence.Name, o ExportOptions) (*Export, error) {
	contents := o.Contents
	if len(contents) > maxContents {
		return nil, &evidence.FieldError{Field: "contents", Problem: fmt.Sprintf("names %d copies, want at most %d", len(contents), maxContents)}
	}
	ctx = context.WithoutCancel(ctx) // who hangs up has asked all the same
	if err := c.allow(identity.ExportCreate); err != nil {
		return nil, s.denyAll(ctx, c, contents, err)
	}
	var holder evidence.Case
	var without withholding
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		if holder, err = caseOf(tx, ref); err != nil {
			return err
		}
		if without, err = withhold(tx, holder.ID, o); err != nil {
			return err
		}
		return without.contents(contents)
	})
	if err != nil {
		return nil, s.raise(err)
	}
	ids := make([]evidence.CopyID, 0, len(contents))
	for _, p := range contents {
		if p.Case != ref {
			return nil, &evidence.FieldError{Field: "contents", Problem: fmt.Sprintf("%s is of another case", p)}
		}
		copied, err := s.find(ctx, p)
		if err != nil {
			return nil, err
		}
		if err := c.allow(identity.CopyFetch); err != nil {
			return nil, s.deny(ctx, c, copied.CopyID, evidence.Export, err)
		}
		if _, err := s.noteRead(ctx, c, copied.CopyID, evidence.Export, 0, copied.Size); err != nil {
			return nil, err
		}
		ids = append(ids, copied.CopyID)
	}
	var copies []evidence.Copy
	var seal evidence.CaseExported
	recorded, err := s.note(ctx, holder.ID, &c, func(tx *database.Tx) (evidence.Body, error) {
		var err error
		if copies, err = tx.Copies(holder.ID); err != nil {
			return nil, err
		}
		seal = evidence.CaseExported{Contents: ids, Pseudonymous: without.people, Withheld: without.stated}
		if seal.Case, err = chainEnd(tx, holder.ID); err != nil {
			return nil, err
		}
		seal.System, err = chainEnd(tx, evidence.CaseID{})
		return seal, err
	})
	if err != nil {
		return nil, err
	}
	receipt, err := ledger.ParseReceipt(recorded.Receipt)
	if err != nil {
		return nil, err
	}
	var cosigned []byte
	var outside sync.WaitGroup // witnesses and authorities are waited for side by side
	outside.Go(func() { cosigned = s.cosigned(ctx, receipt.Checkpoint) })
	anchors, err := s.anchored(ctx, receipt.Checkpoint, holder.ID)
	outside.Wait()
	if err != nil {
		return nil, err
	}
	checkpoint, err := ledger.OpenCheckpoint(cosigned, s.cfg.Ledger.Key())
	if err != nil {
		return nil, err
	}
	e := &Export{Reference: ref, Recorded: recorded}
	e.source = bundle.Source{
		Reference: ref, Created: recorded.Time.Time(), Checkpoint: cosigned, Key: s.cfg.Ledger.Key(),
		Entries: s.entriesOf(ctx, cosigned, checkpoint.Size,
			chain{evidence.CaseID{}, seal.System.Entries}, chain{holder.ID, recorded.CaseSeq + 1}),
		Anchors: anchors,
		Objects: s.bundled(copies, ids, without.leavesObject), Pseudonymous: without.people, Withheld: without.leaves,
	}
	return e, nil
}

// denyAll records that each of the named copies was asked for, as far as there is
// such a copy, and gives the refusal.
func (s *Service) denyAll(ctx context.Context, c Caller, contents []evidence.Path, refusal error) error {
	for _, p := range contents {
		copied, err := s.find(ctx, p)
		if errors.Is(err, evidence.ErrNotFound) {
			continue
		}
		if err == nil {
			err = s.deny(ctx, c, copied.CopyID, evidence.Export, refusal)
		}
		if !errors.Is(err, refusal) {
			return err
		}
	}
	return refusal
}

func chainEnd(tx *database.Tx, c evidence.CaseID) (evidence.ChainEnd, error) {
	head, err := tx.CaseHead(ledger.CaseID(c))
	return evidence.ChainEnd{Entries: head.Size, Head: digest.SHA256(head.Last)}, err
}

// WriteTo writes the bundle. When it fails what was written cannot be taken for a
// bundle; exporting again makes another seal.
func (e *Export) WriteTo(ctx context.Context, w io.Writer) error {
	return bundle.Write(ctx, w, e.source)
}

// chain is the first entries of a case's chain.
type chain struct {
	of    evidence.CaseID
	until int64 // how many
}

// exportPage is how many entries of a chain are read at once.
const exportPage = 256

// exportAhead is how many entries are made ready while as many are written.
const exportAhead = 128

// entriesOf gives the entries of chains by rising seq, with their receipts under
// one checkpoint, of a tree of that size. Each page is read in a view of its own: entries
// do not change. One that has is an alarm.
func (s *Service) entriesOf(ctx context.Context, signed []byte, size int64, chains ...chain) iter.Seq2[bundle.Entry, error] {
	return ahead(ctx, exportAhead, func(ctx context.Context) iter.Seq2[bundle.Entry, error] {
		return s.readEntries(ctx, signed, size, chains)
	})
}

func (s *Service) readEntries(ctx context.Context, signed []byte, size int64, chains []chain) iter.Seq2[bundle.Entry, error] {
	return func(yield func(bundle.Entry, error) bool) {
		cursors := make([]cursor, len(chains))
		for i, c := range chains {
			cursors[i] = cursor{chain: c}
		}
		for {
			var next *cursor
			for i := range cursors {
				if err := s.fill(ctx, signed, size, &cursors[i]); err != nil {
					yield(bundle.Entry{}, err)
					return
				}
				if len(cursors[i].page) > 0 && (next == nil || cursors[i].page[0].seq < next.page[0].seq) {
					next = &cursors[i]
				}
			}
			if next == nil || !yield(next.page[0].Entry, nil) {
				return
			}
			next.page = next.page[1:]
		}
	}
}

// cursor is a place in a chain.
type cursor struct {
	chain
	at   int64 // case sequence number after the page
	page []numbered
}

type numbered struct {
	bundle.Entry
	seq int64
}

// fill reads the next page of a chain when the last one is used up.
func (s *Service) fill(ctx context.Context, signed []byte, size int64, c *cursor) error {
	if len(c.page) > 0 || c.at >= c.until {
		return nil
	}
	return s.raise(s.db.View(ctx, func(tx *database.Tx) error {
		entries, err := tx.CaseEntries(ledger.CaseID(c.of), c.at, int(min(exportPage, c.until-c.at)))
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return missing(ledger.CaseID(c.of), c.at)
		}
		hashes := memo(tx.Hashes())
		if _, err := intact(tx, hashes, entries...); err != nil {
			return err
		}
		if err := unbroken(ledger.CaseID(c.of), c.at, entries); err != nil {
			return err
		}
		for _, e := range entries {
			path, err := ledger.ProveInclusion(size, e.Seq, hashes)
			if err != nil {
				return err
			}
			receipt := ledger.Receipt{Index: e.Seq, Envelope: e.Envelope, Proof: path, Checkpoint: signed}
			c.page = append(c.page, numbered{bundle.Entry{
				Envelope: e.Envelope, Payload: e.Payload, Signature: e.Signature, Receipt: receipt.Marshal(), Erased: e.Erased,
			}, e.Seq})
		}
		c.at = entries[len(entries)-1].CaseSeq + 1
		return nil
	}))
}

// bundled gives the objects a bundle holds: lists and logs of every copy, and the
// content of the chosen working copies. leaves tells what it goes without.
func (s *Service) bundled(copies []evidence.Copy, contents []evidence.CopyID, leaves func(evidence.Copy, evidence.Role) bool) []bundle.Object {
	chosen := map[evidence.CopyID]bool{}
	for _, id := range contents {
		chosen[id] = true
	}
	var objects []bundle.Object
	for _, c := range copies {
		for _, o := range c.Objects {
			if o.Role == evidence.Content && !(chosen[c.CopyID] && c.Class == evidence.Working) {
				continue // masters never leave
			}
			if leaves(c, o.Role) {
				continue
			}
			objects = append(objects, bundle.Object{
				Role: o.Role, Exhibit: c.Exhibit, Number: c.Number, Size: o.Size, SHA256: o.SHA256,
				Open: func(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx, c.CopyID, o, 0, o.Size) },
			})
		}
	}
	return objects
}

// Name is the file name of the bundle.
func (e *Export) Name() string { return string(e.Reference) + ".zip" }

// Created is the moment of the seal.
func (e *Export) Created() time.Time { return e.source.Created }
