package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGoal(t *testing.T) {
	tests := []struct {
		goal         goal
		ours, theirs time.Duration
		ratio        float64
		met, text    string
	}{
		{atMost(0.35, ""), time.Second, 4 * time.Second, 0.25, "yes", "≤ 0.35"},
		{atMost(0.35, ""), 2 * time.Second, 4 * time.Second, 0.5, "NO", "≤ 0.35"},
		{atMost(1, ""), time.Second, time.Second, 1, "yes", "≤ 1"},
		{atLeast(2, " ×"), time.Second, 4 * time.Second, 4, "yes", "≥ 2 ×"},
		{atLeast(2, " ×"), 4 * time.Second, time.Second, 0.25, "NO", "≥ 2 ×"},
		{atLeast(500_000, "/s"), time.Second, time.Second, 1, "NO", "≥ 500,000/s"},
		// What was not measured meets nothing.
		{atMost(1, ""), 0, time.Second, 0, "NO", "≤ 1"},
		{atLeast(1, ""), 0, time.Second, 0, "NO", "≥ 1"},
	}
	for _, tt := range tests {
		ratio := tt.goal.ratio(tt.ours, tt.theirs)
		if met := tt.goal.met(ratio); ratio != tt.ratio || met != tt.met || tt.goal.String() != tt.text {
			t.Errorf("%v with %v beside %v: %v, %s, want %v, %s, %s", tt.goal, tt.ours, tt.theirs, ratio, met, tt.ratio, tt.met, tt.text)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, of := range map[time.Duration]samples{
		0: nil,
		3: {{wall: 3}},
		4: {{wall: 6}, {wall: 2}},
		5: {{wall: 9}, {wall: 5}, {wall: 1}},
	} {
		if got := of.wall(); got != want {
			t.Errorf("median of %v: %d, want %d", of, got, want)
		}
	}
}

func TestPrintRows(t *testing.T) {
	var out bytes.Buffer
	if err := printRows(&out, []row{{"ingest", "1 s", "cp: 2 s", "0.50", "≤ 1.1", "yes"}, {work: "s3", ours: "failed", met: "NO"}}); err != nil {
		t.Fatal(err)
	}
	want := `| work   | ours   | alternative | ratio | goal  | met |
| ------ | ------ | ----------- | ----- | ----- | --- |
| ingest | 1 s    | cp: 2 s     | 0.50  | ≤ 1.1 | yes |
| s3     | failed |             |       |       | NO  |
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestCheck: the reference in Python and we agree about a ledger, and about one
// that somebody has touched.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entries.jsonl")
	var written bytes.Buffer
	if err := entries(t.Context(), []string{"1003", path}, &written); err != nil {
		t.Fatal(err)
	}
	reference := func() ([]byte, error) {
		return exec.CommandContext(t.Context(), "python3", "check.py", path).CombinedOutput()
	}
	var ours bytes.Buffer
	if err := check(t.Context(), []string{path}, &ours); err != nil {
		t.Fatal(err)
	}
	theirs, err := reference()
	if err != nil {
		t.Fatalf("%v\n%s", err, theirs)
	}
	for _, out := range []string{ours.String(), string(theirs)} {
		if !strings.Contains(out, "entries 1003\n"+written.String()) {
			t.Errorf("printed\n%swant 1003 entries and %s", out, written.String())
		}
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const of, by = `"seq":700,`, `"seq":701,`
	if !bytes.Contains(text, []byte(of)) {
		t.Fatalf("no %s", of)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(of), []byte(by), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(t.Context(), []string{path}, &ours); err == nil {
		t.Error("we find nothing")
	}
	if _, err := reference(); err == nil {
		t.Error("the reference finds nothing")
	}
}

func TestSectors(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0,
		" 254       0 vda 1 2 3000 4 5 6 7000 8 9 10 11 12 13 900000 15 16 17\n":  910000,
		" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sda1 1 2 30 4 5 6 70 8 9 10 11\n": 110,
	} {
		if got := sectors([]byte(text)); got != want {
			t.Errorf("%q: %d sectors, want %d", text, got, want)
		}
	}
}
