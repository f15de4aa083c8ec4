package digest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
)

func BenchmarkSHA256(b *testing.B) {
	data := content()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		sha256.Sum256(data)
	}
}

var declared = []Algorithm{AlgMD5, AlgSHA1, AlgSHA256}

func BenchmarkThreeInTurn(b *testing.B) {
	data := content()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		plainSet(data, declared...)
	}
}

func BenchmarkThree(b *testing.B)     { benchmarkReader(b, false, declared...) }
func BenchmarkThreeRead(b *testing.B) { benchmarkReader(b, true, declared...) }
func BenchmarkOne(b *testing.B)       { benchmarkReader(b, false) }
func BenchmarkMD5(b *testing.B) {
	data := content()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		plainSet(data, AlgMD5)
	}
}

func benchmarkReader(b *testing.B, hide bool, algs ...Algorithm) {
	data := content()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(data), algs...)
		var src io.Reader = r
		if hide {
			src = readOnly{r}
		}
		if _, err := io.Copy(io.Discard, src); err != nil {
			b.Fatal(err)
		}
		if _, _, err := r.Finish(); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkVerifySegments(b *testing.B) {
	data := content()
	list, want := plainMidstates(data), SHA256(sha256.Sum256(data))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		v, err := VerifySegments(b.Context(), stored(data), int64(len(data)), list, want, 2, nil)
		if err != nil || v.Result != Match {
			b.Fatal(v, err)
		}
	}
}
