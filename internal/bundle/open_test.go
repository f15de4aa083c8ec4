package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
)

// codes gives the faults as "code path", without the sums that follow from a change.
func codes(found []bundle.Fault) []string {
	var list []string
	for _, f := range found {
		list = append(list, string(f.Code)+" "+f.Path)
	}
	slices.Sort(list)
	return list
}

// TestFaults changes a bundle and leaves its manifests as they are, unless the row
// says otherwise.
func TestFaults(t *testing.T) {
	whole := bundletest.Unpack(t, bundletest.Write(t, exported(t, "W2")))
	for name, row := range map[string]struct {
		change func(bundletest.Bag)
		want   []string
	}{
		"nothing":      {func(bundletest.Bag) {}, nil},
		"recomputed":   {bundletest.Bag.Recompute, nil},
		"payload bit":  {func(b bundletest.Bag) { b.Flip("data/payloads/3.json", 7) }, []string{"manifest-sum data/payloads/3.json"}},
		"content bit":  {func(b bundletest.Bag) { b.Flip("data/content/E-001-W2.bin", 7) }, []string{"manifest-sum data/content/E-001-W2.bin"}},
		"readme bit":   {func(b bundletest.Bag) { b.Flip("data/README.txt", 7) }, []string{"manifest-sum data/README.txt"}},
		"bag-info bit": {func(b bundletest.Bag) { b.Flip("bag-info.txt", 22) }, []string{"bundle-reference bag-info.txt", "manifest-sum bag-info.txt"}},
		"bagit": {
			func(b bundletest.Bag) { b["bagit.txt"] = []byte("BagIt-Version: 0.97\n") },
			[]string{"bag bagit.txt", "manifest-sum bagit.txt"},
		},
		"file gone": {
			func(b bundletest.Bag) { delete(b, "data/payloads/3.json") },
			[]string{"bag bag-info.txt", "manifest-row data/payloads/3.json"},
		},
		"file more": {
			func(b bundletest.Bag) { b["data/payloads/4000.json"] = []byte("{}") },
			[]string{"bag bag-info.txt", "manifest-file data/payloads/4000.json"},
		},
		"needed file gone": {
			func(b bundletest.Bag) { delete(b, "data/checkpoint"); b.Recompute() },
			[]string{"file-missing data/checkpoint"},
		},
		"no manifest": {
			func(b bundletest.Bag) { delete(b, "tagmanifest-sha256.txt") },
			[]string{"file-missing tagmanifest-sha256.txt", "manifest-file bag-info.txt", "manifest-file bagit.txt", "manifest-file manifest-sha256.txt"},
		},
		"unknown files": {
			func(b bundletest.Bag) {
				for _, path := range []string{
					"fetch.txt", "data/x", "data/payloads/03.json", "data/payloads/-1.json", "data/payloads/99999999999999999999.json",
					"data/payloads/3.JSON", "data/logs/E-001.log", "data/logs/E-001-X1.log", "data/logs/.-M1.log", "data/content/E-001-M01.bin",
				} {
					b[path] = []byte("x")
				}
				b.Recompute()
				delete(b, "data/payloads/03.json")
			},
			[]string{
				"bag bag-info.txt", "file-unknown data/content/E-001-M01.bin", "file-unknown data/logs/.-M1.log", "file-unknown data/logs/E-001-X1.log",
				"file-unknown data/logs/E-001.log", "file-unknown data/payloads/-1.json", "file-unknown data/payloads/3.JSON",
				"file-unknown data/payloads/99999999999999999999.json", "file-unknown data/x", "file-unknown fetch.txt",
				"manifest-row data/content/E-001-M01.bin", "manifest-row data/logs/.-M1.log", "manifest-row data/logs/E-001-X1.log",
				"manifest-row data/logs/E-001.log", "manifest-row data/payloads/-1.json", "manifest-row data/payloads/03.json",
				"manifest-row data/payloads/3.JSON", "manifest-row data/payloads/99999999999999999999.json", "manifest-row data/x", "manifest-row fetch.txt",
			},
		},
		"unsafe names": {
			func(b bundletest.Bag) {
				for _, path := range []string{"../x", "data/../x", "data\\x", "data//x", "c:x", "./bagit.txt"} {
					b[path] = nil
				}
			},
			[]string{
				"file-name 2026-0042/../x", "file-name 2026-0042/./bagit.txt", "file-name 2026-0042/c:x", "file-name 2026-0042/data/../x",
				"file-name 2026-0042/data//x", `file-name "2026-0042/data\\x"`,
			},
		},
		"oversize": {
			func(b bundletest.Bag) { b["data/payloads/3.json"] = make([]byte, 48<<10+1) },
			[]string{"bag bag-info.txt", "file-size data/payloads/3.json", "manifest-row data/payloads/3.json"},
		},
		"manifest lines": {
			func(b bundletest.Bag) {
				m := b["manifest-sha256.txt"]
				row := m[:bytes.IndexByte(m, '\n')+1]
				b["manifest-sha256.txt"] = slices.Concat(m, row, []byte("no row\n"+strings.Repeat("0", 64)+"  bagit.txt\nunended"))
			},
			[]string{
				"file-unreadable manifest-sha256.txt", "manifest manifest-sha256.txt", "manifest manifest-sha256.txt",
				"manifest manifest-sha256.txt", "manifest-sum manifest-sha256.txt",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bag := whole.Clone()
			row.change(bag)
			if got := codes(faults(t, open(t, bag.Zip(t)))); !slices.Equal(got, sorted(row.want)) {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(sorted(row.want), "\n"))
			}
		})
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

var errDisk = errors.New("bad sector")

type badDisk struct {
	io.ReaderAt
	from int64
}

func (d badDisk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.from {
		return 0, errDisk
	}
	return d.ReaderAt.ReadAt(p, off)
}

func TestDiskError(t *testing.T) {
	packed := bundletest.Write(t, exported(t))
	_, err := bundle.Open(t.Context(), badDisk{bytes.NewReader(packed), 100}, int64(len(packed)))
	if !errors.Is(err, errDisk) || errors.Is(err, bundle.ErrFormat) {
		t.Error(err)
	}
}

func TestOpenDirFaults(t *testing.T) {
	dir := bundletest.Unpack(t, bundletest.Write(t, exported(t))).WriteTo(t)
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "x")
	payload := filepath.Join(dir, "data", "payloads", "3.json")
	if err := errors.Join(os.Remove(payload), os.Symlink(outside, payload)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "data", "desktop.ini"), "x")
	b, err := bundle.OpenDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bag bag-info.txt", "file-irregular data/payloads/3.json", "file-unknown data/desktop.ini", "manifest-row data/payloads/3.json"}
	if got := codes(faults(t, b)); !slices.Equal(got, want) {
		t.Error(got)
	}
	if _, err := b.ReadFile("data/payloads/3.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := bundle.OpenDir(t.Context(), t.TempDir()); !errors.Is(err, bundle.ErrFormat) {
		t.Error(err)
	}
	if _, err := bundle.OpenDir(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bundle.OpenDir(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzOpen: whatever the bytes are, reading ends, in bounds, without a panic.
func FuzzOpen(f *testing.F) {
	bag := bundletest.Bag{
		"bagit.txt": []byte("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"), "bag-info.txt": []byte("External-Identifier: 2026-0042\n"),
		"data/entries.jsonl": []byte("{}\n"), "data/payloads/0.json": []byte("{}"), "data/content/E-001-W1.bin": []byte("content"),
	}
	bag.Recompute()
	f.Add(bag.Zip(f))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		b, err := bundle.Open(t.Context(), bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			if b != nil {
				t.Error("a bundle and an error")
			}
			return
		}
		if err := b.Check(t.Context(), 1, nil, nil); err != nil {
			t.Error(err)
		}
		for _, file := range b.Files(nil) {
			if content, err := b.ReadFile(file.Path); err == nil && int64(len(content)) != file.Size {
				t.Errorf("%s has %d bytes, not %d", file.Path, len(content), file.Size)
			}
		}
		for _, fault := range b.Faults() {
			if strings.ContainsFunc(fmt.Sprint(fault.Path), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q is not printable", fault.Path)
			}
		}
	})
}

// TestManyFaults: an attacker does not decide how much is kept.
func TestManyFaults(t *testing.T) {
	bag := bundletest.Unpack(t, bundletest.Write(t, exported(t)))
	var rows bytes.Buffer
	for i := range bundle.MaxFaults + 5 {
		fmt.Fprintf(&rows, "%064x  data/payloads/%d.json\n", i, 1000+i)
	}
	rows.WriteString(strings.Repeat("\n", 1<<20))
	bag["manifest-sha256.txt"] = append(rows.Bytes(), bag["manifest-sha256.txt"]...)
	count := map[bundle.Code]int{}
	found := faults(t, open(t, bag.Zip(t)))
	for _, f := range found {
		count[f.Code]++
	}
	if count[bundle.FaultRow] != bundle.MaxFaults+1 || count[bundle.FaultManifest] != bundle.MaxFaults+1 {
		t.Error(count)
	}
	if !slices.Contains(found, bundle.Fault{Code: bundle.FaultRow, Path: "...", Detail: "and 5 more"}) {
		t.Error("the number of the others is not told")
	}
}
