package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/minio/minio-go/v7"
)

// probe writes a few small objects under a reserved prefix, with a minute of
// retention, and tries to do to them what must not be possible. What it leaves
// behind a later probe removes. It never asks the service to delete the bucket:
// a wrong answer to that would cost everything.
type probe struct {
	s           *S3 // a copy: what the probe finds does not change the store under it
	report      Report
	sum         checksum
	lock        LockMode
	conditional bool
}

const (
	probeRetention = time.Minute
	probeHold      = 2 * time.Second
	maxSkew        = 30 * time.Second
)

var (
	probeContent = []byte("custodyd looks whether this store keeps what it is given\n")
	// longContent takes more than one chunk of a request.
	longContent = bytes.Repeat(probeContent, 3000)
)

func (s *S3) newProbe() *probe {
	c := *s
	c.lock, c.conditional, c.sum = s.mode, true, sumCRC
	return &probe{s: &c, lock: s.mode, conditional: true}
}

// Probe looks again at everything the store is relied on for. It takes a few
// seconds, in which a short retention has to lapse.
func (s *S3) Probe(ctx context.Context) (Report, error) {
	p := s.newProbe()
	if err := p.run(ctx, true); err != nil {
		return Report{}, fmt.Errorf("probe s3 bucket %s at %s: %w", s.bucket, s.endpoint, err)
	}
	d := s.Describe()
	d.Missing = append(p.report.Missing(Required), p.report.Missing(Advised)...)
	p.report.Store = d
	return p.report, nil
}

// run makes all checks; the slow ones too when whole. Its error means that the
// service could not be asked.
func (p *probe) run(ctx context.Context, whole bool) error {
	if err := p.sweep(ctx); err != nil {
		return err
	}
	p.checksums(ctx)
	held := p.hold(ctx, whole)
	if o, locked := p.object(ctx); locked {
		p.refusals(ctx, o)
		p.overwrite(ctx, o)
	} else {
		p.lock = LockNone
	}
	p.multipart(ctx)
	held()

	var err error
	if skew := time.Duration(p.s.transport.skew.Load()); skew.Abs() > maxSkew {
		err = fmt.Errorf("the clock of the service is %s from ours", skew.Round(time.Second))
	}
	p.report.add("clock", Advised, err, "the clock of the service, which ends retention, agrees with ours")
	return ctx.Err()
}

func (p *probe) until() time.Time {
	return p.s.transport.now().Add(probeRetention).UTC().Truncate(time.Second)
}

// sweep removes what earlier probes left and is no longer locked. As the first
// requests of a probe it also shows that the service answers.
func (p *probe) sweep(ctx context.Context) error {
	const most = 200
	n := 0
	for v := range p.s.versions(ctx, reserved) {
		if v.Err != nil {
			return s3Error(v.Err)
		}
		if n++; n > most {
			break
		}
		_ = p.remove(ctx, v.Key, v.VersionID, false) // still locked, for now
	}
	return nil
}

func (p *probe) remove(ctx context.Context, key, version string, bypass bool) error {
	return p.s.core.RemoveObject(ctx, p.s.bucket, key, minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: bypass})
}

