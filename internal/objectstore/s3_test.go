package objectstore

import (
	"testing"
)

func newS3(t *testing.T, c Config) *rig {
	t.Helper()
	open := func() (store, error) {
		s, err := OpenS3(t.Context(), c)
		if err == nil {
			s.copyStep = 5 << 20
		}
		return s, err
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{store: s, lock: LockCompliance}
	r.reopen = func() (store, error) {
		if err := r.Close(); err != nil {
			return nil, err
		}
		return open()
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestMinIO(t *testing.T) { conform(t, newS3(t, startMinIO(t)), nil) }

func TestVersity(t *testing.T) { conform(t, newS3(t, startVersity(t)), nil) }
