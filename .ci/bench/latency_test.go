package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/ledger"
)

// TestLatencies: nothing is measured with those who do not answer.
func TestLatencies(t *testing.T) {
	_, vkey, err := ledger.GenerateWitnessKey(rand.Reader, "north.example/w")
	if err != nil {
		t.Fatal(err)
	}
	a := authoritytest.New(t, "authority")
	a.Behave(authoritytest.Behaviour{Down: true})
	for _, tt := range []struct {
		name    string
		outside []string
		wantErr error
	}{
		{"nobody", nil, nil},
		{"a witness that is down", []string{vkey + " " + a.URL}, errUnheard},
		{"an authority that is down", []string{"authority " + a.URL + " " + a.RootFile}, errUnheard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := newLedgerKey(dir); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := latencies(t.Context(), append([]string{dir, "160"}, tt.outside...), &out); !errors.Is(err, tt.wantErr) {
				t.Fatalf("%v, want %v", err, tt.wantErr)
			}
			if m := ownTime.FindSubmatch(out.Bytes()); (m != nil && m[2] != nil) != (tt.wantErr == nil) {
				t.Errorf("printed %q", &out)
			}
		})
	}
}
