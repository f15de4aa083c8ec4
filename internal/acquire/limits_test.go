package acquire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// repeat reads text again and again.
type repeat struct{ text, left string }

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == "" {
		r.left = r.text
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func TestLimits(t *testing.T) {
	const head = "# Mapfile. Created by GNU ddrescue version 1.27\n"
	const tail = "0x0 +\n0x0 0x200 +\n"
	blank := strings.Repeat("\n", 4<<10)
	line := "#" + strings.Repeat(" ", 60<<10) + "\n"
	rows := func(n int) string {
		return hashdeepMagic + "\n%%%% size,md5,filename\n## Invoked from: /\n## $ hashdeep\n## \n" +
			strings.Repeat("1,"+srcMD5+",a\n", n)
	}
	exact := func(n int64) io.Reader {
		return io.MultiReader(strings.NewReader(head+tail), io.LimitReader(&repeat{text: line}, n-int64(len(head+tail))))
	}
	tests := map[string]struct {
		in      io.Reader
		wantErr error
	}{
		"64 MiB":         {exact(maxLog), nil},
		"64 MiB and one": {exact(maxLog + 1), ErrTooLarge},
		"4 Mi lines":     {io.MultiReader(strings.NewReader(head), io.LimitReader(&repeat{text: blank}, maxLines-3), strings.NewReader(tail)), nil},
		"one line more":  {io.MultiReader(strings.NewReader(head), io.LimitReader(&repeat{text: blank}, maxLines-2), strings.NewReader(tail)), ErrTooLarge},
		"endless line":   {&repeat{text: "a"}, ErrTooLarge},
		"long line":      {strings.NewReader(head + "#" + strings.Repeat("a", maxLine-3) + "\n" + tail), nil},
		"too long line":  {strings.NewReader(head + "#" + strings.Repeat("a", maxLine) + "\n" + tail), ErrTooLarge},
		"1000 runs":      {strings.NewReader(rows(maxRuns)), nil},
		"1001 runs":      {strings.NewReader(rows(maxRuns + 1)), ErrTooLarge},
	}
	for name, tt := range tests {
		if log, err := Parse(tt.in); !errors.Is(err, tt.wantErr) || err != nil && log.Runs != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.wantErr)
		}
	}
}

// TestTextsAreFitToShow: what a log states cannot steer a terminal.
func TestTextsAreFitToShow(t *testing.T) {
	log, err := Parse(strings.NewReader("dc3dd 7 started at \x1b[2Jnow\ncommand line: a\tb \u202egnp.exe \xff é\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := log.Last().Started, "\ufffd[2Jnow"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := log.Last().CommandLine, "a\ufffdb \ufffdgnp.exe \ufffd é"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := Parse(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrUnknownFormat) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("error of no kind: %v", err)
			}
			if !cmp.Equal(Log{}, log) {
				t.Fatalf("%v with error %v", log, err)
			}
			return
		}
		if log.Tool == "" || log.Format == "" || len(log.Runs) == 0 || len(log.Runs) > maxRuns {
			t.Fatalf("%q %q with %d runs", log.Tool, log.Format, len(log.Runs))
		}
		for _, run := range log.Runs {
			for _, text := range []string{log.Version, run.Started, run.Finished, run.CommandLine, run.Source} {
				if !utf8.ValidString(text) || printable(text) != text {
					t.Fatalf("%q is not fit to show", text)
				}
			}
			for _, n := range []int64{run.Bytes, run.Sectors, run.UnreadSectors, run.UnreadBytes} {
				if n < -1 {
					t.Fatalf("number %d", n)
				}
			}
			for algorithm, value := range run.Digests {
				if len(value) != digestLen[algorithm] || strings.Trim(value, "0123456789abcdef") != "" {
					t.Fatalf("%s %q", algorithm, value)
				}
				if !bytes.Contains(data, []byte(value)) {
					t.Fatalf("%s %q is not in the log", algorithm, value)
				}
			}
			switch run.Result {
			case Completed, Aborted, Incomplete, Unknown:
			default:
				t.Fatalf("result %q", run.Result)
			}
		}
	})
}
