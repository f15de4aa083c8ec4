package digest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

var allAlgorithms = []Algorithm{AlgMD5, AlgSHA1, AlgSHA256, AlgSHA384, AlgSHA512}

// content is the same random bytes for all tests.
var content = sync.OnceValue(func() []byte {
	b := make([]byte, 3*Segment+5)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never an error
	return b
})

// boundaries are the sizes where an off-by-one would show.
var boundaries = []int{
	0, 1, 63, 64, bufferLen - 1, bufferLen, bufferLen + 1, ringLen*bufferLen + 1,
	Segment - 1, Segment, Segment + 1, 2 * Segment, 3*Segment + 5,
}

// plainSet hashes with the standard library alone.
func plainSet(b []byte, algs ...Algorithm) Set {
	var s Set
	for i, a := range algorithms {
		if slices.Contains(algs, a.name) {
			h := a.new()
			h.Write(b)
			s.hex[i] = hex.EncodeToString(h.Sum(nil))
		}
	}
	return s
}

// plainMidstates restates the rule of the package comment, the slow way.
func plainMidstates(b []byte) Midstates {
	var list Midstates
	for end := Segment; end < len(b); end += Segment {
		h := start(indexSHA256)
		h.Write(b[:end])
		list = append(list, chainingValue(h))
	}
	return list
}

// readOnly hides WriteTo.
type readOnly struct{ io.Reader }

func TestStream(t *testing.T) {
	ways := map[string]func(t *testing.T, b []byte, algs []Algorithm) (Set, int64, Midstates){
		"Read": func(t *testing.T, b []byte, algs []Algorithm) (Set, int64, Midstates) {
			r := NewReader(bytes.NewReader(b), algs...)
			defer r.Close()
			return finish(t, r, readOnly{r}, b)
		},
		"WriteTo": func(t *testing.T, b []byte, algs []Algorithm) (Set, int64, Midstates) {
			r := NewReader(bytes.NewReader(b), algs...)
			defer r.Close()
			return finish(t, r, r, b)
		},
		"WriteTo with data beside EOF": func(t *testing.T, b []byte, algs []Algorithm) (Set, int64, Midstates) {
			r := NewReader(iotest.DataErrReader(bytes.NewReader(b)), algs...)
			defer r.Close()
			return finish(t, r, r, b)
		},
		"Hasher": func(t *testing.T, b []byte, algs []Algorithm) (Set, int64, Midstates) {
			h := NewHasher(algs...)
			defer h.Close()
			for rest := b; len(rest) > 0; {
				n := min(len(rest), 100_003)
				if _, err := h.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			set, n, err := h.Sum()
			if err != nil {
				t.Fatal(err)
			}
			list, err := h.Midstates()
			if err != nil {
				t.Fatal(err)
			}
			return set, n, list
		},
	}
	for _, size := range boundaries {
		b := content()[:size]
		algs := []Algorithm{AlgMD5}
		if size <= Segment {
			algs = allAlgorithms
		}
		want, wantList := plainSet(b, append(algs, AlgSHA256)...), plainMidstates(b)
		if got := MidstateCount(int64(size)); got != int64(len(wantList)) {
			t.Errorf("MidstateCount(%d) = %d", size, got)
		}
		for name, way := range ways {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				set, n, list := way(t, b, algs)
				if set != want || n != int64(size) || !slices.Equal(list, wantList) {
					t.Errorf("%v, %d bytes, %d midstates", set, n, len(list))
				}
			})
		}
	}
}

// finish copies src, which is r in one dress or another, and checks what arrives.
func finish(t *testing.T, r *Reader, src io.Reader, b []byte) (Set, int64, Midstates) {
	t.Helper()
	var arrived bytes.Buffer
	if n, err := io.Copy(&arrived, src); err != nil || n != int64(len(b)) || !bytes.Equal(arrived.Bytes(), b) {
		t.Fatalf("%d bytes arrived: %v", n, err)
	}
	set, n, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Midstates()
	if err != nil {
		t.Fatal(err)
	}
	return set, n, list
}

