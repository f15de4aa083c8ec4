package database

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A database that was built at once holds what one holds that grew, and can go on.
func TestBuild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	meta := Meta{Origin: "lab.example/custody", VerifierKey: "key"}
	stop := errors.New("stop")
	if err := Build(t.Context(), path, meta, func(*Bulk) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("error %v, want %v", err, stop)
	}
	for _, name := range []string{path, path + ".new"} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	if err := Build(t.Context(), path, meta, func(b *Bulk) error { return b.SavePublished(Published{From: 0, To: 1}) }); !errors.Is(err, ErrConstraint) {
		t.Errorf("published what is not there: %v", err)
	}
	if err := Build(t.Context(), path, meta, func(b *Bulk) error { return b.AppendAll([]Entry{{Seq: 1}}) }); !errors.Is(err, ErrEntry) {
		t.Errorf("began with entry 1: %v", err)
	}
	if err := Build(t.Context(), path, meta, func(*Bulk) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := Build(t.Context(), path, meta, func(*Bulk) error { return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("built over a database: %v", err)
	}
	db, err := Open(t.Context(), path) // checks tables and triggers
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(meta, db.Meta()); diff != "" {
		t.Errorf("meta (-want +got):\n%s", diff)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
