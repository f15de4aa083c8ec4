package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	partStep  = 16 << 20
	partCount = 8000 // S3 allows 10000
)

// partSize is the smallest multiple of 16 MiB that does with partCount parts.
func partSize(size int64) int64 {
	steps := (size + partCount*partStep - 1) / (partCount * partStep)
	return max(steps, 1) * partStep
}

// Begin starts an upload of size bytes that will be retained until the given time.
func (s *S3) Begin(ctx context.Context, key string, size int64, until time.Time) (Upload, error) {
	u, err := s.begin(ctx, key, size, until, s.sum)
	if err != nil {
		return Upload{}, fmt.Errorf("begin object %s: %w", key, err)
	}
	return u, nil
}

// begin starts an upload whose parts carry sum; an empty one is for copies.
func (s *S3) begin(ctx context.Context, key string, size int64, until time.Time, sum checksum) (Upload, error) {
	if err := checkKey(key); err != nil {
		return Upload{}, err
	}
	if size < 0 {
		return Upload{}, fmt.Errorf("%d bytes: %w", size, ErrSize)
	}
	until, err := retention(until)
	if err != nil {
		return Upload{}, err
	}
	if err := s.free(ctx, key); err != nil {
		return Upload{}, err
	}
	u := Upload{Key: key, Mark: newID(), Size: size, PartSize: partSize(size), Sum: string(sum), RetainUntil: until}
	if u.ID, err = s.initiate(ctx, u); err != nil {
		return Upload{}, err
	}
	return u, nil
}

func (s *S3) initiate(ctx context.Context, u Upload) (string, error) {
	opts := s.options(u.Mark, u.RetainUntil)
	switch checksum(u.Sum) {
	case sumCRC:
		opts.UserMetadata[algorithmHeader] = "CRC64NVME"
		opts.UserMetadata[typeHeader] = "FULL_OBJECT"
	case sumSHA:
		opts.UserMetadata[algorithmHeader] = "SHA256"
	}
	id, err := s.core.NewMultipartUpload(ctx, s.bucket, u.Key, opts)
	if err == nil && id == "" {
		err = fmt.Errorf("the service gave no upload id: %w", ErrNoUpload)
	}
	return id, s3Error(err)
}

// WritePart streams the size bytes of r as part number of u. They are durable
// when it returns nil.
func (s *S3) WritePart(ctx context.Context, u Upload, number int, r io.Reader, size int64) (Part, error) {
	p, err := s.writePart(ctx, u, number, r, size)
	if err != nil {
		return Part{}, fmt.Errorf("write part %d of object %s: %w", number, u.Key, err)
	}
	return p, nil
}

func (s *S3) writePart(ctx context.Context, u Upload, number int, r io.Reader, size int64) (Part, error) {
	if err := checkKey(u.Key); err != nil {
		return Part{}, err
	}
	off, want, err := u.Part(number)
	if err != nil {
		return Part{}, err
	}
	if size != want {
		return Part{}, fmt.Errorf("%d bytes where the part has %d: %w", size, want, ErrPart)
	}
	b, err := newBody(r, size, checksum(u.Sum))
	if err != nil {
		return Part{}, err
	}
	p, err := s.sendPart(ctx, u, number, b, size)
	if unanswered(err) && b.fault() == nil {
		// Services hang up on content they do not want. This one has a reason.
		if _, askErr := s.core.ListObjectParts(ctx, s.bucket, u.Key, u.ID, 0, 1); errors.Is(s3Error(askErr), ErrNoUpload) {
			err = errors.Join(ErrNoUpload, err)
		}
	}
	if err != nil {
		return Part{}, err
	}
	p.Offset = off
	return p, nil
}

