package ledger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheckAll(t *testing.T) {
	w, text := many(3000) // ten blocks
	for name, r := range map[string]io.Reader{
		"at once":       bytes.NewReader(text),
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(text)),
		"EOF with data": iotest.DataErrReader(bytes.NewReader(text)),
		"in halves":     iotest.HalfReader(bytes.NewReader(text)),
	} {
		t.Run(name, func(t *testing.T) {
			c := NewChecker("")
			n := 0
			err := CheckAll(context.Background(), r, c, func(e *Entry) error {
				if e.Err != nil || !bytes.Equal(e.Bytes, w.lines[n]) || e.Leaf != LeafHash(w.lines[n]) ||
					e.Envelope.Seq != int64(n) || c.Size() != int64(n+1) {
					t.Fatalf("entry %d is %+v", n, e)
				}
				n++
				return nil
			})
			if err != nil || n != len(w.lines) {
				t.Fatalf("%d entries, %v", n, err)
			}
			if c.Root() != w.tree.Root() || c.Head() != w.head || c.Origin() != testOrigin {
				t.Errorf("ends at %s, %+v", c.Root(), c.Head())
			}
		})
	}
}

func TestCheckAllStops(t *testing.T) {
	_, text := many(3000)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("broken")
	long := bytes.Repeat([]byte("x"), blockSize+1)
	for _, tt := range []struct {
		name        string
		ctx         context.Context
		in          io.Reader
		stopAt      int64
		wantErr     error
		wantEntries int64
	}{
		{"nothing", context.Background(), bytes.NewReader(nil), -1, nil, 0},
		{"cancelled", cancelled, bytes.NewReader(text), -1, context.Canceled, 0},
		{"visitor says stop", context.Background(), bytes.NewReader(text), 700, broken, 700},
		{"reader fails at once", context.Background(), iotest.ErrReader(broken), -1, broken, 0},
		{"cut archive", context.Background(), io.MultiReader(bytes.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, io.ErrUnexpectedEOF, -1},
		{"reader that gives nothing", context.Background(), idle{}, -1, io.ErrNoProgress, 0},
		{"endless line", context.Background(), io.MultiReader(bytes.NewReader(text), bytes.NewReader(long)), -1, ErrLine, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewChecker(testOrigin)
			err := CheckAll(tt.ctx, tt.in, c, func(e *Entry) error {
				if e.Err != nil {
					t.Error(e.Err)
				}
				if c.Size() == tt.stopAt {
					return broken
				}
				return nil
			})
			if !errors.Is(err, tt.wantErr) {
				t.Errorf("error %v, want %v", err, tt.wantErr)
			}
			if tt.wantEntries >= 0 && c.Size() != tt.wantEntries {
				t.Errorf("%d entries checked, want %d", c.Size(), tt.wantEntries)
			}
		})
	}
}

func TestCheckAllFindsTheLastNewlineMissing(t *testing.T) {
	text := file(testLedger().lines)
	c := NewChecker(testOrigin)
	got := findings{}
	if err := CheckAll(context.Background(), bytes.NewReader(text[:len(text)-1]), c, func(e *Entry) error {
		got.see(t, e.Err)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := (findings{12: {ErrEnvelope}}); got.String() != want.String() {
		t.Errorf("found %v, want %v", got, want)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }
