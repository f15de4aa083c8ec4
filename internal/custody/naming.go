package custody

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// naming is how the objects of a kind are called: each has a number, and up to
// ledger.MaxNames names, for what lies under one may be a stranger's.
type naming struct {
	key   func(number int64, n int) string // the n-th name, from 1; the others begin with the first
	parse func(key string) (number int64, n int, ok bool)
}

var (
	segmentNames   = naming{ledger.SegmentKey, ledger.ParseSegmentKey}
	payloadsNames  = naming{ledger.PayloadsKey, ledger.ParsePayloadsKey}
	witnessedNames = numberedNames(witnessedPrefix) // by the size of the cosigned checkpoint
	anchorNames    = numberedNames(anchorPrefix)    // by the entry that tells of the time stamps
)

func numberedNames(prefix string) naming {
	return naming{
		func(number int64, n int) string { return ledger.ObjectKey(prefix, number, n) },
		func(key string) (int64, int, bool) { return ledger.ParseObjectKey(key, prefix) },
	}
}

// sought is an object that is looked for by its bytes, under a name or, where that is
// empty, under all of them.
type sought struct {
	key  string
	size int64
	sum  ledger.Hash // SHA-256
}

// putOwn is putNamed for what is kept beside the ledger, in a role. It gives what is to be
// noted of the object.
func (s *Service) putOwn(ctx context.Context, names naming, number int64, role evidence.Role, data []byte) ([]byte, error) {
	o, err := s.putNamed(ctx, names, number, data, s.ledgerUntil())
	if err != nil {
		return nil, err
	}
	if first := names.key(number, 1); o.Key != first {
		s.publisher.foreign.Add(1)
		s.log.Error("somebody else's object lies where one of the service's goes: who can write to the store?", "object", first, "instead", o.Key)
	}
	return json.Marshal(object(role, o, sha256.Sum256(data)))
}

// putNamed puts bytes under the first of the names that is free, or finds them under one
// that is not.
func (s *Service) putNamed(ctx context.Context, names naming, number int64, data []byte, until time.Time) (objectstore.Object, error) {
	refused := map[int]bool{}
	for n := 1; ; {
		o, err := s.objects.Put(ctx, names.key(number, n), bytes.NewReader(data), int64(len(data)), until)
		if !errors.Is(err, fs.ErrExist) {
			return o, err
		}
		o, found, err := s.findNamed(ctx, names, number, sought{"", int64(len(data)), sha256.Sum256(data)}, until)
		if found || err != nil {
			return o, err
		}
		refused[n] = true
		if n, err = s.freeName(ctx, names, number, refused); err != nil {
			return objectstore.Object{}, err
		}
	}
}

// findNamed finds an object, and makes it as durable and locked as one that was put now.
// One that cannot be looked at may be it, unless it is clear why not.
func (s *Service) findNamed(ctx context.Context, names naming, number int64, want sought, until time.Time) (objectstore.Object, bool, error) {
	for o, err := range s.objects.List(ctx, names.key(number, 1)) {
		if err != nil && o.Key == "" {
			return objectstore.Object{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		at, _, ok := names.parse(o.Key)
		if !ok || at != number || want.key != "" && o.Key != want.key || o.Marker {
			continue
		}
		if errors.Is(err, objectstore.ErrForeign) || err == nil && o.Size != want.size {
			continue
		}
		if err != nil {
			return objectstore.Object{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			return objectstore.Object{}, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if sha256.Sum256(data) == want.sum {
			o, err = s.lockOn(ctx, o, until)
			return o, true, err
		}
	}
	return objectstore.Object{}, false, nil
}

// freeName gives the first name that no object has, nor a version of one, and that the
// store has not refused.
func (s *Service) freeName(ctx context.Context, names naming, number int64, refused map[int]bool) (int, error) {
	taken := maps.Clone(refused)
	for o, err := range s.objects.List(ctx, names.key(number, 1)) {
		if err != nil && o.Key == "" {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if at, n, ok := names.parse(o.Key); ok && at == number {
			taken[n] = true
		}
	}
	for n := 1; n <= ledger.MaxNames; n++ {
		if !taken[n] {
			return n, nil
		}
	}
	return 0, fmt.Errorf("object %s: all of its %d names are taken: %w", names.key(number, 1), ledger.MaxNames, fs.ErrExist)
}
