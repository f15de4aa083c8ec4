package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// shelves are the versions of the ledger's objects in a store, the oldest of each key
// first: what was published before somebody put another over it.
type shelves struct {
	segments map[int64][]objectstore.Object
	payloads map[string][]objectstore.Object
	last     int64 // where the last segment begins
}

// list looks at all segments and payloads. Delete markers hide nothing from it.
func (r *rebuild) list(ctx context.Context) error {
	r.segments, r.payloads = map[int64][]objectstore.Object{}, map[string][]objectstore.Object{}
	for _, prefix := range []string{"ledger-", "payload-"} {
		for o, err := range r.cfg.Objects.List(ctx, prefix) {
			from, isSegment := ledger.ParseSegmentKey(o.Key)
			_, _, isPayloads := ledger.ParsePayloadsKey(o.Key)
			switch {
			case err != nil && o.Key == "":
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			case err != nil:
				r.tell("object %s cannot be looked at: %v", o.Key, err)
			case o.Marker:
				r.tell("somebody has deleted object %s: what the marker hides is taken", o.Key)
			case isSegment: // stores list the newest version first
				r.segments[from] = slices.Insert(r.segments[from], 0, o)
				r.last = max(r.last, from)
			case isPayloads:
				r.payloads[o.Key] = slices.Insert(r.payloads[o.Key], 0, o)
			default:
				r.tell("object %s is none of the ledger's", o.Key)
			}
		}
	}
	return nil
}

// next gives the segment that goes on behind a tree, and the tree with it; nothing, where
// the ledger ends. Of several versions the first that holds is taken.
func (r *rebuild) next(ctx context.Context, tree *ledger.Tree) (*passage, *ledger.Tree, error) {
	from := tree.Size()
	if len(r.segments[from]) == 0 {
		return nil, nil, r.end(from)
	}
	var faults []error
	for i, o := range r.segments[from] {
		data, err := r.s.readWhole(ctx, o)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		var p *passage
		var grown *ledger.Tree
		if err == nil {
			p, grown, err = r.open(data, tree)
		}
		if err == nil {
			err = r.addPayloads(ctx, p, o, sha256.Sum256(data))
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("version %q: %w", o.Version, err))
			continue
		}
		for _, fault := range faults {
			r.tell("object %s: not taken: %v", o.Key, fault)
		}
		for _, other := range r.segments[from][i+1:] {
			r.tell("object %s: version %q was put after the one that holds, and is not taken", o.Key, other.Version)
		}
		delete(r.segments, from)
		return p, grown, nil
	}
	return nil, nil, fmt.Errorf("%w: object %s: %w", ErrIncompleteStore, ledger.SegmentKey(from), errors.Join(faults...))
}

// end demands that nothing is behind the end.
func (r *rebuild) end(size int64) error {
	for from := range r.segments {
		if from > size {
			return fmt.Errorf("%w: object %s is missing, and there are segments behind it", ErrIncompleteStore, ledger.SegmentKey(size))
		}
		r.tell("object %s: no segment of the ledger begins there", ledger.SegmentKey(from))
	}
	for key := range r.payloads {
		if from, _, _ := ledger.ParsePayloadsKey(key); from >= size {
			r.tell("object %s holds payloads of entries whose segment was not published any more: at least one entry is lost that was acknowledged", key)
		}
	}
	return nil
}

// open reads a segment and holds it against its checkpoint.
func (r *rebuild) open(data []byte, tree *ledger.Tree) (*passage, *ledger.Tree, error) {
	segment, err := ledger.ParseSegment(data)
	if err != nil {
		return nil, nil, err
	}
	c, err := segment.Verify(r.cfg.Key)
	if err != nil {
		return nil, nil, err
	}
	p := &passage{segment: segment, parsed: make([]ledger.Envelope, len(segment.Entries))}
	grown := tree.Clone()
	var hashes []ledger.Hash
	for i, e := range segment.Entries {
		if p.parsed[i], err = ledger.ParseEnvelope(e.Envelope); err != nil {
			return nil, nil, fmt.Errorf("entry %d: %w", segment.From+int64(i), err)
		}
		leaf := ledger.LeafHash(e.Envelope)
		hashes = grown.Append(hashes[:0], leaf)
		p.entries = append(p.entries, newEntry(e, p.parsed[i], leaf, nil))
	}
	if segment.From != tree.Size() || c.Size != grown.Size() || c.Root != grown.Root() {
		return nil, nil, fmt.Errorf("its %d entries do not lead to the root that was signed, %s", grown.Size(), c.Root)
	}
	return p, grown, nil
}

// addPayloads reads the payloads that a segment names, and notes both objects.
func (r *rebuild) addPayloads(ctx context.Context, p *passage, o objectstore.Object, sum digest.SHA256) error {
	name := p.segment.Payloads
	for _, candidate := range r.payloads[name.Key] {
		if candidate.Size != name.Size {
			continue
		}
		data, err := r.s.readWhole(ctx, candidate)
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
		p.row, err = publishedRow(p.segment, object(roleEnvelopes, o, sum), object(rolePayloads, candidate, digest.SHA256(name.SHA256)))
		return err
	}
	return fmt.Errorf("object %s, which the segment names, is not in the store", name.Key)
}
