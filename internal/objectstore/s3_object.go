package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// Names of headers, in net/http's spelling.
const (
	lockModeHeader   = "X-Amz-Object-Lock-Mode"
	lockUntilHeader  = "X-Amz-Object-Lock-Retain-Until-Date"
	markHeader       = "X-Amz-Meta-Custody-Mark"
	versionHeader    = "X-Amz-Version-Id"
	algorithmHeader  = "X-Amz-Checksum-Algorithm"
	copySourceHeader = "X-Amz-Copy-Source"
	typeHeader       = "X-Amz-Checksum-Type"
)

// options are those of a request that makes an object.
func (s *S3) options(mark string, until time.Time) minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType:          "application/octet-stream",
		DisableContentSha256: s.unsigned,
		UserMetadata:         map[string]string{markHeader: mark},
	}
	if s.lock != LockNone {
		o.Mode, o.RetainUntilDate = retentionMode(s.lock), until
	}
	return o
}

func retentionMode(m LockMode) minio.RetentionMode {
	return minio.RetentionMode(strings.ToUpper(string(m)))
}

// free demands that there is no object of key.
func (s *S3) free(ctx context.Context, key string) error {
	_, err := s.stat(ctx, key, "")
	if err == nil {
		return fs.ErrExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Put writes a small object of size bytes in one request.
func (s *S3) Put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (Object, error) {
	o, err := s.put(ctx, key, r, size, until)
	if err != nil {
		return Object{}, fmt.Errorf("put object %s: %w", key, err)
	}
	return o, nil
}

func (s *S3) put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (Object, error) {
	if err := checkKey(key); err != nil {
		return Object{}, err
	}
	until, err := retention(until)
	if err != nil {
		return Object{}, err
	}
	b, err := newBody(r, size, s.sum)
	if err != nil {
		return Object{}, err
	}
	if !s.conditional {
		if err := s.free(ctx, key); err != nil {
			return Object{}, err
		}
	}
	mark := newID()
	opts := s.options(mark, until)
	opts.SetMatchETagExcept("*")
	info, err := s.send(ctx, key, b, size, opts)
	if unanswered(err) && b.fault() == nil {
		// The object may be there, ours or another: services hang up on
		// content they do not want.
		version, findErr := s.find(ctx, Upload{Key: key, Mark: mark})
		if errors.Is(findErr, fs.ErrNotExist) {
			findErr = s.free(ctx, key)
			return Object{}, errors.Join(findErr, err)
		}
		if findErr != nil {
			return Object{}, errors.Join(err, findErr)
		}
		info.VersionID, err = version, nil
	}
	if err != nil {
		return Object{}, err
	}
	return s.settle(ctx, key, info.VersionID, size, until)
}

// send makes the request of put.
func (s *S3) send(ctx context.Context, key string, b *body, size int64, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	defer b.stop()
	if size == 0 {
		for name, value := range b.empty() {
			opts.UserMetadata[name] = value[0]
		}
	} else if b.trailer != nil {
		opts.Checksum = map[checksum]minio.ChecksumType{sumCRC: minio.ChecksumCRC64NVME, sumSHA: minio.ChecksumSHA256}[b.sum]
	}
	info, err := s.core.PutObject(ctx, s.bucket, key, b, size, "", "", opts)
	if fault := b.fault(); fault != nil {
		return minio.UploadInfo{}, fault
	}
	if err == nil {
		err = b.check(b.sum.answered(info.ChecksumCRC64NVME, info.ChecksumSHA256), info.ETag)
	}
	if err != nil {
		return minio.UploadInfo{}, s3Error(err)
	}
	return info, nil
}

// settle looks at a version that was just written and demands that it is what
// was asked for. A service that drops the lock on the way is asked once more.
func (s *S3) settle(ctx context.Context, key, version string, size int64, until time.Time) (Object, error) {
	if s.lock != LockNone && (version == "" || version == "null") {
		return Object{}, fmt.Errorf("the service gave no version: %w", ErrReadBack)
	}
	o, err := s.stat(ctx, key, version)
	if err != nil {
		return Object{}, err
	}
	if s.lock != LockNone && o.RetainUntil.IsZero() {
		if o, err = s.retain(ctx, o, s.lock, until); err != nil {
			return Object{}, err
		}
	}
	if o.Size != size || o.Version != version || s.lock != LockNone && (o.Lock != s.lock || o.RetainUntil.Before(until)) {
		return Object{}, fmt.Errorf("%d bytes in version %q, lock %s until %s: %w", o.Size, o.Version, o.Lock, o.RetainUntil.Format(time.RFC3339), ErrReadBack)
	}
	return o, nil
}

// retain sets retention on a version and looks at it again.
func (s *S3) retain(ctx context.Context, o Object, mode LockMode, until time.Time) (Object, error) {
	m := retentionMode(mode)
	err := s.core.PutObjectRetention(ctx, s.bucket, o.Key, minio.PutObjectRetentionOptions{Mode: &m, RetainUntilDate: &until, VersionID: o.Version})
	if err != nil {
		return Object{}, s3Error(err)
	}
	return s.stat(ctx, o.Key, o.Version)
}

// head asks for a version of an object.
func (s *S3) head(ctx context.Context, key, version string) (minio.ObjectInfo, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{VersionID: version})
	if err == nil {
		if version != "" && info.VersionID != version && (version != "null" || info.VersionID != "") {
			return minio.ObjectInfo{}, fmt.Errorf("asked for version %q and got %q: %w", version, info.VersionID, ErrReadBack)
		}
		return info, nil
	}
	if info.IsDeleteMarker {
		return minio.ObjectInfo{}, fmt.Errorf("hidden by a delete marker: %w", fs.ErrNotExist)
	}
	if err = s3Error(err); errors.Is(err, fs.ErrNotExist) {
		// HEAD has no words. That the bucket is gone must not read as one
		// object that is gone.
		there, bucketErr := s.core.BucketExists(ctx, s.bucket)
		if bucketErr != nil {
			return minio.ObjectInfo{}, bucketErr
		}
		if !there {
			return minio.ObjectInfo{}, fmt.Errorf("bucket %s does not exist", s.bucket)
		}
	}
	return minio.ObjectInfo{}, err
}

func (s *S3) stat(ctx context.Context, key, version string) (Object, error) {
	info, err := s.head(ctx, key, version)
	if err != nil {
		return Object{}, err
	}
	if info.Size < 0 { // -1: the service has not said it
		return Object{}, fmt.Errorf("an object of unknown size: %w", ErrReadBack)
	}
	o := Object{Bucket: s.bucket, Key: key, Version: info.VersionID, Size: info.Size, Lock: LockNone}
	mode, date := info.Metadata.Get(lockModeHeader), info.Metadata.Get(lockUntilHeader)
	if mode == "" && date == "" {
		return o, nil
	}
	o.RetainUntil, err = time.Parse(time.RFC3339, date)
	o.Lock = LockMode(strings.ToLower(mode))
	if err != nil || o.Lock != LockCompliance && o.Lock != LockGovernance {
		return Object{}, fmt.Errorf("lock %q until %q: %w", mode, date, ErrReadBack)
	}
	o.RetainUntil = o.RetainUntil.UTC().Truncate(time.Second)
	return o, nil
}

// Stat looks at a version of an object, or with version "" at the newest.
func (s *S3) Stat(ctx context.Context, key, version string) (Object, error) {
	err := checkKey(key)
	var o Object
	if err == nil {
		o, err = s.stat(ctx, key, version)
	}
	if err != nil {
		return Object{}, fmt.Errorf("look at object %s: %w", key, err)
	}
	return o, nil
}

// Open opens a version of an object. Where its bytes come from is the service's
// affair, fromMedium changes nothing.
func (s *S3) Open(ctx context.Context, o Object, _ bool) (*Content, error) {
	now, err := s.Stat(ctx, o.Key, o.Version)
	if err != nil {
		return nil, err
	}
	return &Content{
		size: now.Size, source: SourceStore,
		open:  func(ctx context.Context, off, n int64) (io.ReadCloser, error) { return s.get(ctx, now, off, n) },
		close: func() error { return nil },
	}, nil
}

func (s *S3) get(ctx context.Context, o Object, off, n int64) (io.ReadCloser, error) {
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	opts := minio.GetObjectOptions{VersionID: o.Version}
	if err := opts.SetRange(off, off+n-1); err != nil {
		return nil, err
	}
	r, _, header, err := s.core.GetObject(ctx, s.bucket, o.Key, opts)
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", o.Key, s3Error(err))
	}
	want := fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, o.Size)
	if got := header.Get("Content-Range"); got != want || header.Get(versionHeader) != o.Version {
		return nil, errors.Join(fmt.Errorf("read object %s: asked for %q of version %q, got %q of %q: %w",
			o.Key, want, o.Version, got, header.Get(versionHeader), ErrReadBack), r.Close())
	}
	return &fullReader{ctx: ctx, r: r, left: n, close: r.Close}, nil
}

