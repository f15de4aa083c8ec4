package custody

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// shelves are the objects of the ledger in a store with all their versions: the first
// name before the others, and of each the oldest version first, which was put before
// somebody put another over it.
type shelves struct {
	segments map[int64][]objectstore.Object
	payloads map[int64][]objectstore.Object
	starts   []int64 // of the segments, in order
	ahead    map[shelved]*readAhead
	budget   int64 // bytes that are being read ahead
	reading  sync.WaitGroup
}

// list looks at all segments and payloads. Delete markers hide nothing from it.
func (r *rebuild) list(ctx context.Context) error {
	r.segments, r.payloads = map[int64][]objectstore.Object{}, map[int64][]objectstore.Object{}
	r.ahead = map[shelved]*readAhead{}
	for _, prefix := range []string{"ledger-", "payload-"} {
		for o, err := range r.cfg.Objects.List(ctx, prefix) {
			from, _, isSegment := ledger.ParseSegmentKey(o.Key)
			first, _, isPayloads := ledger.ParsePayloadsKey(o.Key)
			switch {
			case err != nil && o.Key == "":
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			case err != nil:
				r.tell("object %s cannot be looked at: %v", o.Key, err)
			case o.Marker:
				r.tell("somebody has deleted object %s: what the marker hides is taken", o.Key)
			case isSegment:
				r.segments[from] = append(r.segments[from], o)
			case isPayloads:
				r.payloads[first] = append(r.payloads[first], o)
			default:
				r.tell("object %s is none of the ledger's", o.Key)
			}
		}
	}
	for _, all := range []map[int64][]objectstore.Object{r.segments, r.payloads} {
		for _, versions := range all {
			slices.Reverse(versions) // stores list the newest first
			slices.SortStableFunc(versions, func(x, y objectstore.Object) int { return compareNames(x.Key, y.Key) })
		}
	}
	r.starts = slices.Sorted(maps.Keys(r.segments))
	return nil
}

// compareNames puts the names of one object in their order: shorter numbers are smaller.
func compareNames(x, y string) int { return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)) }

// next gives the segment that goes on behind a tree, and the tree with it; nothing, where
// the ledger ends. The first object that holds is taken: others anybody can have put who
// may write to the store.
func (r *rebuild) next(ctx context.Context, tree *ledger.Tree) (*passage, *ledger.Tree, error) {
	from := tree.Size()
	r.begin(ctx, from)
	var faults []error
	ours := false
	for i, o := range r.segments[from] {
		p, grown, err := r.candidate(ctx, o, tree)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			ours = ours || !errors.Is(err, errForeign)
			faults = append(faults, fmt.Errorf("object %s version %q: %w", o.Key, o.Version, err))
			continue
		}
		for _, fault := range faults {
			r.tell("not taken: %v", fault)
		}
		for _, other := range r.segments[from][i+1:] {
			r.tell("object %s: version %q is not taken: another holds that comes before it", other.Key, other.Version)
		}
		delete(r.segments, from)
		return p, grown, nil
	}
	if ours {
		return nil, nil, fmt.Errorf("%w: %w", ErrIncompleteStore, errors.Join(faults...))
	}
	return nil, nil, r.end(ctx, from, faults)
}

// candidate opens one object as the segment behind a tree. If it is one that the ledger's
// key did not sign, the error is errForeign.
func (r *rebuild) candidate(ctx context.Context, o objectstore.Object, tree *ledger.Tree) (*passage, *ledger.Tree, error) {
	if o.Size > ledger.MaxSegmentSize {
		return nil, nil, fmt.Errorf("%w: it has %d bytes", errForeign, o.Size)
	}
	data, err := r.take(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	p, grown, err := r.open(data, tree)
	if err != nil {
		return nil, nil, err
	}
	if err := r.addPayloads(ctx, p, o, sha256.Sum256(data)); err != nil {
		return nil, nil, err
	}
	return p, grown, r.look(ctx, p)
}

// end demands that nothing of the ledger is behind the end.
func (r *rebuild) end(ctx context.Context, size int64, faults []error) error {
	for _, fault := range faults {
		r.tell("not taken: %v", fault)
	}
	for from, versions := range r.segments {
		for _, o := range versions {
			if from > size && o.Size <= ledger.MaxSegmentSize {
				data, err := r.s.readWhole(ctx, o)
				if err == nil {
					err = r.genuine(data, from)
				}
				if err == nil {
					return errors.Join(fmt.Errorf("%w: object %s is missing or spoilt, and there are segments behind it: %s", ErrIncompleteStore, ledger.SegmentKey(size, 1), o.Key),
						errors.Join(faults...))
				}
				if !errors.Is(err, errForeign) {
					return fmt.Errorf("%w: object %s: %w", ErrUnavailable, o.Key, err)
				}
			}
			if from != size {
				r.tell("object %s: no segment of the ledger begins there", o.Key)
			}
		}
	}
	for from, versions := range r.payloads {
		for _, o := range versions {
			if from < size {
				continue
			}
			what := "none of the ledger's"
			if data, err := r.s.readWhole(ctx, o); err != nil {
				what = "not to be read: " + err.Error()
			} else if first, payloads, err := ledger.ParsePayloads(data); err == nil && first == from {
				what = fmt.Sprintf("payloads of %d entries, of which no segment is there: if the service put it, these entries were acknowledged and are lost", len(payloads))
			}
			r.tell("object %s is %s", o.Key, what)
		}
	}
	return ctx.Err()
}

// genuine demands that bytes are a segment of this ledger: with a checkpoint of its key,
// and with the signatures that the entries' envelopes name, which only its service has
// before it is published.
func (r *rebuild) genuine(data []byte, from int64) error {
	segment, _, err := openSegment(data, r.cfg.Key, from)
	if err != nil {
		return err
	}
	for i, e := range segment.Entries {
		envelope, err := ledger.ParseEnvelope(e.Envelope)
		if err == nil && (envelope.Seq != from+int64(i) || sha256.Sum256(e.Signature) != envelope.Sig) {
			err = errors.New("its signature is not the one that the envelope names")
		}
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", errForeign, from+int64(i), err)
		}
	}
	return nil
}

