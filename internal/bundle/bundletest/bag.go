package bundletest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
)

// Bag is an unpacked bundle in an attacker's hands: content by path within the bag.
type Bag map[string][]byte

// Write gives the bytes of the bundle of a source.
func Write(tb testing.TB, src bundle.Source) []byte {
	tb.Helper()
	size := 1 << 20 // an image is copied often enough
	for _, o := range src.Objects {
		size += int(o.Size)
	}
	out := bytes.NewBuffer(make([]byte, 0, size))
	if err := bundle.Write(tb.Context(), out, src); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// Unpack takes a bundle apart.
func Unpack(tb testing.TB, packed []byte) Bag {
	tb.Helper()
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		tb.Fatal(err)
	}
	bag := Bag{}
	for _, f := range z.File {
		_, path, _ := strings.Cut(f.Name, "/")
		r, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		bag[path] = make([]byte, f.UncompressedSize64)
		if _, err := io.ReadFull(r, bag[path]); err != nil {
			tb.Fatal(err)
		}
	}
	return bag
}

// Clone copies the bag, but not what its files hold: replace, do not change.
func (b Bag) Clone() Bag { return maps.Clone(b) }

// Flip replaces a file by one with a changed bit.
func (b Bag) Flip(path string, at int) {
	b[path] = bytes.Clone(b[path])
	b[path][at] ^= 1
}

// Recompute makes the manifests and the Payload-Oxum those of the files.
func (b Bag) Recompute() {
	var size, files int64
	for path, content := range b {
		if strings.HasPrefix(path, "data/") {
			size, files = size+int64(len(content)), files+1
		}
	}
	info, _, _ := strings.Cut(string(b[bundle.BagInfoFile]), "Payload-Oxum")
	b[bundle.BagInfoFile] = fmt.Appendf(nil, "%sPayload-Oxum: %d.%d\n", info, size, files)
	var payload, tags bytes.Buffer
	for _, path := range slices.Sorted(maps.Keys(b)) {
		switch {
		case strings.HasPrefix(path, "data/"):
			fmt.Fprintf(&payload, "%x  %s\n", sum256(b[path]), path)
		case path != bundle.ManifestFile && path != bundle.TagManifestFile:
			fmt.Fprintf(&tags, "%x  %s\n", sum256(b[path]), path)
		}
	}
	b[bundle.ManifestFile] = payload.Bytes()
	fmt.Fprintf(&tags, "%x  %s\n", sum256(b[bundle.ManifestFile]), bundle.ManifestFile)
	b[bundle.TagManifestFile] = tags.Bytes()
}

func sum256(content []byte) [32]byte {
	if len(content) == len(Image()) && &content[0] == &Image()[0] {
		return imageSums().sum
	}
	return sha256.Sum256(content)
}

// Zip packs the bag without compressing it, for tests that pack many.
func (b Bag) Zip(tb testing.TB) []byte {
	tb.Helper()
	size := 0
	for path, content := range b {
		size += len(content) + 2*len(path) + 256 // what stands before it and at the end
	}
	out := bytes.NewBuffer(make([]byte, 0, size))
	z := zip.NewWriter(out)
	for _, path := range slices.Sorted(maps.Keys(b)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: string(Reference) + "/" + path, Method: zip.Store})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(b[path]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// WriteTo writes the bag into a new directory and gives its name.
func (b Bag) WriteTo(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), string(Reference))
	for path, content := range b {
		name := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}
