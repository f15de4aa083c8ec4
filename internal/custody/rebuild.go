package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// ErrIncompleteStore: the object store does not hold the whole ledger, or not as it was
// published.
var ErrIncompleteStore = errors.New("the object store does not hold the whole ledger")

// RebuildConfig is what a ledger is rebuilt from.
type RebuildConfig struct {
	// Build makes a new database, whole or not at all: package database's.
	Build   func(ctx context.Context, fill func(*database.Bulk) error) error
	Objects Objects
	Key     ledger.VerifierKey // of the ledger: nothing that it did not sign is taken
	Service identity.PublicKey // must be the one that the ledger enrols
	// Signatures has those of all entries verified too.
	Signatures bool
	Workers    int // cores to verify on
	// Signed is what the ledger's signer signed last, where it remembers. If that is more
	// than was published, the ledger is made and cannot go on: see RebuildReport.Lost.
	Signed ledger.Checkpoint
	// Progress, if not nil, is told how many entries are written, of at least how many.
	Progress func(done, total int64)
}

// RebuildReport is what a rebuilt ledger holds.
type RebuildReport struct {
	Origin     ledger.Origin `json:"origin"`
	Entries    int64         `json:"entries"`
	Root       ledger.Hash   `json:"root"`
	Segments   int64         `json:"segments"`
	Witnessed  int64         `json:"witnessed"`  // checkpoints with signatures of witnesses
	Anchored   int64         `json:"anchored"`   // rounds of time stamps
	Erased     int64         `json:"erased"`     // payloads that were not brought back
	Lost       int64         `json:"lost"`       // entries behind these that the signer has signed: it takes no others in their place
	Unlocked   int64         `json:"unlocked"`   // objects of the ledger with a weaker lock than the service noted at its start
	Signatures bool          `json:"signatures"` // those of all entries were verified
	Notes      []string      `json:"notes"`      // what else lies in the store
	Checkpoint []byte        `json:"-"`          // the newest one, signed
}

// Rebuild makes the database of a ledger from what the object store holds of it. Every
// envelope, both chains, the tree under every signed checkpoint, every payload and
// signature against its hash, and the law on a replay, have to hold; else nothing is
// made. It holds the state that the entries lead to in memory, and some segments.
func Rebuild(ctx context.Context, cfg RebuildConfig) (RebuildReport, error) {
	r := &rebuild{
		cfg: cfg, s: &Service{objects: cfg.Objects}, r: RebuildReport{Origin: cfg.Key.Origin(), Signatures: cfg.Signatures, Notes: []string{}},
		state: evidence.NewMemory(), chains: ledger.NewChecker(cfg.Key.Origin()), residues: map[int64][]byte{},
	}
	if d := cfg.Objects.Describe(); d.Kind == "directory" { // where there is one lock only
		r.lock = d.Lock
	}
	if r.cfg.Progress == nil {
		r.cfg.Progress = func(int64, int64) {}
	}
	r.cfg.Workers = max(r.cfg.Workers, 1)
	err := r.list(ctx)
	if err == nil {
		err = cfg.Build(ctx, func(b *database.Bulk) error { return r.fill(ctx, b) })
	}
	if err != nil {
		return RebuildReport{}, fmt.Errorf("rebuild: %w", err)
	}
	return r.r, nil
}

// rebuild is one under way.
type rebuild struct {
	cfg RebuildConfig
	s   *Service // for its way of reading objects alone
	r   RebuildReport
	shelves

	verifier identity.Verifier
	state    *evidence.Memory
	chains   *ledger.Checker
	lock     objectstore.LockMode // that the store gave, as the service noted at its last start
	residues map[int64][]byte     // payloads that lay in the store as what an erasure leaves
}

// passage is a segment on its way from the store into the database.
type passage struct {
	segment ledger.Segment
	objects [2]objectstore.Object // envelopes and payloads
	sum     digest.SHA256         // of the envelopes' object
	lock    objectstore.LockMode
	entries []database.Entry
	parsed  []ledger.Envelope
	events  []evidence.Event
	signers []identity.PublicKey
}

