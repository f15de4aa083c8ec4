package custody

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// named is an object that an entry names.
type named struct {
	evidence.Object
	of      evidence.Copy
	differs bool   // its copy was quarantined as it came: what arrived is not what lies in the store
	subject string // such as "2026-0042/E-001/M1 content"
	there   bool   // the store has it
	found   []verify.Finding
}

func (n *named) find(code verify.Code, format string, args ...any) {
	n.found = append(n.found, finding(code, n.subject, format, args...))
}

// objects holds the ledger against the store, and the store against the ledger.
func (a *audit) objects(ctx context.Context) error {
	nouns := a.state.All()
	s := newShelf(nouns)
	unexplained, err := a.list(ctx, s) // first: it tells when the store cannot be asked at all
	all := append(namedObjects(nouns), slices.Concat(a.publication.order, a.witnessed.order, a.stamps.order)...)
	if err == nil {
		err = a.look(ctx, all)
	}
	if err == nil && a.cfg.Contents {
		err = errors.Join(a.contents(ctx, all), a.segments(ctx))
	}
	// What was found until an error came is no less true.
	for _, n := range all {
		a.r.Findings = append(a.r.Findings, n.found...)
	}
	a.r.Findings = append(a.r.Findings, unexplained...)
	a.r.Pending = s.pending()
	if err != nil {
		return err
	}
	return a.uploads(ctx, s)
}

// namedObjects gives every object that an entry names, in the order in which people
// would look for them.
func namedObjects(nouns evidence.Changes) []*named {
	references := referencesOf(nouns)
	slices.SortFunc(nouns.Copies, func(x, y evidence.Copy) int {
		return cmp.Or(cmp.Compare(references[x.Case], references[y.Case]), bytes.Compare(x.Case[:], y.Case[:]),
			cmp.Compare(x.Exhibit, y.Exhibit), cmp.Compare(x.Class, y.Class),
			cmp.Compare(len(x.Number), len(y.Number)), cmp.Compare(x.Number, y.Number))
	})
	quarantined := map[uuid.UUID]bool{}
	for _, i := range nouns.Intakes {
		quarantined[i.Intake] = i.State == evidence.Quarantined
	}
	var all []*named
	for _, c := range nouns.Copies {
		path := evidence.Path{Case: references[c.Case], Exhibit: c.Exhibit, Copy: c.Number}
		for _, o := range c.Objects {
			all = append(all, &named{Object: o, of: c, differs: quarantined[c.Intake], subject: fmt.Sprintf("%s %s", path, o.Role)})
		}
	}
	return all
}

func referencesOf(nouns evidence.Changes) map[evidence.CaseID]evidence.Name {
	references := make(map[evidence.CaseID]evidence.Name, len(nouns.Cases))
	for _, c := range nouns.Cases {
		references[c.ID] = c.Reference
	}
	return references
}

// looks is how many objects the store is asked about at once.
const looks = 16

// look asks the store for every object that an entry names, by its version.
func (a *audit) look(ctx context.Context, all []*named) error {
	var done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for _, n := range all {
		group.Go(func() error {
			now, err := a.cfg.Objects.Stat(ctx, n.Key, n.Version)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n.compare(now, err)
			a.cfg.Progress(AuditObjects, done.Add(1), int64(len(all)))
			return nil
		})
	}
	return group.Wait()
}

// strictness orders the locks.
var strictness = map[objectstore.LockMode]int{
	objectstore.LockNone: 0, objectstore.LockDirectory: 1, objectstore.LockGovernance: 2, objectstore.LockCompliance: 3,
}

// compare holds what the store answered against what the entry says.
func (n *named) compare(now objectstore.Object, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.find(CodeObjectMissing, "%v", err)
		return
	case err != nil:
		n.find(CodeObjectUnreadable, "%v", err)
		return
	}
	n.there = true
	if now.Bucket != n.Bucket {
		n.find(CodeObjectBucket, "is in the bucket %s, the entry names %s", now.Bucket, n.Bucket)
	}
	if now.Size != n.Size {
		n.find(CodeObjectSize, "has %d bytes, the entry says %d", now.Size, n.Size)
	}
	if strictness[now.Lock] < strictness[objectstore.LockMode(n.Lock)] {
		next := ""
		if n.Lock == string(objectstore.LockDirectory) {
			next = ": somebody made it writable, or it was copied here without its immutable attribute, which root gives again (chattr +i on the file)"
		}
		n.find(CodeObjectLock, "has the lock %s, the entry says %s%s", now.Lock, n.Lock, next)
	}
	if n.RetainUntil != nil && now.RetainUntil.Before(n.RetainUntil.Time()) {
		n.find(CodeObjectRetention, "is locked until %s, the entry says %s", evidence.TimeOf(now.RetainUntil), n.RetainUntil)
	}
}

// contents reads and hashes every object that is there: those with a list of
// midstates one after the other on all cores, the others side by side.
func (a *audit) contents(ctx context.Context, all []*named) error {
	var total int64
	var large, small []*named
	for _, n := range all {
		switch {
		case !n.there:
			continue
		case digest.MidstateCount(n.Size) > 0:
			large = append(large, n)
		default:
			small = append(small, n)
		}
		total += n.Size
	}
	var done atomic.Int64
	progress := func(read int64) { a.cfg.Progress(AuditBytes, done.Add(read), total) }
	for _, n := range large {
		if err := a.rehash(ctx, n, a.workers(), progress); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(a.workers())
	for _, n := range small {
		group.Go(func() error { return a.rehash(ctx, n, 1, progress) })
	}
	return group.Wait()
}

// rehash reads an object back and compares its SHA-256 with the entry's.
func (a *audit) rehash(ctx context.Context, n *named, workers int, progress func(int64)) error {
	s := &Service{objects: a.cfg.Objects, cfg: Config{Workers: workers}} // for its way of reading objects alone
	var list digest.Midstates
	if n.Role == evidence.Content {
		var err error
		if list, _, err = s.midstatesOf(ctx, n.of); err != nil {
			list = nil // that object has its own findings; an ordinary pass decides here
		}
	}
	want, err := digest.Set{}.With(digest.AlgSHA256, n.SHA256.String())
	if err != nil {
		return err
	}
	read, err := s.hash(ctx, n.Object, list, want, progress)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		n.find(verify.CodeContentRead, "%v", err)
		return nil
	}
	n.judge(read.verdict, len(list) > 0)
	return nil
}

// judge puts the verdict on an object's bytes into findings.
func (n *named) judge(v digest.Verdict, list bool) {
	differs := verify.CodeObjectDiffers
	if n.Role == evidence.Content {
		differs = verify.CodeContentDiffers
	}
	switch {
	case v.Result == digest.Mismatch:
		n.find(differs, "has the SHA-256 %s, the entry says %s", v.SHA256, n.SHA256)
		n.found[len(n.found)-1].Ranges = v.Damaged
	case v.Result == digest.Unreadable:
		n.find(verify.CodeContentRead, "%v", v.Cause)
		n.found[len(n.found)-1].Ranges = v.Unreadable
	case v.Unstable:
		n.find(verify.CodeContentChanges, "gave other bytes when it was read again")
	case v.ListWrong && list && !n.differs: // the list is of the bytes that arrived
		n.find(verify.CodeMidstates, "the sealed list of midstates is not that of the sealed bytes")
	}
}
