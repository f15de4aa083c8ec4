package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGate runs real test binaries: what go test prints, and when, is the go
// command's business and changes with it.
func TestGate(t *testing.T) {
	const head = "package x\n\nimport \"testing\"\n\n"
	tests := []struct {
		name    string
		source  string
		args    []string
		want    []string // lines, in this order
		wantErr string   // empty: success
	}{
		{
			name:   "pass",
			source: head + "func TestA(t *testing.T) { t.Run(\"b\", func(*testing.T) {}) }\n",
			want:   []string{"ok  \texample.test/x", "2 passed, 0 failed, 0 skipped"},
		},
		{
			name:    "fail",
			source:  head + "func TestA(t *testing.T) { t.Error(\"broken\") }\nfunc TestB(*testing.T) {}\n",
			want:    []string{"x_test.go:5: broken", "failed: example.test/x TestA", "1 passed, 1 failed, 0 skipped"},
			wantErr: "tests failed",
		},
		{
			name:    "skip",
			source:  head + "func TestA(t *testing.T) { if testing.Short() { t.Skip(\"no such tool\") } }\nfunc TestB(*testing.T) {}\n",
			args:    []string{"-short"},
			want:    []string{"no such tool", "skipped: example.test/x TestA", "1 passed, 0 failed, 1 skipped"},
			wantErr: "a skipped test is a failure",
		},
		{
			name:    "does not build",
			source:  head + "func TestA(t *testing.T) { undefined() }\n",
			want:    []string{"undefined: undefined", "failed: example.test/x", "0 passed, 1 failed, 0 skipped"},
			wantErr: "tests failed",
		},
		{
			name:    "exits in the middle",
			source:  "package x\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestA(*testing.T) { os.Exit(3) }\n",
			want:    []string{"TestA", "0 passed, 1 failed, 0 skipped"},
			wantErr: "tests failed",
		},
		{
			name:    "fails outside of tests",
			source:  "package x\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(1) }\n\nfunc TestA(*testing.T) {}\n",
			want:    []string{"failed: example.test/x", "1 passed, 1 failed, 0 skipped"},
			wantErr: "tests failed",
		},
		{
			name:    "nothing tested",
			source:  head + "func TestA(*testing.T) {}\n",
			args:    []string{"-run", "TestZ"},
			want:    []string{"0 passed, 0 failed, 0 skipped"},
			wantErr: "nothing was tested",
		},
	}
	t.Setenv("GOFLAGS", "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module example.test/x\n\ngo 1.26\n")
			write(t, filepath.Join(dir, "x_test.go"), tt.source)
			t.Chdir(dir)

			var out bytes.Buffer
			err := run(t.Context(), tt.args, &out)
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
			rest := out.String()
			for _, want := range tt.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("no %q (in this order) in:\n%s", want, out.String())
				}
				rest = after
			}
			if rest != "\n" && tt.wantErr != "" {
				t.Errorf("the summary is not the last line:\n%s", out.String())
			}
		})
	}
}

// TestGateAgain: what passed before is run again.
func TestGateAgain(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.test/x\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "x_test.go"), "package x\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n")
	t.Chdir(dir)
	for range 2 {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"."}, &out); err != nil || strings.Contains(out.String(), "(cached)") {
			t.Errorf("error %v, output\n%s", err, out.String())
		}
	}
}

// TestGateTruncated: a stream that breaks off is no success.
func TestGateTruncated(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	err := r.read(strings.NewReader(`{"Action":"start","Package":"x"}
{"Action":"run","Package":"x","Test":"TestA"}
{"Action":"pass","Package":"x","Test":"TestA"}
{"Action":"run","Package":"x","Test":"TestB"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if r.finish() == nil {
		t.Error("a run without an end passed")
	}
	if want := "never ended: x TestB\n1 passed, 1 failed, 0 skipped\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("output\n%s\nwant at the end\n%s", out.String(), want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