// fill reads, judges and writes, each at its own pace.
func (r *rebuild) fill(ctx context.Context, b *database.Bulk) error {
	group, running := errgroup.WithContext(ctx)
	read, lawful := make(chan *passage, 1), make(chan *passage, 1)
	group.Go(func() error {
		defer close(read)
		return r.read(running, read)
	})
	group.Go(func() error {
		defer close(lawful)
		for p := range read {
			if err := r.judge(p); err != nil {
				return err
			}
			select {
			case lawful <- p:
			case <-running.Done():
				return running.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		for p := range lawful {
			if err := running.Err(); err != nil {
				return err
			}
			if err := r.write(b, p); err != nil {
				return err
			}
		}
		return nil
	})
	err := group.Wait()
	r.reading.Wait() // what was begun and nobody wants any more: its context has ended
	if err != nil {
		return err
	}
	return r.finish(ctx, b)
}

// read gives the segments in their order, each held against its own checkpoint.
func (r *rebuild) read(ctx context.Context, to chan<- *passage) error {
	tree := &ledger.Tree{}
	for {
		p, next, err := r.next(ctx, tree)
		if err != nil || p == nil {
			return err
		}
		tree = next
		select {
		case to <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look judges what can be judged of each entry alone, on all cores.
func (r *rebuild) look(ctx context.Context, p *passage) error {
	p.events = make([]evidence.Event, len(p.entries))
	group, ctx := errgroup.WithContext(ctx)
	const run = 256
	group.SetLimit(r.cfg.Workers)
	for from := 0; from < len(p.entries); from += run {
		group.Go(func() error {
			for i := from; i < min(from+run, len(p.entries)); i++ {
				if err := r.lookAt(p, i); err != nil {
					return fmt.Errorf("entry %d: %w", p.entries[i].Seq, err)
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

func (r *rebuild) lookAt(p *passage, i int) error {
	e, envelope := &p.entries[i], &p.parsed[i]
	event, err := evidence.Parse(e.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIncompleteStore, err)
	}
	if string(envelope.Log) != event.Log || envelope.Case != ledger.CaseID(event.Case) || string(envelope.Type) != string(evidence.EntryTypeOf(event)) {
		return fmt.Errorf("%w: the payload is not of its envelope", ErrIncompleteStore)
	}
	p.events[i], e.EventID = event, event.ID
	e.Erased = sha256.Sum256(e.Payload) != envelope.Payload // to be erased by an entry to come, see finish
	if e.Erased && evidence.IsResidue(event) != nil {
		return fmt.Errorf("%w: its payload is not the one that the envelope names", ErrIncompleteStore)
	}
	if !e.Erased && event.IsErased() { // the service records none like that
		return fmt.Errorf("%w: its payload is what erasing leaves of an entry, and stands for the entry itself", ErrIncompleteStore)
	}
	return nil
}

// judge holds the entries against both chains and the law, in their order.
func (r *rebuild) judge(p *passage) error {
	if r.cfg.Signatures {
		p.signers = make([]identity.PublicKey, len(p.entries))
	}
	for i := range p.entries {
		if err := r.judgeEntry(p, i); err != nil {
			return fmt.Errorf("entry %d: %w", p.entries[i].Seq, err)
		}
	}
	p.lock = r.lock
	if r.cfg.Signatures {
		return r.verify(p)
	}
	return nil
}

func (r *rebuild) judgeEntry(p *passage, i int) error {
	e, envelope, event := &p.entries[i], p.parsed[i], p.events[i]
	if err := r.chains.AddParsed(envelope, e.Leaf); err != nil {
		return fmt.Errorf("%w: %w", ErrIncompleteStore, err)
	}
	signer, err := r.signer(event)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIncompleteStore, err)
	}
	if e.Seq == 0 && signer != r.cfg.Service {
		return fmt.Errorf("the ledger enrols another service key, %s: bring the service_key that belongs to it", signer.Fingerprint())
	}
	if p.signers != nil {
		p.signers[i] = signer
	}
	if e.Erased {
		r.residues[e.Seq] = e.Payload
	}
	changes, err := evidence.Apply(r.state, event, evidence.Position{
		CaseSeq: envelope.CaseSeq, Time: evidence.TimeOf(envelope.Time.Std()),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIncompleteStore, err)
	}
	if b, ok := event.Body.(evidence.ServiceStarted); ok {
		r.lock = objectstore.LockMode(b.Lock)
	}
	r.state.Save(changes)
	r.state.Record(event.Case, digest.SHA256(e.Leaf), envelope.CaseSeq)
	return nil
}

// signer gives the key that was the actor's when the entry was made. With the first
// entry of a ledger the service brings its own.
func (r *rebuild) signer(event evidence.Event) (identity.PublicKey, error) {
	if b, ok := event.Body.(evidence.PersonEnrolled); ok && b.Principal == identity.Service && event.Actor == identity.Service {
		return b.Key, nil
	}
	p, err := r.state.Person(event.Actor)
	if err != nil {
		return identity.PublicKey{}, fmt.Errorf("%s: %w", event.Actor, err)
	}
	return p.Key, nil
}

// verify checks the signatures of a segment's entries, on all cores.
func (r *rebuild) verify(p *passage) error {
	var group errgroup.Group
	group.SetLimit(r.cfg.Workers)
	for i := range p.entries {
		e := &p.entries[i]
		if e.Erased {
			continue // what it was made over is gone
		}
		group.Go(func() error {
			if err := r.verifier.Verify(p.signers[i], identity.NamespaceEvent, e.Payload, e.Signature); err != nil {
				return fmt.Errorf("entry %d: %w: %w: %w", e.Seq, ErrIncompleteStore, ErrSignature, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// write adds a segment to the database.
func (r *rebuild) write(b *database.Bulk, p *passage) error {
	if err := b.AppendAll(p.entries); err != nil {
		return err
	}
	to := p.segment.To()
	row, err := publishedRow(p.segment, object(roleEnvelopes, r.locked(p.objects[0], p.lock), p.sum),
		object(rolePayloads, r.locked(p.objects[1], p.lock), digest.SHA256(p.segment.Payloads.SHA256)))
	if err != nil {
		return err
	}
	if err := errors.Join(b.SaveCheckpoint(to, p.segment.Checkpoint), b.SavePublished(row)); err != nil {
		return err
	}
	r.r.Entries, r.r.Checkpoint = to, p.segment.Checkpoint
	r.r.Segments++
	r.cfg.Progress(to, max(to, r.starts[len(r.starts)-1]))
	return nil
}

// locked gives an object as it is to be noted: with the lock that the store gave when it
// was put. One that was lost since is for every audit to find.
func (r *rebuild) locked(o objectstore.Object, was objectstore.LockMode) objectstore.Object {
	if strictness[o.Lock] < strictness[was] {
		r.r.Unlocked++
		o.Lock = was
	}
	return o
}

// finish writes the state that all entries led to, and what others signed.
func (r *rebuild) finish(ctx context.Context, b *database.Bulk) error {
	if r.r.Entries == 0 {
		return fmt.Errorf("%w: there is not one segment of %s in it", ErrIncompleteStore, r.r.Origin)
	}
	r.r.Root = r.chains.Root()
	if err := r.continues(b.Tx); err != nil {
		return err
	}
	all := r.state.All()
	r.r.Erased = int64(len(all.Erasures))
	for _, e := range all.Erasures {
		if residue, ok := r.residues[e.Entry]; ok && string(residue) == e.Residue {
			delete(r.residues, e.Entry)
		}
	}
	for seq := range r.residues {
		return fmt.Errorf("entry %d: %w: its payload is not the one that the envelope names, and no entry erases it", seq, ErrIncompleteStore)
	}
	if err := b.Save(all); err != nil {
		return err
	}
	return r.restoreProofs(ctx, b.Tx)
}

// continues holds the entries against what was signed last. Entries that were signed and
// not published are lost; those before them are true.
func (r *rebuild) continues(tx *database.Tx) error {
	last := r.cfg.Signed
	if r.r.Lost = max(last.Size-r.r.Entries, 0); r.r.Lost > 0 {
		return nil
	}
	root, err := ledger.RootAt(last.Size, tx.Hashes())
	if err == nil && last.Size > 0 && root != last.Root {
		err = fmt.Errorf("%w: at %d entries its root is %s, the signer signed %s", ErrRollback, last.Size, root, last.Root)
	}
	return err
}

// restoreProofs brings back what witnesses and time stamping authorities signed.
func (r *rebuild) restoreProofs(ctx context.Context, tx *database.Tx) error {
	for _, kind := range []struct {
		prefix  string
		count   *int64
		restore func(objectstore.Object, []byte) error
	}{
		{witnessedPrefix, &r.r.Witnessed, func(o objectstore.Object, data []byte) error { return restoreWitnessed(tx, r.cfg.Key, o, data) }},
		{anchorPrefix, &r.r.Anchored, func(o objectstore.Object, data []byte) error { return restoreAnchors(tx, r.cfg.Key, o, data) }},
	} {
		for versions, err := range r.versions(ctx, kind.prefix) {
			if err != nil {
				return err
			}
			if r.takeFirst(ctx, versions, kind.restore) {
				*kind.count++
			}
		}
	}
	return nil
}

// versions gives the objects with a prefix, key by key, each with its versions, the oldest
// first: stores list the newest first.
func (r *rebuild) versions(ctx context.Context, prefix string) iter.Seq2[[]objectstore.Object, error] {
	return func(yield func([]objectstore.Object, error) bool) {
		var versions []objectstore.Object
		eldestFirst := func() bool {
			slices.Reverse(versions)
			return len(versions) == 0 || yield(versions, nil)
		}
		for o, err := range r.cfg.Objects.List(ctx, prefix) {
			switch {
			case err != nil && o.Key == "":
				yield(nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
				return
			case err != nil:
				r.tell("object %s cannot be looked at: %v", o.Key, err)
				continue
			case o.Marker:
				continue
			}
			if len(versions) > 0 && versions[0].Key != o.Key {
				if !eldestFirst() {
					return
				}
				versions = nil
			}
			versions = append(versions, o)
		}
		eldestFirst()
	}
}

// takeFirst takes the first version that holds. That others do not proves nothing: anybody
// can have put them who may write to the store.
func (r *rebuild) takeFirst(ctx context.Context, versions []objectstore.Object, take func(objectstore.Object, []byte) error) bool {
	for i, o := range versions {
		data, err := r.s.readWhole(ctx, o)
		if err == nil {
			err = take(r.locked(o, r.lock), data)
		}
		if err != nil {
			r.tell("object %s was not taken: %v", o.Key, err)
			continue
		}
		for _, other := range versions[i+1:] {
			r.tell("object %s: version %q is not taken: another holds that comes before it", o.Key, other.Version)
		}
		return true
	}
	return false
}

func (r *rebuild) tell(format string, args ...any) {
	const most = 100
	if len(r.r.Notes) < most {
		r.r.Notes = append(r.r.Notes, fmt.Sprintf(format, args...))
	}
}

// newEntry gives the row of an entry without its event.
func newEntry(e ledger.SegmentEntry, envelope ledger.Envelope, leaf ledger.Hash, payload []byte) database.Entry {
	return database.Entry{
		Seq: envelope.Seq, Case: envelope.Case, CaseSeq: envelope.CaseSeq, EventID: uuid.UUID{},
		Leaf: leaf, Envelope: e.Envelope, Payload: payload, Signature: e.Signature,
	}
}