// TestGolden holds the midstates against values from another implementation (OpenSSL).
func TestGolden(t *testing.T) {
	h := NewHasher()
	defer h.Close()
	if _, err := h.Write(make([]byte, 2*Segment+1)); err != nil {
		t.Fatal(err)
	}
	list, err := h.Midstates()
	if err != nil {
		t.Fatal(err)
	}
	const want = "393ed7af5ca41ad48e3a96c762f35ef455efc8a667af6b73b461f8d190e24582" +
		"7019b1ae20a5119c92196d8d726aded86bbcf6e1854dc2193280b54f13edbfe9"
	if got := hex.EncodeToString(list.Bytes()); got != want {
		t.Error(got)
	}
	if got := list.SHA256().String(); got != "3a3038e5503d804fb05750461c5364dbd20869bd0a379c98709acf0ebd29cdc6" {
		t.Error(got)
	}
}

// TestResume cuts a stream at any point, any number of times, through the binary form.
func TestResume(t *testing.T) {
	const b = Segment
	for _, cuts := range [][]int{
		{0}, {1}, {b - 1}, {b}, {b + 1}, {b, b}, {b, 2 * b}, {2*b - 64, 2*b + 64}, {3*b + 5}, {b / 2, b + 7, 3 * b},
	} {
		t.Run(fmt.Sprint(cuts), func(t *testing.T) { resume(t, content(), cuts, AlgSHA1) })
	}
	t.Run("anywhere", rapid.MakeCheck(func(t *rapid.T) {
		size := rapid.IntRange(0, 1<<20).Draw(t, "size")
		cuts := rapid.SliceOfN(rapid.IntRange(0, size), 0, 4).Draw(t, "cuts")
		slices.Sort(cuts)
		resume(t, content()[:size], cuts, allAlgorithms...)
	}))
}

func resume(t rapid.TB, b []byte, cuts []int, algs ...Algorithm) {
	t.Helper()
	r, err := NewReader(nil, algs...), error(nil)
	var list Midstates
	pos := 0
	for i, cut := range append(slices.Clone(cuts), len(b)) {
		if r.src = bytes.NewReader(b[pos:cut]); i%2 == 0 {
			_, err = io.Copy(io.Discard, r)
		} else {
			_, err = io.Copy(io.Discard, readOnly{r})
		}
		if err != nil {
			t.Fatal(err)
		}
		pos = cut
		noted, err := r.Midstates()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, noted...)
		if cut == len(b) && i == len(cuts) {
			break
		}
		saved, err := r.State()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		form, err := saved.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var s State
		if err := s.UnmarshalBinary(form); err != nil || s != saved || s.Size() != int64(cut) {
			t.Fatalf("state at %d: %v", cut, err)
		}
		if r, err = ResumeReader(nil, s); err != nil {
			t.Fatal(err)
		}
	}
	defer r.Close()
	set, n, err := r.Finish()
	if want := plainSet(b, append(algs, AlgSHA256)...); err != nil || set != want || n != int64(len(b)) {
		t.Fatalf("%v, %d bytes: %v", set, n, err)
	}
	if !slices.Equal(list, plainMidstates(b)) {
		t.Fatalf("%d midstates", len(list))
	}
}

type failingWriter struct {
	room int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if n := w.room; n < len(p) {
		w.room = 0
		return n, w.err
	}
	w.room -= len(p)
	return len(p), nil
}

