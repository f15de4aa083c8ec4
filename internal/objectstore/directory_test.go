package objectstore

import (
	"path/filepath"
	"testing"
)

func newDirectory(t *testing.T, options ...DirectoryOption) *rig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	d, err := CreateDirectory(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{store: d, lock: LockDirectory}
	r.reopen = func() (store, error) {
		if err := r.Close(); err != nil {
			return nil, err
		}
		return OpenDirectory(path, options...)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestDirectory(t *testing.T) {
	conform(t, newDirectory(t, Mutable()), nil)
}