// looks is how many versions List looks at side by side.
const looks = 16

// List yields every version and delete marker of keys beginning with prefix, in the order
// of the service. A version that cannot be looked at comes with an error, and the listing
// goes on.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var looking sync.WaitGroup
		defer looking.Wait()
		defer cancel() // what the caller does not want any more
		type seen struct {
			o   Object
			err error
		}
		var ahead []chan seen // what is looked at, in order
		next := func() bool {
			first := <-ahead[0]
			ahead = ahead[1:]
			return yield(first.o, first.err)
		}
		var end error
		for v := range s.versions(ctx, prefix) {
			if v.Err != nil {
				end = fmt.Errorf("list objects: %w", s3Error(v.Err))
				break
			}
			if strings.HasPrefix(v.Key, reserved) {
				continue
			}
			if len(ahead) == looks && !next() {
				return
			}
			found := make(chan seen, 1)
			ahead = append(ahead, found)
			looking.Go(func() {
				o, err := s.listed(ctx, v)
				found <- seen{o, err}
			})
		}
		for len(ahead) > 0 {
			if !next() {
				return
			}
		}
		if end != nil {
			yield(Object{}, end)
		}
	}
}

// listed looks at what was listed.
func (s *S3) listed(ctx context.Context, v minio.ObjectInfo) (Object, error) {
	o := Object{Bucket: s.bucket, Key: v.Key, Version: v.VersionID, Size: v.Size, Lock: LockNone, Marker: v.IsDeleteMarker}
	if o.Marker {
		return o, nil
	}
	now, err := s.stat(ctx, v.Key, v.VersionID)
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.StatusCode == http.StatusBadRequest && s.isEncrypted(ctx, v) {
		err = fmt.Errorf("encrypted with a key of its own: %w", ErrForeign)
	}
	if err != nil {
		return o, fmt.Errorf("look at object %s: %w", v.Key, err)
	}
	return now, nil
}