func (s *S3) sendPart(ctx context.Context, u Upload, number int, b *body, size int64) (Part, error) {
	defer b.stop()
	opts := minio.PutObjectPartOptions{DisableContentSha256: s.unsigned}
	if size == 0 {
		opts.CustomHeader = b.empty()
	} else {
		opts.Trailer = b.trailer
	}
	sent, err := s.core.PutObjectPart(ctx, s.bucket, u.Key, u.ID, number, b, size, opts)
	if fault := b.fault(); fault != nil {
		return Part{}, fault
	}
	if err == nil {
		err = b.check(b.sum.answered(sent.ChecksumCRC64NVME, sent.ChecksumSHA256), sent.ETag)
	}
	if err != nil {
		return Part{}, s3Error(err)
	}
	return Part{Number: number, Size: size, Tag: sent.ETag, Checksum: b.encoded()}, nil
}

// Complete makes the object of u appear. Called again after success, by this
// process or a later one, it gives the same object.
func (s *S3) Complete(ctx context.Context, u Upload, parts []Part) (Object, error) {
	o, err := s.complete(ctx, u, parts)
	if err != nil {
		return Object{}, fmt.Errorf("complete object %s: %w", u.Key, err)
	}
	return o, nil
}

func (s *S3) complete(ctx context.Context, u Upload, parts []Part) (Object, error) {
	if err := checkKey(u.Key); err != nil {
		return Object{}, err
	}
	if err := u.check(parts); err != nil {
		return Object{}, err
	}
	version, err := s.join(ctx, u, parts)
	if err == nil && s.lock != LockNone && version == "" {
		err = fmt.Errorf("the service gave no version: %w", ErrReadBack)
	}
	if err != nil {
		// The answer may have been lost, or an earlier call have succeeded:
		// services say so with any error, or with a success that names no version.
		earlier, lookErr := s.find(ctx, u)
		if errors.Is(lookErr, fs.ErrNotExist) {
			return Object{}, err
		}
		if lookErr != nil {
			return Object{}, errors.Join(err, lookErr)
		}
		version = earlier
	}
	return s.settle(ctx, u.Key, version, u.Size, u.RetainUntil)
}

// join makes the request of complete, and gives the version it made.
func (s *S3) join(ctx context.Context, u Upload, parts []Part) (string, error) {
	if !s.conditional {
		if err := s.free(ctx, u.Key); err != nil {
			return "", err
		}
	}
	if len(parts) == 0 { // S3 wants one
		p, err := s.writePart(ctx, u, 1, strings.NewReader(""), 0)
		if err != nil {
			return "", err
		}
		parts = []Part{p}
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	list := make([]minio.CompletePart, len(parts))
	sums := make([]minio.ObjectPart, len(parts))
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.Tag}
		switch checksum(u.Sum) {
		case sumCRC:
			list[i].ChecksumCRC64NVME = p.Checksum
		case sumSHA:
			list[i].ChecksumSHA256 = p.Checksum
		}
		sums[i] = minio.ObjectPart{PartNumber: p.Number, Size: p.Size, ChecksumCRC64NVME: p.Checksum}
	}
	if checksum(u.Sum) == sumCRC && u.Size > 0 { // MinIO has another idea of the checksum of nothing
		whole := parts[0].Checksum
		if len(parts) > 1 {
			sum, err := minio.ChecksumCRC64NVME.FullObjectChecksum(sums)
			if err != nil {
				return "", fmt.Errorf("checksums of parts: %w: %w", err, ErrPart)
			}
			whole = sum.Encoded()
		}
		opts.UserMetadata = map[string]string{sumCRC.header(): whole, typeHeader: "FULL_OBJECT"}
	}
	info, err := s.core.CompleteMultipartUpload(ctx, s.bucket, u.Key, u.ID, list, opts)
	return info.VersionID, s3Error(err)
}

// find looks for the version that u became, by its mark. It fails with
// fs.ErrNotExist when there is none.
func (s *S3) find(ctx context.Context, u Upload) (version string, err error) {
	for v := range s.versions(ctx, u.Key) {
		if v.Err != nil {
			return "", s3Error(v.Err)
		}
		if v.Key != u.Key || v.IsDeleteMarker {
			continue
		}
		info, err := s.head(ctx, v.Key, v.VersionID)
		if err != nil {
			return "", err
		}
		if u.Mark != "" && info.Metadata.Get(markHeader) == u.Mark {
			return info.VersionID, nil // the listing says "null" where there is none
		}
	}
	return "", fs.ErrNotExist
}

