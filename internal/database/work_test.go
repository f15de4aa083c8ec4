package database

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

func TestSessions(t *testing.T) {
	db := story(t)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	sessions := []Session{
		{identity.TokenHash{1}, "admin", "session", noon},
		{identity.TokenHash{2}, "examiner1", "session", noon.Add(time.Microsecond)},
		{identity.TokenHash{3}, "examiner1", "device", noon.Add(-time.Hour)},
	}
	alive := func(want ...int) {
		t.Helper()
		view(t, db, func(tx *Tx) error {
			for i, s := range sessions {
				got, err := tx.Session(s.Hash)
				switch {
				case slices.Contains(want, i):
					if diff := cmp.Diff(s, got); diff != "" || err != nil {
						t.Errorf("session %d: %v %s", i, err, diff)
					}
				case !errors.Is(err, ErrNotFound):
					t.Errorf("session %d: %v, want %v", i, err, ErrNotFound)
				}
			}
			return nil
		})
	}
	update(t, db, func(tx *Tx) error {
		return errors.Join(tx.SaveSession(sessions[0]), tx.SaveSession(sessions[1]), tx.SaveSession(sessions[2]))
	})
	alive(0, 1, 2)
	update(t, db, func(tx *Tx) error { return tx.DeleteSession(sessions[2].Hash) })
	alive(0, 1)
	update(t, db, func(tx *Tx) error { return tx.PurgeSessions(noon) })
	alive(1)
	update(t, db, func(tx *Tx) error { return tx.DeleteSession(sessions[2].Hash) }) // there is none
	for name, bad := range map[string]Session{
		"of nobody":  {identity.TokenHash{4}, "nobody", "session", noon},
		"same token": {identity.TokenHash{2}, "admin", "session", noon},
	} {
		err := db.Update(t.Context(), func(tx *Tx) error { return tx.SaveSession(bad) })
		if !errors.Is(err, ErrConstraint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	alive(1)
}

func TestUploads(t *testing.T) {
	db := story(t)
	var intakes []evidence.Intake
	view(t, db, func(tx *Tx) error {
		all, _, err := tx.All()
		intakes = all.Intakes
		return err
	})
	a, b := intakes[0].Intake, intakes[1].Intake
	parts := []Part{
		{Number: 1, Offset: 0, Size: 100, Doc: []byte(`{"etag":"1"}`), State: []byte("state 1"), Midstates: bytes.Repeat([]byte{1}, 32)},
		{Number: 2, Offset: 100, Size: 0, Doc: []byte(`{}`), State: []byte("state 2")},
		{Number: 3, Offset: 100, Size: 1 << 40, Doc: []byte(`{"etag":"3"}`), State: []byte("state 3"), Midstates: bytes.Repeat([]byte{3}, 64)},
	}
	update(t, db, func(tx *Tx) error {
		if _, err := tx.LastPart(a); !errors.Is(err, ErrNotFound) {
			t.Errorf("state of none: %v", err)
		}
		return errors.Join(
			tx.SaveUpload(Upload{a, "receiving", []byte(`{"n":1}`)}),
			tx.SaveUpload(Upload{b, "receiving", []byte(`{}`)}),
			tx.AddPart(a, parts[0]), tx.AddPart(a, parts[1]), tx.AddPart(a, parts[2]), tx.AddPart(b, parts[0]),
			tx.SaveUpload(Upload{a, "verifying", []byte(`{"n":2}`)}),
		)
	})
	view(t, db, func(tx *Tx) error {
		got, err := tx.Upload(a)
		if diff := cmp.Diff(Upload{a, "verifying", []byte(`{"n":2}`)}, got); diff != "" || err != nil {
			t.Errorf("upload: %v %s", err, diff)
		}
		all, err := tx.Uploads()
		if len(all) != 2 || bytes.Compare(all[0].Intake[:], all[1].Intake[:]) > 0 || err != nil {
			t.Errorf("uploads: %v, %v", all, err)
		}
		gotParts, err := tx.Parts(a)
		var want []Part
		for _, p := range parts {
			want = append(want, Part{Number: p.Number, Offset: p.Offset, Size: p.Size, Doc: p.Doc})
		}
		if diff := cmp.Diff(want, gotParts); diff != "" || err != nil {
			t.Errorf("parts: %v %s", err, diff)
		}
		last := Part{Number: parts[2].Number, Offset: parts[2].Offset, Size: parts[2].Size, State: []byte("state 3")}
		if got, err := tx.LastPart(a); !cmp.Equal(got, last) || err != nil {
			t.Errorf("last part: %+v, %v", got, err)
		}
		midstates, err := tx.Midstates(a)
		if want := append(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{3}, 64)...); !bytes.Equal(midstates, want) || err != nil {
			t.Errorf("midstates: %x, %v", midstates, err)
		}
		return nil
	})
	for name, write := range map[string]func(*Tx) error{
		"part of no upload": func(tx *Tx) error { return tx.AddPart(intakes[2].Intake, parts[0]) },
		"part again":        func(tx *Tx) error { return tx.AddPart(a, parts[2]) },
		"part left out":     func(tx *Tx) error { return tx.AddPart(b, parts[2]) },
		"gap":               func(tx *Tx) error { return tx.AddPart(b, Part{Number: 2, Offset: 101}) },
		"of no intake":      func(tx *Tx) error { return tx.SaveUpload(Upload{uuid.Max, "receiving", nil}) },
		"no phase":          func(tx *Tx) error { return tx.SaveUpload(Upload{intakes[2].Intake, "", nil}) },
	} {
		if err := db.Update(t.Context(), write); !errors.Is(err, ErrConstraint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	update(t, db, func(tx *Tx) error { return errors.Join(tx.DropUpload(a), tx.DropUpload(intakes[2].Intake)) })
	view(t, db, func(tx *Tx) error {
		if _, err := tx.Upload(a); !errors.Is(err, ErrNotFound) {
			t.Errorf("dropped upload: %v", err)
		}
		if got, err := tx.Parts(a); len(got) != 0 || err != nil {
			t.Errorf("parts of a dropped upload: %v, %v", got, err)
		}
		if got, err := tx.Parts(b); len(got) != 1 || err != nil {
			t.Errorf("parts of the other upload: %v, %v", got, err)
		}
		return nil
	})
}