// isEncrypted tells whether whoever put an object brought a key along (SSE-C), without
// which the service answers nothing of it. HEAD says no more than that a request is bad,
// as with credentials that have run out.
func (s *S3) isEncrypted(ctx context.Context, v minio.ObjectInfo) bool {
	r, _, _, err := s.core.GetObject(ctx, s.bucket, v.Key, minio.GetObjectOptions{VersionID: v.VersionID})
	if err == nil {
		_ = r.Close()
		return false
	}
	answer, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && answer.Code == "InvalidRequest"
}

func (s *S3) versions(ctx context.Context, prefix string) iter.Seq[minio.ObjectInfo] {
	return s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true})
}

// Extend lengthens the retention of an object. A time before the one in force is
// ErrRetention; the same time changes nothing. A store that does not lock answers
// with the object as it is.
func (s *S3) Extend(ctx context.Context, o Object, until time.Time) (Object, error) {
	now, err := s.extend(ctx, o, until)
	if err != nil {
		return Object{}, fmt.Errorf("extend object %s: %w", o.Key, err)
	}
	return now, nil
}

func (s *S3) extend(ctx context.Context, o Object, until time.Time) (Object, error) {
	until, err := retention(until)
	if err != nil {
		return Object{}, err
	}
	if err := checkKey(o.Key); err != nil {
		return Object{}, err
	}
	now, err := s.stat(ctx, o.Key, o.Version)
	if err != nil || s.lock == LockNone || until.Equal(now.RetainUntil) {
		return now, err
	}
	if until.Before(now.RetainUntil) {
		return Object{}, ErrRetention
	}
	mode := now.Lock
	if mode == LockNone {
		mode = s.lock
	}
	if now, err = s.retain(ctx, now, mode, until); err != nil {
		return Object{}, err
	}
	if now.Lock != mode || !now.RetainUntil.Equal(until) {
		return Object{}, fmt.Errorf("lock %s until %s: %w", now.Lock, now.RetainUntil.Format(time.RFC3339), ErrReadBack)
	}
	return now, nil
}
