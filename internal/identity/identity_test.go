package identity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParsePrincipal(t *testing.T) {
	tests := []struct {
		text    string
		wantErr error
	}{
		{"examiner1", nil},
		{"custodyd", nil},
		{"0", nil},
		{"j.doe_2@lab-3.example", nil},
		{strings.Repeat("a", 64), nil},
		{"", ErrPrincipal},
		{strings.Repeat("a", 65), ErrPrincipal},
		{"Examiner", ErrPrincipal},
		{"-a", ErrPrincipal},
		{".a", ErrPrincipal},
		{"@a", ErrPrincipal},
		{"a b", ErrPrincipal},
		{"a,b", ErrPrincipal},
		{"a*", ErrPrincipal},
		{"a!", ErrPrincipal},
		{"a\n", ErrPrincipal},
		{"é", ErrPrincipal},
		{"a\x00", ErrPrincipal},
	}
	for _, tt := range tests {
		p, err := ParsePrincipal(tt.text)
		if !errors.Is(err, tt.wantErr) {
			t.Errorf("ParsePrincipal(%q) error %v, want %v", tt.text, err, tt.wantErr)
		}
		want := Principal(tt.text)
		if tt.wantErr != nil {
			want = ""
		}
		if p != want {
			t.Errorf("ParsePrincipal(%q) = %q", tt.text, p)
		}
		quoted, err := json.Marshal(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		var decoded Principal
		if err := json.Unmarshal(quoted, &decoded); !errors.Is(err, tt.wantErr) || decoded != want {
			t.Errorf("Unmarshal(%s) = %q, %v", quoted, decoded, err)
		}
	}
}

func FuzzParsePrincipal(f *testing.F) {
	f.Add("examiner1")
	f.Add("-")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePrincipal(text)
		if err != nil {
			if p != "" || !errors.Is(err, ErrPrincipal) {
				t.Fatalf("%q, %v", p, err)
			}
			return
		}
		if string(p) != text {
			t.Fatalf("ParsePrincipal(%q) = %q", text, p)
		}
	})
}
