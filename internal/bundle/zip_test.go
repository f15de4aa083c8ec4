package bundle_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
)

// rezip packs a bag as other programs do into a pipe, and adds something to it.
func rezip(t *testing.T, bag bundletest.Bag, add func(*zip.Writer)) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, path := range slices.Sorted(maps.Keys(bag)) {
		w, err := z.Create("2026-0042/" + path)
		if err == nil {
			_, err = w.Write(bag[path])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if add != nil {
		add(z)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plain packs a bag as other programs do into a file: with sizes in the local headers.
func plain(t *testing.T, bag bundletest.Bag, extra []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, path := range slices.Sorted(maps.Keys(bag)) {
		size := uint64(len(bag[path]))
		w, err := z.CreateRaw(&zip.FileHeader{
			Name: "2026-0042/" + path, CRC32: crc32.ChecksumIEEE(bag[path]), CompressedSize64: size, UncompressedSize64: size, Extra: extra,
		})
		if err == nil {
			_, err = w.Write(bag[path])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// raw adds a member of three bytes of which the headers state what they are told to.
func raw(t *testing.T, name string, flags, method uint16, mode fs.FileMode, size uint64) func(*zip.Writer) {
	content := []byte("abc")
	h := &zip.FileHeader{Name: name, Method: method, Flags: flags, UncompressedSize64: size, CompressedSize64: 3, CRC32: crc32.ChecksumIEEE(content)}
	h.SetMode(mode)
	return member(t, h, content)
}

func member(t *testing.T, h *zip.FileHeader, content []byte) func(*zip.Writer) {
	return func(z *zip.Writer) {
		w, err := z.CreateRaw(h)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// hidden deflates a file and puts a second one behind it, within the same member.
func hidden(t *testing.T, name string, content []byte) func(*zip.Writer) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	packed.WriteString("PK\x03\x04 and so on")
	return member(t, &zip.FileHeader{
		Name: name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(content),
		CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(content)),
	}, packed.Bytes())
}

func dirs(t *testing.T) func(*zip.Writer) {
	return func(z *zip.Writer) {
		for _, name := range []string{"2026-0042/", "2026-0042/data/", "2026-0042/data/payloads/"} {
			if _, err := z.Create(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// directory adds one that has bytes, as no library wants to.
func directory(t *testing.T, bag bundletest.Bag, method uint16, size uint64) []byte {
	packed := rezip(t, bag, raw(t, "2026-0042/data/payloads+", 0, method, fs.ModeDir|0o755, size))
	return bytes.ReplaceAll(packed, []byte("payloads+"), []byte("payloads/"))
}

const (
	header   = "PK\x01\x02"
	end      = "PK\x05\x06"
	timeID   = "\x55\x54\x05\x00"
	nameID   = "\x75\x70\x05\x00"
	zip64Two = "\x01\x00\x00\x00\x01\x00\x00\x00"
)

// insert puts bytes in front of the directory, and mends where the end says that is.
func insert(packed []byte, more string) []byte {
	at := bytes.Index(packed, []byte(header))
	b := slices.Concat(packed[:at], []byte(more), packed[at:])
	offset := b[len(b)-22+16:]
	binary.LittleEndian.PutUint32(offset, binary.LittleEndian.Uint32(offset)+uint32(len(more)))
	return b
}

// TestHostileZip is about what only zip knows.
func TestHostileZip(t *testing.T) {
	whole := bundletest.Unpack(t, bundletest.Write(t, exported(t)))
	good, file := rezip(t, whole, nil), plain(t, whole, nil)
	timed := plain(t, whole, []byte(timeID+"\x01\x00\x00\x00\x00"))
	large := func(of string, size int) bundletest.Bag {
		b := whole.Clone()
		b[of] = bytes.Repeat([]byte("again and again\n"), size/16)
		b.Recompute()
		return b
	}
	const body = "2026-0042/data/checkpoint.body"
	// at gives the place of a field of the local header, which ends with the name.
	at := func(packed []byte, field int) int { return bytes.Index(packed, []byte(body)) - 30 + field }
	change := func(packed []byte, at int, to byte) []byte {
		b := bytes.Clone(packed)
		b[at] = to
		return b
	}
	flip := func(packed []byte, at int) []byte { return change(packed, at, packed[at]^0xff) }
	second := string(good[:bytes.Index(good[4:], []byte("PK\x03\x04"))+4]) // a whole member
	descriptor := at(good, 0) + bytes.Index(good[at(good, 0):], []byte("PK\x07\x08"))
	log := func(flags, method uint16, mode fs.FileMode, size uint64) []byte {
		return rezip(t, whole, raw(t, "2026-0042/data/logs/E-009-M1.log", flags, method, mode, size))
	}
	for name, row := range map[string]struct {
		zip     []byte
		want    string // one of the faults
		wantErr error
	}{
		"good":            {good, "", nil},
		"good in a file":  {file, "", nil},
		"good with times": {timed, "", nil},
		"directories":     {rezip(t, whole, dirs(t)), "", nil},
		"blank image":     {rezip(t, large("data/content/E-001-W9.bin", 8<<20), nil), "", nil},
		"repetitive log":  {rezip(t, large("data/logs/E-001-M1.log", 8<<20), nil), "", nil},
		"bomb":            {rezip(t, large("data/files/E-001-M1.jsonl", 8<<20), nil), "file-size data/files/E-001-M1.jsonl", nil},

		"empty":            {nil, "", bundle.ErrFormat},
		"text":             {[]byte("PK nothing of a zip"), "", bundle.ErrFormat},
		"cut":              {good[:len(good)-30], "", bundle.ErrFormat},
		"no top":           {bundletest.Bag{}.Zip(t), "", bundle.ErrFormat},
		"top is unsafe":    {bytes.ReplaceAll(good, []byte("2026-0042/"), []byte("../../../x/"[:10])), "", bundle.ErrFormat},
		"in front":         {append([]byte("#!/bin/sh\n"), good...), "", bundle.ErrFormat},
		"behind":           {append(bytes.Clone(good), 0), "", bundle.ErrFormat},
		"comment":          {append(change(good, len(good)-2, 1), 'x'), "", bundle.ErrFormat},
		"two ends":         {append(change(good, len(good)-2, 22), good[len(good)-22:]...), "", bundle.ErrFormat},
		"one more counted": {change(good, len(good)-22+10, good[len(good)-22+10]+1), "", bundle.ErrFormat},
		"one less counted": {bytes.ReplaceAll(good, good[len(good)-14:len(good)-10], []byte{good[len(good)-14] - 1, 0, good[len(good)-12] - 1, 0}), "", bundle.ErrFormat},
		"other disk":       {change(good, len(good)-22+4, 1), "", bundle.ErrFormat},
		"far directory":    {change(good, len(good)-22+19, 0x7f), "", bundle.ErrFormat},
		"between them":     {slices.Concat(good[:len(good)-22], []byte("PK\x06\x07"), make([]byte, 16), good[len(good)-22:]), "", bundle.ErrFormat},

		"hidden member":    {insert(good, second), "zip-layout tagmanifest-sha256.txt", nil},
		"hidden in a file": {insert(file, second), "zip-layout tagmanifest-sha256.txt", nil},
		"hidden directory": {insert(good, header+strings.Repeat("\x00", 42)), "zip-layout tagmanifest-sha256.txt", nil},
		"hidden behind":    {rezip(t, without(whole, "data/README.txt"), hidden(t, "2026-0042/data/README.txt", whole["data/README.txt"])), "file-unreadable data/README.txt", nil},
		"local name":       {change(good, at(good, 30)+15, 'D'), "zip-layout data/checkpoint.body", nil},
		"local method":     {change(good, at(good, 8), 0), "zip-layout data/checkpoint.body", nil},
		"local CRC":        {flip(file, at(file, 14)), "zip-layout data/checkpoint.body", nil},
		"local packed":     {flip(file, at(file, 18)), "zip-layout data/checkpoint.body", nil},
		"local size":       {flip(file, at(file, 22)), "zip-layout data/checkpoint.body", nil},
		"later CRC":        {change(good, at(good, 14), 1), "zip-layout data/checkpoint.body", nil},
		"later packed":     {change(good, at(good, 18), 1), "zip-layout data/checkpoint.body", nil},
		"later size":       {change(good, at(good, 22), 1), "zip-layout data/checkpoint.body", nil},
		"descriptor CRC":   {flip(good, descriptor+4), "zip-layout data/checkpoint.sig", nil},
		"descriptor size":  {flip(good, descriptor+8), "zip-layout data/checkpoint.sig", nil},
		"other name":       {bytes.ReplaceAll(timed, []byte(timeID), []byte(nameID)), "zip-layout data/checkpoint.body", nil},
		"local other name": {slices.Concat(timed[:at(timed, 0)], bytes.Replace(timed[at(timed, 0):], []byte(timeID), []byte(nameID), 1)), "zip-layout data/checkpoint.body", nil},
		"listed other":     {bytes.Replace(timed, []byte(body+timeID), []byte(body+nameID), 2), "zip-layout data/checkpoint.body", nil},
		"two large sizes":  {plain(t, whole, []byte(zip64Two)), "zip-layout data/checkpoint.body", nil},
		"cut extra":        {plain(t, whole, []byte(timeID)), "zip-layout data/checkpoint.body", nil},

		"double":            {rezip(t, whole, raw(t, "2026-0042/data/checkpoint", 0, 0, 0o644, 3)), "file-name data/checkpoint", nil},
		"alike":             {rezip(t, whole, raw(t, "2026-0042/data/Checkpoint", 0, 0, 0o644, 3)), "file-unknown data/Checkpoint", nil},
		"alike label":       {rezip(t, whole, raw(t, "2026-0042/data/logs/e-001-M1.log", 0, 0, 0o644, 3)), "file-name data/logs/e-001-M1.log", nil},
		"other top":         {rezip(t, whole, raw(t, "other/bagit.txt", 0, 0, 0o644, 3)), "file-unknown other/bagit.txt", nil},
		"absolute":          {rezip(t, whole, raw(t, "/etc/passwd", 0, 0, 0o644, 3)), "file-name /etc/passwd", nil},
		"control":           {rezip(t, whole, raw(t, "2026-0042/data/\x1b[2J", 0, 0, 0o644, 3)), `file-unknown "data/\x1b[2J"`, nil},
		"full directory":    {directory(t, whole, 8, 0), "file-irregular data/payloads/", nil},
		"long directory":    {directory(t, whole, 0, 3), "file-irregular data/payloads/", nil},
		"linked directory":  {rezip(t, whole, member(t, linked("2026-0042/data/payloads/"), nil)), "file-irregular data/payloads/", nil},
		"unknown directory": {rezip(t, whole, member(t, &zip.FileHeader{Name: "2026-0042/data/new/"}, nil)), "file-unknown data/new/", nil},
		"outer directory":   {rezip(t, whole, member(t, &zip.FileHeader{Name: "../x/"}, nil)), "file-unknown ../x/", nil},
		"link":              {log(0, 0, fs.ModeSymlink|0o777, 3), "file-irregular data/logs/E-009-M1.log", nil},
		"encrypted":         {log(1, 0, 0o644, 3), "file-irregular data/logs/E-009-M1.log", nil},
		"method":            {log(0, 12, 0o644, 3), "file-irregular data/logs/E-009-M1.log", nil},
		"two sizes":         {log(0, 0, 0o644, 4), "file-size data/logs/E-009-M1.log", nil},
		"stated too long":   {log(0, 8, 0o644, 100), "file-unreadable data/logs/E-009-M1.log", nil},
		"endless":           {rezip(t, whole, raw(t, "2026-0042/data/content/E-009-M1.bin", 0, 8, 0o644, 1<<62)), "file-size data/content/E-009-M1.bin", nil},
		"payload of zip":    {flip(good, at(good, 30)+len(body)), "file-unreadable data/checkpoint.body", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agrees(t, row.zip, whole, name, row.want == "" && row.wantErr == nil)
			b, err := bundle.Open(t.Context(), bytes.NewReader(row.zip), int64(len(row.zip)))
			if !errors.Is(err, row.wantErr) {
				t.Fatalf("error %v, want %v", err, row.wantErr)
			}
			if err != nil {
				return
			}
			found := codes(faults(t, b))
			if row.want == "" && len(found) > 0 || row.want != "" && !slices.Contains(found, row.want) && !slices.Contains(found, strings.Replace(row.want, " ", " 2026-0042/", 1)) {
				t.Errorf("found\n%s\nwant %s", strings.Join(found, "\n"), row.want)
			}
		})
	}
}

func without(bag bundletest.Bag, path string) bundletest.Bag {
	b := bag.Clone()
	delete(b, path)
	return b
}

func linked(name string) *zip.FileHeader {
	h := &zip.FileHeader{Name: name}
	h.SetMode(fs.ModeSymlink | 0o777)
	return h
}

// TestOverlap puts many names over the same bytes.
func TestOverlap(t *testing.T) {
	whole := bundletest.Unpack(t, bundletest.Write(t, exported(t)))
	packed := rezip(t, whole, nil)
	// The second directory entry shows to the first one's local header.
	at := bytes.Index(packed, []byte(header))
	second := at + 4 + bytes.Index(packed[at+4:], []byte(header))
	binary.LittleEndian.PutUint32(packed[second+42:], 0)
	if found := codes(faults(t, open(t, packed))); !slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, "zip-layout ") }) {
		t.Error(found)
	}
	agrees(t, packed, whole, "overlap", false)
}

// TestZip64 reads a zip with 70,000 files, which has another end.
func TestZip64(t *testing.T) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	write := func(name string) {
		if _, err := z.CreateRaw(&zip.FileHeader{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	write("2026-0042/bagit.txt")
	for range 70_000 {
		write("2026-0042/unknown")
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, out.Bytes())
	if n := len(b.Faults()); n > 3000 {
		t.Errorf("%d faults", n)
	}
	packed := out.Bytes()
	for _, at := range []int{4, 24, 32, 40, 48, 56 + 4, 56 + 8, 56 + 16, 76 + 4, 76 + 8} { // of the 98 bytes at the end
		bad := bytes.Clone(packed)
		bad[len(bad)-98+at]++
		if _, err := bundle.Open(t.Context(), bytes.NewReader(bad), int64(len(bad))); !errors.Is(err, bundle.ErrFormat) {
			t.Errorf("byte %d of the end: %v", at, err)
		}
	}
}
