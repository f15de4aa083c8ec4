package custody

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// path is an error as the operating system or an S3 client would word it.
func path(err error) error { return fmt.Errorf("read https://store/objects/0: %w", err) }

// TestVerdict puts readings into words that no real store gives at will.
func TestVerdict(t *testing.T) {
	const segment = digest.Segment
	second, third := digest.Range{Off: segment, Len: segment}, digest.Range{Off: 2 * segment, Len: 10}
	var many []digest.Range
	for i := range int64(evidence.MaxRanges + 5) {
		many = append(many, digest.Range{Off: 2 * i * segment, Len: segment})
	}
	sum := digest.SHA256{1}
	whole, err := digest.Set{}.With(digest.AlgSHA256, sum.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		verdict digest.Verdict
		problem string
		unread  error
		want    evidence.FixityChecked
	}{
		"bad sector": {
			verdict: digest.Verdict{Result: digest.Unreadable, Unreadable: []digest.Range{third}, Cause: path(syscall.EIO)},
			want: evidence.FixityChecked{
				Result: evidence.Unreadable, Unreadable: []evidence.Range{{Offset: third.Off, Length: third.Len}}, Detail: "input/output error",
			},
		},
		"bad sector in a tampered copy": {
			verdict: digest.Verdict{
				Result: digest.Unreadable, Damaged: []digest.Range{second}, Unreadable: []digest.Range{third}, Cause: path(syscall.EIO),
			},
			want: evidence.FixityChecked{
				Result: evidence.Mismatch, Damaged: []evidence.Range{{Offset: second.Off, Length: second.Len}},
				Unreadable: []evidence.Range{{Offset: third.Off, Length: third.Len}}, Detail: "input/output error",
			},
		},
		"bad sector in a longer copy": {
			verdict: digest.Verdict{Result: digest.Unreadable, Longer: true, Unreadable: []digest.Range{second}, Cause: path(syscall.EIO)},
			want: evidence.FixityChecked{
				Result: evidence.Mismatch, Damaged: []evidence.Range{{Offset: third.Off + third.Len, Length: 1}},
				Unreadable: []evidence.Range{{Offset: second.Off, Length: second.Len}}, Detail: "input/output error",
			},
		},
		"many": {
			verdict: digest.Verdict{Result: digest.Unreadable, Damaged: many, Unreadable: many, Cause: path(syscall.EIO)},
			want: evidence.FixityChecked{
				Result: evidence.Mismatch, DamagedTotal: len(many), UnreadableTotal: len(many), Detail: "input/output error",
			},
		},
		"list wrong as it was sealed": {
			verdict: digest.Verdict{Result: digest.Match, SHA256: sum, ListWrong: true},
			want: evidence.FixityChecked{
				Result: evidence.Match, SHA256: &sum, ListWrong: true, Detail: "the sealed midstate list is not that of the sealed bytes",
			},
		},
		"list unreadable": {
			verdict: digest.Verdict{Result: digest.Match, SHA256: sum, ListWrong: true}, unread: path(errors.New("internal error")),
			want: evidence.FixityChecked{
				Result: evidence.Match, SHA256: &sum, Detail: "the midstate list could not be read: the store gave an error",
			},
		},
		"unstable": {
			verdict: digest.Verdict{Result: digest.Match, SHA256: sum, Unstable: true},
			want: evidence.FixityChecked{
				Result: evidence.Match, SHA256: &sum, Detail: "the store gave different bytes when asked twice",
			},
		},
		"gone, with its list": {
			verdict: digest.Verdict{Result: digest.Unreadable, Cause: path(fs.ErrNotExist)}, problem: "is missing from the store",
			want: evidence.FixityChecked{
				Result: evidence.Unreadable, Gone: true, ListWrong: true,
				Detail: "the object is missing; the midstate list is missing from the store",
			},
		},
		"another in its place": {
			verdict: digest.Verdict{Result: digest.Unreadable, Cause: path(objectstore.ErrReadBack)},
			want:    evidence.FixityChecked{Result: evidence.Unreadable, Gone: true, Detail: "the object is not as it was written"},
		},
		"cut while it was read": {
			verdict: digest.Verdict{Result: digest.Unreadable, Cause: path(io.ErrUnexpectedEOF)},
			want:    evidence.FixityChecked{Result: evidence.Unreadable, Detail: "the object ends too early"},
		},
	} {
		read := reading{verdict: row.verdict, source: "medium"}
		if row.verdict.Result == digest.Match {
			read.digests = whole
		}
		c := evidence.Copy{CopyID: evidence.CopyID{Exhibit: "E-001", Number: "M1"}, Size: 2*segment + 10}
		got := verdictOf(c, read, row.problem, row.unread)
		row.want.Exhibit, row.want.Number, row.want.Source = "E-001", "M1", "medium"
		if got.DamagedTotal > 0 {
			if len(got.Damaged) != evidence.MaxRanges || len(got.Unreadable) != evidence.MaxRanges {
				t.Errorf("%s: %d and %d ranges", name, len(got.Damaged), len(got.Unreadable))
			}
			got.Damaged, got.Unreadable = nil, nil
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if strings.Contains(got.Detail, "/objects/") {
			t.Errorf("%s: the entry tells %q", name, got.Detail)
		}
	}
}
