package database

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/ledger"
)

func TestCosigned(t *testing.T) {
	db := newDatabase(t)
	update(t, db, func(tx *Tx) error {
		for range 9 {
			if err := tx.Append(nextEntry(t, tx, ledger.CaseID{1}, 10)); err != nil {
				return err
			}
		}
		return nil
	})
	save := func(c Cosigned) error {
		return db.Update(t.Context(), func(tx *Tx) error { return tx.SaveCosigned(c) })
	}
	kept := Cosigned{Size: 3, Note: []byte("3 ab"), Kept: true}
	for _, c := range []Cosigned{
		{Size: 2, Note: []byte("2")},
		{Size: 3, Note: []byte("3 a")},
		{Size: 3, Note: []byte("3 ab"), Kept: true},
		{Size: 5, Note: []byte("5")},
		{Size: 7, Note: []byte("7"), Kept: true},
		{Size: 8, Note: []byte("8")},
		{Size: 8, Note: []byte("8 a")},
	} {
		if err := save(c); err != nil {
			t.Fatal(err)
		}
	}
	all := []Cosigned{kept, {Size: 7, Note: []byte("7"), Kept: true}, {Size: 8, Note: []byte("8 a")}}
	look := func(what string, read func(tx *Tx) ([]Cosigned, error), want ...Cosigned) {
		t.Helper()
		view(t, db, func(tx *Tx) error {
			got, err := read(tx)
			for i := range got {
				if len(got[i].Object) == 0 {
					got[i].Object = nil
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			return err
		})
	}
	look("all", func(tx *Tx) ([]Cosigned, error) { return tx.CosignedFrom(0, 10) }, all...)
	look("from 7", func(tx *Tx) ([]Cosigned, error) { return tx.CosignedFrom(4, 1) }, all[1])
	look("newest", func(tx *Tx) ([]Cosigned, error) { return tx.NewestCosigned(2) }, all[2], all[1])
	look("to put", func(tx *Tx) ([]Cosigned, error) { return tx.CosignedToPut(0, 10) }, all[0], all[1])
	look("first to put", func(tx *Tx) ([]Cosigned, error) { return tx.CosignedToPut(3, 1) }, all[0])
	look("next to put", func(tx *Tx) ([]Cosigned, error) { return tx.CosignedToPut(4, 1) }, all[1])
	kept.Object = []byte("{}")
	if err := save(kept); err != nil {
		t.Fatal(err)
	}
	look("to put still", func(tx *Tx) ([]Cosigned, error) { return tx.CosignedToPut(0, 10) }, all[1])
	for name, c := range map[string]Cosigned{
		"more lines of a kept one": {Size: 3, Note: []byte("3 abc"), Kept: true, Object: []byte("{}")},
		"kept no more":             {Size: 7, Note: []byte("7")},
		"more than there is":       {Size: 10, Note: []byte("10")},
		"empty":                    {Size: 9},
	} {
		if err := save(c); !errors.Is(err, ErrConstraint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	view(t, db, func(tx *Tx) error {
		if _, err := tx.Cosigned(2); !errors.Is(err, ErrNotFound) {
			t.Errorf("an older one that was not kept: %v", err)
		}
		c, err := tx.Cosigned(3)
		if diff := cmp.Diff(kept, c); diff != "" {
			t.Error(diff)
		}
		return err
	})
}
