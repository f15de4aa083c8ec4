package custody

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// publication is what the database notes of the ledger in the store.
type publication struct {
	size    int64                      // entries in noted segments
	starts  map[int64]bool             // of noted segments
	objects map[string]evidence.Object // by key
	order   []*named                   // envelopes and payloads of each segment
}

// published reads the notes of segments, which the schema keeps in order.
func (a *audit) published(tx *database.Tx) error {
	a.publication = publication{starts: map[int64]bool{}, objects: map[string]evidence.Object{}}
	p := &a.publication
	for row, err := range paged(tx.Published, func(row database.Published) (database.Published, int64) { return row, row.From }) {
		if err != nil {
			return err
		}
		name := rowName("published", fmt.Sprint(row.From))
		var envelopes, payloads evidence.Object
		err := errors.Join(json.Unmarshal(row.Envelopes, &envelopes), json.Unmarshal(row.Payloads, &payloads))
		begins, _, isSegment := ledger.ParseSegmentKey(envelopes.Key)
		first, _, ok := ledger.ParsePayloadsKey(payloads.Key)
		switch {
		case err != nil:
			a.find(CodeRowDamaged, name, "%v", err)
		case !isSegment || begins != row.From || !ok || first != row.From || row.From != p.size:
			a.find(CodeRowDamaged, name, "is not of the segment that was due, from %d", p.size)
		}
		p.size = row.To
		p.starts[row.From] = true
		for _, o := range []evidence.Object{envelopes, payloads} {
			p.objects[o.Key] = o
			p.order = append(p.order, &named{Object: o, subject: fmt.Sprintf("ledger from %d %s", row.From, o.Role)})
		}
	}
	if waiting := a.r.Entries - p.size; waiting > 0 {
		a.note("the newest %d entries are not noted to be in the object store: the service puts them there when it starts", waiting)
	}
	return nil
}

// kept tells what is wrong with an object that holds a part of the ledger, as far as one
// need not look into it: err is of asking for it, version the one that is noted, if one is.
func kept(o objectstore.Object, err error, noted bool, version string) (verify.Code, string) {
	switch {
	case o.Marker:
		return CodeObjectMarker, "hides the versions below it: somebody has deleted the object"
	case err != nil:
		return CodeObjectUnreadable, err.Error()
	case noted && o.Version != version:
		return CodeObjectVersion, "the version that was noted is " + version
	}
	return "", ""
}

// explainPublished tells what is wrong with an object of the store whose key is that of
// a segment or its payloads.
func (a *audit) explainPublished(ctx context.Context, o objectstore.Object, err error) (verify.Code, string) {
	noted, known := a.publication.objects[o.Key]
	from, _, isSegment := ledger.ParseSegmentKey(o.Key)
	first, _, _ := ledger.ParsePayloadsKey(o.Key)
	if code, detail := kept(o, err, known, noted.Version); known || code != "" {
		return code, detail
	}
	if o.Size > ledger.MaxSegmentSize {
		return CodeSegmentForeign, fmt.Sprintf("it has %d bytes, a segment at most %d", o.Size, ledger.MaxSegmentSize)
	}
	s := &Service{objects: a.cfg.Objects} // for its way of reading objects alone
	data, err := s.readWhole(ctx, o)
	if err != nil {
		return CodeObjectUnreadable, err.Error()
	}
	if !isSegment {
		switch err := comparePayloads(ctx, a.cfg.Database, data, first); {
		case errors.Is(err, errForeign):
			return CodeSegmentForeign, err.Error()
		case err != nil:
			return CodeDatabaseDamaged, err.Error()
		}
		if a.publication.starts[first] {
			a.note("object %s was left behind: the service was interrupted before it put the segment", o.Key)
		}
		return "", "" // or of a segment that is not noted yet
	}
	segment, _, err := openSegment(data, a.cfg.Key, from)
	if err != nil {
		return CodeSegmentForeign, err.Error()
	}
	if segment.To() > a.r.Entries {
		return CodeStoreAhead, fmt.Sprintf("the object store holds %d entries, the database %d: it was rolled back", segment.To(), a.r.Entries)
	}
	if from < a.publication.size {
		return CodeObjectUnknown, "another segment of the ledger was published there"
	}
	return a.compareSegment(ctx, segment, nil)
}

// isPublished reports whether a key is that of a segment or its payloads.
func isPublished(key string) bool {
	_, _, segment := ledger.ParseSegmentKey(key)
	_, _, payloads := ledger.ParsePayloadsKey(key)
	return segment || payloads
}

// segments reads every published segment and holds it against the entries.
func (a *audit) segments(ctx context.Context) error {
	s := &Service{objects: a.cfg.Objects} // for its way of reading objects alone
	for i := 0; i+1 < len(a.publication.order); i += 2 {
		envelopes, payloads := a.publication.order[i], a.publication.order[i+1]
		if err := ctx.Err(); err != nil {
			return err
		}
		if !envelopes.there || !payloads.there || len(envelopes.found)+len(payloads.found) > 0 {
			continue // told already
		}
		first, err := s.readWhole(ctx, stored(envelopes.Object))
		if err != nil {
			envelopes.find(verify.CodeContentRead, "%v", err)
			continue
		}
		segment, err := ledger.ParseSegment(first)
		if err == nil {
			_, err = segment.Verify(a.cfg.Key)
		}
		if err == nil && (segment.Payloads.Key != payloads.Key || segment.Payloads.SHA256 != ledger.Hash(payloads.SHA256)) {
			err = errors.New("it names other payloads than were noted")
		}
		if err != nil {
			envelopes.find(verify.CodeObjectDiffers, "%v", err)
			continue
		}
		second, err := s.readWhole(ctx, stored(payloads.Object))
		if err != nil {
			payloads.find(verify.CodeContentRead, "%v", err)
			continue
		}
		from, texts, err := ledger.ParsePayloads(second)
		if err != nil || from != segment.From || len(texts) != len(segment.Entries) {
			payloads.find(verify.CodeObjectDiffers, "is not of the segment's entries: %v", err)
			continue
		}
		if code, detail := a.compareSegment(ctx, segment, texts); code != "" {
			envelopes.find(code, "%s", detail)
		}
	}
	return nil
}

// compareSegment holds a segment, and its payloads if they are given, against the
// entries of the database.
func (a *audit) compareSegment(ctx context.Context, segment ledger.Segment, payloads [][]byte) (verify.Code, string) {
	var run []database.Entry
	err := a.cfg.Database.View(ctx, func(tx *database.Tx) (err error) {
		run, err = tx.Run(segment.From, segment.To(), 2*ledger.MaxSegmentSize)
		return err
	})
	if err != nil {
		return CodeDatabaseDamaged, err.Error()
	}
	for i, e := range segment.Entries {
		if i >= len(run) || !bytes.Equal(run[i].Envelope, e.Envelope) || !bytes.Equal(run[i].Signature, e.Signature) {
			return verify.CodeObjectDiffers, fmt.Sprintf("its entry %d is not the database's", segment.From+int64(i))
		}
		if payloads == nil || bytes.Equal(payloads[i], run[i].Payload) {
			continue
		}
		// What was erased since lies there until its lock ends.
		if envelope, err := ledger.ParseEnvelope(e.Envelope); err != nil || sha256.Sum256(payloads[i]) != envelope.Payload {
			return verify.CodeObjectDiffers, fmt.Sprintf("the payload of entry %d is not the database's", segment.From+int64(i))
		}
	}
	return "", ""
}