// Abort forgets an upload. It does nothing to one that is complete or unknown.
func (s *S3) Abort(ctx context.Context, u Upload) error {
	err := s3Error(s.core.AbortMultipartUpload(ctx, s.bucket, u.Key, u.ID))
	if err != nil && !errors.Is(err, ErrNoUpload) {
		return fmt.Errorf("abort object %s: %w", u.Key, err)
	}
	return nil
}

// Uploads yields the key and id of every upload of keys beginning with prefix
// that is neither complete nor aborted: enough for Abort. MinIO finds them by
// whole keys only.
func (s *S3) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for v := range s.core.ListIncompleteUploads(ctx, s.bucket, prefix, true) {
			if v.Err != nil {
				yield(Upload{}, fmt.Errorf("list uploads: %w", s3Error(v.Err)))
				return
			}
			if checkKey(v.Key) == nil && !yield(Upload{Key: v.Key, ID: v.UploadID}, nil) {
				return
			}
		}
	}
}

const (
	copyStep    = 512 << 20
	copyThreads = 4
)

// Copy makes a new object of the bytes of src, in the service. It is an upload
// whose parts are copied, at any size: only its completion can be made
// conditional on the key being free.
func (s *S3) Copy(ctx context.Context, src Object, key string, until time.Time) (Object, error) {
	o, err := s.copy(ctx, src, key, until)
	if err != nil {
		return Object{}, fmt.Errorf("copy object %s to %s: %w", src.Key, key, err)
	}
	return o, nil
}

func (s *S3) copy(ctx context.Context, src Object, key string, until time.Time) (Object, error) {
	if err := checkKey(src.Key); err != nil {
		return Object{}, err
	}
	info, err := s.head(ctx, src.Key, src.Version)
	if err != nil {
		return Object{}, err
	}
	if info.Size != src.Size {
		return Object{}, fmt.Errorf("source has %d bytes and had %d: %w", info.Size, src.Size, ErrReadBack)
	}
	if src.Size == 0 {
		return s.put(ctx, key, strings.NewReader(""), 0, until)
	}
	u, err := s.begin(ctx, key, src.Size, until, "")
	if err != nil {
		return Object{}, err
	}
	u.PartSize = max(s.copyStep, (src.Size+partCount-1)/partCount)
	parts, err := s.copyParts(ctx, info, u)
	if err == nil {
		var o Object
		if o, err = s.complete(ctx, u, parts); err == nil {
			return o, nil
		}
	}
	// Nobody will go on with it.
	return Object{}, errors.Join(err, s.Abort(context.WithoutCancel(ctx), u))
}

func (s *S3) copyParts(ctx context.Context, src minio.ObjectInfo, u Upload) ([]Part, error) {
	source := s.bucket + "/" + src.Key // needs no escaping
	if src.VersionID != "" {
		source += "?versionId=" + url.QueryEscape(src.VersionID)
	}
	headers := map[string]string{
		copySourceHeader:               source,
		copySourceHeader + "-If-Match": `"` + src.ETag + `"`,
	}
	parts := make([]Part, u.Parts())
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copyThreads)
	for i := range parts {
		g.Go(func() error {
			off, n, err := u.Part(i + 1)
			if err != nil {
				return err
			}
			done, err := s.core.CopyObjectPart(ctx, s.bucket, src.Key, s.bucket, u.Key, u.ID, i+1, off, n, headers)
			parts[i] = Part{Number: i + 1, Offset: off, Size: n, Tag: strings.Trim(done.ETag, `"`)}
			return s3Error(err)
		})
	}
	return parts, g.Wait()
}

// OpenUpload fails with errors.ErrUnsupported: S3 gives no part back before the
// object is complete.
func (s *S3) OpenUpload(_ context.Context, u Upload) (*Content, error) {
	return nil, fmt.Errorf("open upload of object %s: %w", u.Key, errors.ErrUnsupported)
}