// refused turns the success of something that must fail into an error, and asks
// that the service itself said no.
func refused(err error, what string) error {
	if err == nil {
		return errors.New(what)
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500 {
		return nil
	}
	return fmt.Errorf("unclear answer: %w", err)
}

// checksums picks the first checksum that the service verifies.
func (p *probe) checksums(ctx context.Context) {
	var faults []error
	for _, sum := range []checksum{sumCRC, sumSHA, sumETag} {
		err := p.checksum(ctx, sum)
		if err == nil {
			p.sum, p.s.sum = sum, sum
			break
		}
		faults = append(faults, fmt.Errorf("%s: %w", sum, err))
	}
	if p.sum == "" {
		p.sum, p.s.sum = sumETag, sumETag // at least notice what we can
		p.report.add("checksum", Required, errors.Join(faults...), "")
		return
	}
	p.report.add("checksum", Required, nil, "content that was altered on the way is refused ("+string(p.sum)+")")
}

// checksum tries sum on an object and on a part, right and wrong. What should be
// refused is short: a service may hang up on more, which is no answer.
func (p *probe) checksum(ctx context.Context, sum checksum) error {
	t := *p.s
	t.lock, t.sum = LockNone, sum
	b, err := newBody(bytes.NewReader(longContent), int64(len(longContent)), sum)
	if err != nil {
		return err
	}
	if _, err := t.send(ctx, reserved+newID(), b, int64(len(longContent)), t.options(newID(), time.Time{})); err != nil {
		return err
	}
	md5, opts := "", t.options(newID(), time.Time{})
	if sum == sumETag {
		md5 = checksumOfNothing(sum)
	} else {
		opts.UserMetadata[sum.header()] = checksumOfNothing(sum)
	}
	_, err = t.core.PutObject(ctx, t.bucket, reserved+newID(), bytes.NewReader(probeContent), int64(len(probeContent)), md5, "", opts)
	if err := refused(err, "an object with a wrong checksum was taken"); err != nil {
		return err
	}
	u := Upload{Key: reserved + newID(), Mark: newID(), Sum: string(sum)}
	if u.ID, err = t.initiate(ctx, u); err != nil {
		return err
	}
	_, err = t.probePart(ctx, u, longContent, false)
	if err == nil && sum != sumETag { // with that, sendPart compares the answer
		_, err = t.probePart(ctx, u, probeContent, true)
		err = refused(err, "a part with a wrong checksum was taken")
	}
	return errors.Join(err, t.core.AbortMultipartUpload(ctx, t.bucket, u.Key, u.ID))
}

func (s *S3) probePart(ctx context.Context, u Upload, content []byte, spoil bool) (Part, error) {
	b, err := newBody(bytes.NewReader(content), int64(len(content)), checksum(u.Sum))
	if err != nil {
		return Part{}, err
	}
	b.spoil = spoil
	return s.sendPart(ctx, u, 1, b, int64(len(content)))
}

func checksumOfNothing(sum checksum) string {
	b := body{hash: sum.hash()}
	return b.encoded()
}

// write is one locked object of the probe, if the key is free.
func (p *probe) write(ctx context.Context, key string, until time.Time, conditional, hold bool) (string, error) {
	b, err := newBody(bytes.NewReader(probeContent), int64(len(probeContent)), p.sum)
	if err != nil {
		return "", err
	}
	opts := p.s.options(newID(), until)
	if conditional {
		opts.SetMatchETagExcept("*")
	}
	if hold {
		opts.LegalHold = minio.LegalHoldEnabled
	}
	info, err := p.s.send(ctx, key, b, int64(len(probeContent)), opts)
	return info.VersionID, err
}

// object writes the object that the next checks work on, and says whether it is
// locked.
func (p *probe) object(ctx context.Context) (o Object, locked bool) {
	key, until := reserved+newID(), p.until()
	version, err := p.write(ctx, key, until, true, false)
	if err != nil {
		// A service without locks may refuse to be asked for one.
		p.report.add("lock", Required, err, "")
		p.s.lock = LockNone
		key = reserved + newID() // versitygw refuses and has written
		if version, err = p.write(ctx, key, until, true, false); err != nil {
			p.report.add("write", Required, err, "objects can be written")
			return Object{}, false
		}
	}
	if version == "" || version == "null" {
		err = errors.New("an object that was written has no version id: versioning is off")
	}
	p.report.add("versioning", Required, err, "every write makes a version with an id")
	if o, err = p.s.stat(ctx, key, version); err != nil {
		p.report.add("read", Required, err, "objects can be looked at")
		return Object{}, false
	}
	p.free(ctx, key)
	if p.s.lock == LockNone {
		return o, false
	}
	if o.Lock != p.s.lock || o.RetainUntil.Before(until) {
		err = fmt.Errorf("asked for %s until %s, found lock %s", p.s.lock, until.Format(time.RFC3339), o.Lock)
	}
	p.report.add("lock", Required, err, "retention set with the write is read back")
	return o, err == nil
}

// free checks that a key that is taken cannot be written again.
func (p *probe) free(ctx context.Context, key string) {
	_, err := p.write(ctx, key, p.until(), true, false)
	if !errors.Is(s3Error(err), fs.ErrExist) {
		if err == nil {
			err = errors.New("If-None-Match was ignored and an existing key written again")
		}
		p.conditional = false
	} else {
		err = nil
	}
	p.report.add("conditional", Required, err, "a key is written once")
}

// refusals tries to get rid of a locked object.
func (p *probe) refusals(ctx context.Context, o Object) {
	p.report.add("delete", Required,
		refused(p.remove(ctx, o.Key, o.Version, false), "a locked version could be deleted"),
		"a locked version cannot be deleted")

	sooner := o.RetainUntil.Add(-probeRetention / 2)
	retain := func(mode minio.RetentionMode, until time.Time) error {
		return p.s.core.PutObjectRetention(ctx, p.s.bucket, o.Key, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: o.Version})
	}
	p.report.add("shorten", Required,
		refused(retain(retentionMode(o.Lock), sooner), "retention could be shortened"),
		"retention cannot be shortened")
	if o.Lock == LockCompliance {
		p.report.add("downgrade", Required,
			refused(retain(minio.Governance, o.RetainUntil), "compliance could be turned into governance"),
			"compliance cannot become governance")
	}
	still, err := p.s.stat(ctx, o.Key, o.Version)
	if err == nil && still != o {
		err = fmt.Errorf("lock %s until %s is now %s until %s", o.Lock, o.RetainUntil, still.Lock, still.RetainUntil)
	}
	p.report.add("unchanged", Required, err, "the object is as it was after all attempts")

	// In governance mode this may well succeed, and the object is gone then.
	weight := Required
	if o.Lock == LockGovernance {
		weight = Advised
		key := reserved + newID()
		version, err := p.write(ctx, key, p.until(), true, false)
		if err != nil {
			p.report.add("bypass", weight, err, "")
			return
		}
		o.Key, o.Version = key, version
	}
	p.report.add("bypass", weight,
		refused(p.remove(ctx, o.Key, o.Version, true), "our own credentials may bypass the lock and delete evidence"),
		"our own credentials cannot bypass the lock")
}