// TestIncomplete: no digest without the end of the stream.
func TestIncomplete(t *testing.T) {
	errCut := errors.New("cut")
	all := bytes.Repeat([]byte("evidence"), bufferLen/4)
	source := func(err error) io.Reader {
		return io.MultiReader(bytes.NewReader(all), iotest.ErrReader(err), bytes.NewReader(all))
	}
	discard := func(r *Reader) error { _, err := io.Copy(io.Discard, r); return err }
	for name, row := range map[string]struct {
		src       io.Reader
		use       func(*Reader) error
		wantErr   error
		wantCause error
	}{
		"never read":          {source(errCut), func(*Reader) error { return nil }, nil, ErrIncomplete},
		"source fails":        {source(errCut), discard, errCut, errCut},
		"body cut":            {source(io.ErrUnexpectedEOF), discard, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"wrapped end":         {source(fmt.Errorf("no: %w", io.EOF)), discard, io.EOF, ErrIncomplete},
		"source stands":       {stuckReader{}, discard, io.ErrNoProgress, io.ErrNoProgress},
		"body cut, Read":      {source(io.ErrUnexpectedEOF), func(r *Reader) error { _, err := io.ReadAll(r); return err }, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"reader goes on":      {source(errCut), func(r *Reader) error { _ = discard(r); return discard(r) }, errCut, errCut},
		"known size":          {bytes.NewReader(all), func(r *Reader) error { _, err := io.ReadFull(r, make([]byte, len(all))); return err }, nil, ErrIncomplete},
		"writer fails":        {bytes.NewReader(all), func(r *Reader) error { _, err := r.WriteTo(&failingWriter{bufferLen + 1, errCut}); return err }, errCut, errCut},
		"writer says EOF":     {bytes.NewReader(all), func(r *Reader) error { _, err := r.WriteTo(&failingWriter{9, io.EOF}); return err }, io.EOF, ErrIncomplete},
		"writer short":        {bytes.NewReader(all), func(r *Reader) error { _, err := r.WriteTo(&failingWriter{9, nil}); return err }, io.ErrShortWrite, io.ErrShortWrite},
		"writer fails at EOF": {iotest.DataErrReader(bytes.NewReader(all[:9])), func(r *Reader) error { _, err := r.WriteTo(&failingWriter{8, errCut}); return err }, errCut, errCut},
		"closed":              {bytes.NewReader(all), func(r *Reader) error { r.Close(); r.Close(); return discard(r) }, ErrClosed, ErrClosed},
		"closed, Read":        {bytes.NewReader(all), func(r *Reader) error { r.Close(); _, err := io.ReadAll(r); return err }, ErrClosed, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(row.src)
			defer r.Close()
			if err := row.use(r); !errors.Is(err, row.wantErr) {
				t.Errorf("reading: %v", err)
			}
			set, n, err := r.Finish()
			if !errors.Is(err, ErrIncomplete) || !errors.Is(err, row.wantCause) || !set.IsZero() || n != 0 {
				t.Errorf("Finish: %v, %d, %v", set, n, err)
			}
		})
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

func TestClosed(t *testing.T) {
	h := NewHasher()
	h.Close()
	h.Close()
	_, errWrite := h.Write([]byte("x"))
	_, _, errSum := h.Sum()
	_, errState := h.State()
	_, errMidstates := h.Midstates()
	for _, err := range []error{errWrite, errSum, errState, errMidstates} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// TestCloseWhileReading is what a cancelled HTTP request does to its body.
func TestCloseWhileReading(t *testing.T) {
	for _, dress := range []func(*Reader) io.Reader{
		func(r *Reader) io.Reader { return r },
		func(r *Reader) io.Reader { return readOnly{r} },
	} {
		src, feed := io.Pipe()
		r := NewReader(src, allAlgorithms...)
		read := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, dress(r))
			read <- err
		}()
		chunk := make([]byte, bufferLen)
		for range 2 * ringLen {
			if _, err := feed.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
		go func() { _, _ = feed.Write(chunk) }() // whoever waits for more gets it
		if err := <-read; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNoCloser: net/http would close the body before its digests are asked for.
func TestNoCloser(t *testing.T) {
	r := NewReader(bytes.NewReader([]byte("x")))
	defer r.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://localhost/", r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		t.Fatal(err)
	}
	if err := req.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Finish(); err != nil {
		t.Error(err)
	}
}

func TestSum(t *testing.T) {
	set, n, err := Sum(t.Context(), bytes.NewReader(nil), AlgMD5)
	if err != nil || n != 0 || set.String() != "md5:"+emptyMD5+" sha256:"+emptySHA256 {
		t.Errorf("%v, %d, %v", set, n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if set, n, err := Sum(ctx, bytes.NewReader([]byte("x"))); !errors.Is(err, context.Canceled) || !set.IsZero() || n != 0 {
		t.Errorf("%v, %d, %v", set, n, err)
	}
}

func TestUnknownAlgorithmPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewHasher("crc32")
}
