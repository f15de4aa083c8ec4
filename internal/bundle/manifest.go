package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/custodyd/custodyd/internal/digest"
)

func notExist(path string) error { return fmt.Errorf("open %s: %w", path, fs.ErrNotExist) }

// readManifests reads both manifests, and holds rows and files against each other.
func (b *Bundle) readManifests(ctx context.Context) error {
	for _, path := range []string{TagManifestFile, ManifestFile} {
		if !b.Has(path) {
			continue
		}
		if err := b.readManifest(ctx, path); err != nil {
			return err
		}
	}
	for _, m := range b.all {
		// SPEC: "A tag manifest MUST NOT list itself" (RFC 8493, section 2.2.1, in other words)
		if !m.listed && m.Path != TagManifestFile {
			b.fault(FaultUnlisted, m.Path, "stands in no manifest")
		}
	}
	return nil
}

func (b *Bundle) readManifest(ctx context.Context, path string) error {
	r, err := b.OpenFile(path)
	if err != nil {
		b.fault(FaultUnreadable, path, err.Error())
		return nil
	}
	defer func() { _ = r.Close() }() // only read from
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<10)
	lines.Split(wholeLines)
	bad := 0
	for n := 1; lines.Scan(); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if detail := b.row(lines.Text(), path == TagManifestFile); detail != "" {
			b.fault(FaultManifest, path, fmt.Sprintf("line %d: %s", n, detail))
			if bad++; bad == MaxFaults {
				b.fault(FaultManifest, path, "was read no further")
				return nil
			}
		}
	}
	if err := lines.Err(); err != nil {
		b.fault(FaultUnreadable, path, err.Error())
	}
	return nil
}

// row takes in a line of a manifest, or tells what is wrong with it.
func (b *Bundle) row(line string, tags bool) string {
	sum, path, ok := strings.Cut(line, "  ")
	stated, err := digest.ParseSHA256(sum)
	if !ok || err != nil {
		return "is not a SHA-256, two spaces and a path"
	}
	if isTag(path) != tags || path == TagManifestFile {
		return printable(path) + " belongs into another manifest"
	}
	m := b.members[path]
	switch {
	case m == nil:
		b.fault(FaultRow, path, "stands in the manifest, but is not in the bundle")
		return ""
	case m.listed:
		return path + " is there already"
	}
	m.listed, m.stated = true, stated
	return ""
}

// wholeLines is bufio.ScanLines for lines that end with LF, the last one too.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errors.New("the last line has no end")
	}
	return 0, nil, nil
}

// checkBag looks at the two files that BagIt asks for.
func (b *Bundle) checkBag() {
	if text, err := b.ReadFile(BagItFile); err == nil && string(text) != bagIt {
		b.fault(FaultBag, BagItFile, "is not that of a bag of version 1.0 in UTF-8")
	}
	text, err := b.ReadFile(BagInfoFile)
	if err != nil {
		return // told as missing, or by Check
	}
	info, ok := parseBagInfo(string(text))
	if !ok {
		b.fault(FaultBag, BagInfoFile, "has not the four lines it must have")
		return
	}
	b.info = info
	if b.top != "" && info.Reference != b.top {
		b.fault(FaultReference, BagInfoFile, "is of another case than the top directory names")
	}
	var oxum struct{ bytes, files int64 }
	for _, m := range b.all {
		if !isTag(m.Path) {
			oxum.bytes += m.Size
			oxum.files++
		}
	}
	if want := fmt.Sprintf("%d.%d", oxum.bytes, oxum.files); info.oxum != want {
		b.fault(FaultBag, BagInfoFile, "Payload-Oxum is "+printable(info.oxum)+", the files have "+want)
	}
}

// BagInfo is what bag-info.txt says. Nobody has signed it: compare it with what was.
type BagInfo struct {
	Reference string // of the case
	Origin    string // of the ledger
	Date      string // of the export in UTC, as in time.DateOnly
	oxum      string
}

// BagInfo gives what bag-info.txt says; false, when it is not there or no such file.
func (b *Bundle) BagInfo() (BagInfo, bool) { return b.info, b.info != BagInfo{} }

func parseBagInfo(text string) (BagInfo, bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return BagInfo{}, false
	}
	var info BagInfo
	for i, line := range []struct {
		label string
		value *string
	}{
		{"External-Identifier: ", &info.Reference},
		{"Internal-Sender-Identifier: ", &info.Origin},
		{"Bagging-Date: ", &info.Date},
		{"Payload-Oxum: ", &info.oxum},
	} {
		value, ok := strings.CutPrefix(lines[i], line.label)
		if !ok {
			return BagInfo{}, false
		}
		*line.value = value
	}
	return info, true
}