// open reads a segment and holds it against its checkpoint.
func (r *rebuild) open(data []byte, tree *ledger.Tree) (*passage, *ledger.Tree, error) {
	segment, c, err := openSegment(data, r.cfg.Key, tree.Size())
	if err != nil {
		return nil, nil, err
	}
	p := &passage{segment: segment, parsed: make([]ledger.Envelope, len(segment.Entries)), entries: make([]database.Entry, 0, len(segment.Entries))}
	grown := tree.Clone()
	var hashes []ledger.Hash
	for i, e := range segment.Entries {
		if p.parsed[i], err = ledger.ParseEnvelope(e.Envelope); err != nil {
			return nil, nil, fmt.Errorf("%w: entry %d: %w", errForeign, segment.From+int64(i), err)
		}
		if sha256.Sum256(e.Signature) != p.parsed[i].Sig {
			return nil, nil, fmt.Errorf("%w: entry %d: its signature is not the one that the envelope names", errForeign, segment.From+int64(i))
		}
		leaf := ledger.LeafHash(e.Envelope)
		hashes = grown.Append(hashes[:0], leaf)
		p.entries = append(p.entries, newEntry(e, p.parsed[i], leaf, nil))
	}
	if c.Size != grown.Size() || c.Root != grown.Root() {
		return nil, nil, fmt.Errorf("%w: its %d entries do not lead to the root that was signed, %s", errForeign, len(segment.Entries), c.Root)
	}
	return p, grown, nil
}

// addPayloads reads the payloads that a segment names, and notes both objects.
func (r *rebuild) addPayloads(ctx context.Context, p *passage, o objectstore.Object, sum digest.SHA256) error {
	name := p.segment.Payloads
	for _, candidate := range r.payloads[p.segment.From] {
		if candidate.Key != name.Key || candidate.Size != name.Size {
			continue
		}
		data, err := r.take(ctx, candidate)
		if err != nil {
			return fmt.Errorf("object %s: %w", name.Key, err)
		}
		if sha256.Sum256(data) != name.SHA256 {
			continue
		}
		from, payloads, err := ledger.ParsePayloads(data)
		if err != nil {
			return fmt.Errorf("object %s: %w", name.Key, err)
		}
		if from != p.segment.From || len(payloads) != len(p.entries) {
			return fmt.Errorf("object %s holds payloads of other entries", name.Key)
		}
		for i := range p.entries {
			p.entries[i].Payload = payloads[i]
		}
		p.objects, p.sum = [2]objectstore.Object{o, candidate}, sum
		return nil
	}
	return fmt.Errorf("object %s, which the segment names, is not in the store", name.Key)
}

// Bounds of what is read ahead.
const (
	maxAhead      = 8 // segments
	maxAheadBytes = 64 << 20
)

// shelved names a version of an object.
type shelved struct{ key, version string }

// readAhead is an object on its way.
type readAhead struct {
	from int64 // where its segment begins
	size int64
	done chan struct{} // closed when the others are there
	data []byte
	err  error
}

// begin begins to read the next segments and their payloads, of each what was put
// first: a store that is far away answers many requests as fast as one.
func (r *rebuild) begin(ctx context.Context, from int64) {
	for name, b := range r.ahead {
		if b.from < from { // nobody asked for it
			r.budget -= b.size
			delete(r.ahead, name)
		}
	}
	i, _ := slices.BinarySearch(r.starts, from)
	for _, start := range r.starts[i:min(i+maxAhead, len(r.starts))] {
		for _, versions := range [][]objectstore.Object{r.segments[start], r.payloads[start]} {
			if len(versions) == 0 || versions[0].Size > ledger.MaxSegmentSize {
				continue
			}
			o := versions[0]
			name := shelved{o.Key, o.Version}
			if r.ahead[name] != nil {
				continue
			}
			if r.budget+o.Size > maxAheadBytes {
				return
			}
			r.budget += o.Size
			b := &readAhead{from: start, size: o.Size, done: make(chan struct{})}
			r.ahead[name] = b
			r.reading.Go(func() {
				defer close(b.done)
				b.data, b.err = r.s.readWhole(ctx, o)
			})
		}
	}
}

// take gives the bytes of an object, once.
func (r *rebuild) take(ctx context.Context, o objectstore.Object) ([]byte, error) {
	name := shelved{o.Key, o.Version}
	b := r.ahead[name]
	if b == nil {
		return r.s.readWhole(ctx, o)
	}
	<-b.done // ctx ends it
	r.budget -= b.size
	delete(r.ahead, name)
	return b.data, b.err
}
