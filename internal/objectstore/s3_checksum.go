package objectstore

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/minio/crc64nvme"
	"github.com/minio/minio-go/v7"
)

// checksum is what guards content on its way to an S3 service. It is computed
// while the bytes flow, so it can only follow them.
type checksum string

// In order of preference. Which of them a service honours its probe finds out.
const (
	sumCRC  checksum = "crc64nvme" // trailer, verified by the service
	sumSHA  checksum = "sha256"    // trailer, verified by the service
	sumETag checksum = "md5"       // the service answers with it, verified here
)

func (c checksum) hash() hash.Hash {
	switch c {
	case sumCRC:
		return crc64nvme.New()
	case sumSHA:
		return sha256.New()
	default:
		return md5.New()
	}
}

// header is the name of the trailer, empty for sumETag.
func (c checksum) header() string {
	switch c {
	case sumCRC:
		return minio.ChecksumCRC64NVME.Key()
	case sumSHA:
		return minio.ChecksumSHA256.Key()
	default:
		return ""
	}
}

// body is the content of one request: exactly size bytes, with their checksum in
// the trailer behind them. It cannot be rewound, so the request is made once.
type body struct {
	*exactReader
	sum     checksum
	hash    hash.Hash
	trailer http.Header // of sum.header(), right when the last byte was read
	spoil   bool        // make the trailer wrong, for the probe
}

func newBody(r io.Reader, size int64, sum checksum) (*body, error) {
	exact, err := newExactReader(r, size)
	if err != nil {
		return nil, err
	}
	b := &body{exactReader: exact, sum: sum, hash: sum.hash()}
	if name := sum.header(); name != "" {
		// The length of the request is computed with this value in place.
		b.trailer = http.Header{}
		b.trailer.Set(name, b.encoded())
	}
	return b, nil
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.exactReader.Read(p)
	_, _ = b.hash.Write(p[:n])             // never fails
	if err == io.EOF && b.trailer != nil { //nolint:errorlint // a Reader's own EOF is never wrapped
		value := b.encoded()
		if b.spoil {
			value = base64.StdEncoding.EncodeToString(make([]byte, b.hash.Size()))
		}
		b.trailer.Set(b.sum.header(), value)
	}
	return n, err
}

// encoded is the checksum of what was read so far.
func (b *body) encoded() string { return base64.StdEncoding.EncodeToString(b.hash.Sum(nil)) }

// empty is a header instead of a trailer, which a request without content lacks.
func (b *body) empty() http.Header {
	if b.trailer == nil {
		return nil
	}
	return b.trailer.Clone()
}

// check compares the checksum with the one the service answered, if it did.
func (b *body) check(answered, etag string) error {
	want := b.encoded()
	if b.sum == sumETag {
		answered, want = strings.ToLower(etag), hex.EncodeToString(b.hash.Sum(nil))
	} else if answered == "" {
		return nil
	}
	if answered != want {
		return fmt.Errorf("service stored checksum %s of content with %s: %w", answered, want, ErrReadBack)
	}
	return nil
}

// answered picks the checksum of kind c out of an answer.
func (c checksum) answered(crc, sha string) string {
	switch c {
	case sumCRC:
		return crc
	case sumSHA:
		return sha
	default:
		return ""
	}
}