// overwrite checks that a later version leaves the lock of the earlier alone. We
// never write a key twice, others may.
func (p *probe) overwrite(ctx context.Context, o Object) {
	_, err := p.write(ctx, o.Key, p.until(), false, false)
	if err == nil {
		var still Object
		still, err = p.s.stat(ctx, o.Key, o.Version)
		if err == nil && still != o {
			err = fmt.Errorf("an overwrite leaves the earlier version with lock %s", still.Lock)
		}
		if err == nil {
			err = refused(p.remove(ctx, o.Key, o.Version, false), "an overwritten locked version could be deleted")
		}
	}
	p.report.add("overwrite", Advised, err, "a later version leaves the lock of the earlier alone")
}

// multipart completes an upload and looks at its lock.
func (p *probe) multipart(ctx context.Context) {
	u := Upload{Key: reserved + newID(), Mark: newID(), Size: int64(len(probeContent)), PartSize: partStep, Sum: string(p.sum), RetainUntil: p.until()}
	upload := func() (string, error) {
		var err error
		if u.ID, err = p.s.initiate(ctx, u); err != nil {
			return "", err
		}
		part, err := p.s.probePart(ctx, u, probeContent, false)
		if err != nil {
			return "", err
		}
		return p.s.join(ctx, u, []Part{part})
	}
	version, err := upload()
	var o Object
	if err == nil {
		o, err = p.s.stat(ctx, u.Key, version)
	}
	if err == nil && o.Size != u.Size {
		err = fmt.Errorf("%d bytes were sent and %d stored", u.Size, o.Size)
	}
	p.report.add("multipart", Required, err, "an object can be uploaded in parts")
	if err != nil {
		return
	}
	if p.s.lock != LockNone {
		if o.RetainUntil.IsZero() {
			err = errors.New("completion drops the lock; it is set again afterwards, and for a moment there is none")
			if _, again := p.s.retain(ctx, o, p.s.lock, u.RetainUntil); again != nil {
				err = errors.Join(err, again)
				p.report.add("multipart-lock", Required, err, "")
				p.lock = LockNone
				return
			}
		} else if o.Lock != p.s.lock || o.RetainUntil.Before(u.RetainUntil) {
			err = fmt.Errorf("lock %s until %s after completion", o.Lock, o.RetainUntil)
		}
		p.report.add("multipart-lock", Advised, err, "retention set when an upload begins is there when it completes")
	}
	first := u.ID
	if _, err = upload(); errors.Is(err, fs.ErrExist) {
		err = nil
	} else if err == nil {
		err = errors.New("If-None-Match was ignored and an existing key completed again")
	}
	if err != nil {
		p.conditional = false
	}
	if u.ID != first {
		err = errors.Join(err, p.s.Abort(ctx, u))
	}
	p.report.add("multipart-conditional", Required, err, "completion does not replace an object")
}

// hold writes an object with a legal hold and a retention that lapses soon. The
// function it returns waits for that and tries to delete the object.
func (p *probe) hold(ctx context.Context, whole bool) func() {
	if !whole {
		return func() {}
	}
	key, until := reserved+newID(), p.s.transport.now().Add(probeHold).UTC().Truncate(time.Second).Add(time.Second)
	version, err := p.write(ctx, key, until, true, true)
	return func() {
		if err == nil {
			select {
			case <-time.After(until.Sub(p.s.transport.now()) + time.Second):
			case <-ctx.Done():
				return
			}
			err = refused(p.remove(ctx, key, version, false), "a held version could be deleted once its retention had lapsed")
		}
		p.report.add("hold", Advised, err, "a legal hold protects when retention has lapsed")
		off := minio.LegalHoldDisabled
		_ = p.s.core.PutObjectLegalHold(ctx, p.s.bucket, key, minio.PutObjectLegalHoldOptions{VersionID: version, Status: &off}) // for the next sweep
	}
}
