// Package objectstore keeps evidence bytes, write-once.
//
// Two stores do the same thing: [S3], any S3 service with versioning and object
// lock, and [Directory], one plain file per object on a local file system. One
// conformance suite runs on both.
//
// # What a store promises
//
//   - When a method that writes returns nil, the bytes are durable, their number
//     is the declared one, and the object has been looked at again: the [Object]
//     holds what the store answered, not what was asked for.
//   - An object is written once. Writing an existing key is [fs.ErrExist].
//   - Retention goes with the request that writes. It is lengthened, never
//     shortened. There is no method that deletes an object.
//   - What a store cannot lock it does not call locked: see [LockMode].
//   - Any error may leave an unfinished upload behind, never a half-written
//     object. Unfinished uploads are found with Uploads and removed with Abort.
//   - All methods may be called concurrently, and no reader is touched after the
//     call it was given to has returned.
//
// Checksums of the store (ETag, CRC) guard the way there. They are never digests
// of evidence: the caller hashes what it sends and what it reads back.
//
// # Keys
//
// A key is 1 to 100 characters of [a-z0-9-], made from ids and never from names
// people chose. Keys beginning with "probe-" belong to this package.
//
// # Uploads
//
// Begin, then WritePart for every part in order, then Complete. An [Upload] and
// its [Part]s can be written down as JSON and gone on with by another process.
// Part n covers the bytes from (n-1)*PartSize; every part but the last is
// PartSize long. An upload of no bytes needs no part. A part may be written
// again, and so may Complete be called again after its answer was lost.
package objectstore

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// LockMode says what holds an object in place until its retention ends.
type LockMode string

// The lock modes, strongest first.
const (
	LockCompliance LockMode = "compliance" // S3 object lock that nobody can lift
	LockGovernance LockMode = "governance" // S3 object lock that a privileged user can lift
	LockDirectory  LockMode = "directory"  // file permissions and, where granted, the immutable attribute
	LockNone       LockMode = "none"       // nothing
)

// Errors a caller can act on. An object that is not there is fs.ErrNotExist, a
// key that is taken fs.ErrExist.
var (
	// ErrKey: the key is not one this package writes.
	ErrKey = errors.New("invalid object key")
	// ErrSize: the reader held more or fewer bytes than declared.
	ErrSize = errors.New("content is not of the declared size")
	// ErrPart: the part or list of parts does not fit the upload.
	ErrPart = errors.New("part does not fit the upload")
	// ErrNoUpload: the store does not know the upload: aborted, completed or expired.
	ErrNoUpload = errors.New("no such upload")
	// ErrRetention: no retention date was given, or one before that in force.
	ErrRetention = errors.New("retention can only be lengthened")
	// ErrReadBack: the store does not hold what it was told to hold.
	ErrReadBack = errors.New("stored object differs from what was written")
	// ErrForeign: what has that name is nothing that this package puts: it is no file, or
	// whoever put it encrypted it with a key of their own.
	ErrForeign = errors.New("not put by the service")
	// ErrInUse: another process has the directory open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrNoBucket: the S3 service knows no bucket of that name. It is no fs.ErrNotExist,
	// which is of one object, or of a file that a setting names.
	ErrNoBucket = errors.New("the bucket does not exist")
	// ErrFormat: the directory is not a store of a format this program knows.
	ErrFormat = errors.New("not a store of a known format")
)

// Object is one stored version of a key, as read back from the store.
type Object struct {
	Bucket      string    `json:"bucket"` // S3 bucket, or the id of the directory
	Key         string    `json:"key"`
	Version     string    `json:"version"` // empty only where the store keeps no versions
	Size        int64     `json:"size"`    // bytes
	Lock        LockMode  `json:"lock"`
	RetainUntil time.Time `json:"retain_until,omitzero"` // UTC, whole seconds; zero where nothing is locked
	// Marker: not content but an S3 delete marker, which hides the versions
	// below it. Only List yields these.
	Marker bool `json:"marker,omitempty"`
}

// Upload is an object being written in parts.
type Upload struct {
	Key         string    `json:"key"`
	ID          string    `json:"id"`             // the store's name for the upload
	Mark        string    `json:"mark,omitempty"` // random, stored with the object: tells our object from another of that key
	Size        int64     `json:"size"`           // bytes of the whole object
	PartSize    int64     `json:"part_size"`      // bytes
	Sum         string    `json:"sum,omitempty"`  // checksum its parts carry, S3 only
	RetainUntil time.Time `json:"retain_until"`   // UTC, whole seconds
}

// Part is one durable part of an upload.
type Part struct {
	Number   int    `json:"number"` // from 1
	Offset   int64  `json:"offset"`
	Size     int64  `json:"size"`
	Tag      string `json:"tag,omitempty"`      // the store's name for the part
	Checksum string `json:"checksum,omitempty"` // sent with the part, base64; which one is the store's affair
}

// Description is what a store is, for ledger entries and operators.
type Description struct {
	Kind     string   `json:"kind"` // "s3" or "directory"
	Bucket   string   `json:"bucket"`
	Endpoint string   `json:"endpoint,omitempty"` // host and port, S3 only
	Lock     LockMode `json:"lock"`
	Missing  []string `json:"missing,omitempty"` // what the store should do and does not, in words
}

// Parts is the number of parts u is written in.
func (u Upload) Parts() int {
	return int((u.Size + u.PartSize - 1) / u.PartSize)
}

// Part says which bytes part number covers. It fails with ErrPart when u has no
// such part.
func (u Upload) Part(number int) (offset, size int64, err error) {
	if u.PartSize <= 0 || u.Size < 0 || number < 1 || number > max(u.Parts(), 1) {
		return 0, 0, fmt.Errorf("part %d of %d: %w", number, u.Parts(), ErrPart)
	}
	offset = int64(number-1) * u.PartSize
	return offset, min(u.PartSize, u.Size-offset), nil
}

// check says whether parts are all of u, in order.
func (u Upload) check(parts []Part) error {
	if u.Size == 0 && len(parts) == 0 {
		return nil
	}
	if len(parts) != max(u.Parts(), 1) {
		return fmt.Errorf("%d parts of %d: %w", len(parts), u.Parts(), ErrPart)
	}
	for i, p := range parts {
		offset, size, err := u.Part(i + 1)
		if err != nil {
			return err
		}
		if p.Number != i+1 || p.Offset != offset || p.Size != size {
			return fmt.Errorf("part %d is number %d, %d bytes at %d: %w", i+1, p.Number, p.Size, p.Offset, ErrPart)
		}
	}
	return nil
}

// reserved begins the keys of probes.
const reserved = "probe-"

// checkKey admits the keys callers may use.
func checkKey(key string) error {
	if !plain(key) || len(key) < 1 || len(key) >= len(reserved) && key[:len(reserved)] == reserved {
		return fmt.Errorf("%q: %w", key, ErrKey)
	}
	return nil
}

// plain: at most 100 characters of the key alphabet.
func plain(s string) bool {
	if len(s) > 100 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// retention is until in the form stores keep: UTC and whole seconds, never
// earlier than asked for.
func retention(until time.Time) (time.Time, error) {
	if until.IsZero() {
		return time.Time{}, fmt.Errorf("no retention date: %w", ErrRetention)
	}
	whole := until.UTC().Truncate(time.Second)
	if whole.Before(until) {
		whole = whole.Add(time.Second)
	}
	return whole, nil
}

// newID is 16 random bytes in hex.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return hex.EncodeToString(b[:])
}
