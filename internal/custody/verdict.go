package custody

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// verdictOf puts a reading into the words of an entry. problem says what is wrong
// with the midstate list, unread why it could not be read; with neither it has the
// hash that was sealed.
func verdictOf(c evidence.Copy, read reading, problem string, unread error) evidence.FixityChecked {
	found := read.verdict
	v := evidence.FixityChecked{
		Exhibit: c.Exhibit, Number: c.Number, Result: evidence.Result(found.Result), Source: read.source,
	}
	if sha256, ok := read.digests.SHA256(); ok {
		v.SHA256 = &sha256
	}
	var said []string
	if found.Result == digest.Unreadable {
		said = append(said, causeOf(found.Cause))
		if found.Longer && len(found.Damaged) == 0 { // the byte behind the end
			found.Damaged = []digest.Range{{Off: c.Size, Len: 1}}
		}
		if len(found.Damaged) > 0 { // what disagrees says all
			v.Result = evidence.Mismatch
		} else {
			v.Gone = gone(found.Cause)
		}
	}
	v.Damaged, v.DamagedTotal = ranges(found.Damaged)
	v.Unreadable, v.UnreadableTotal = ranges(found.Unreadable)
	switch {
	case problem != "":
		v.ListWrong = true
		said = append(said, "the midstate list "+problem)
	case unread != nil:
		said = append(said, "the midstate list could not be read: "+causeOf(unread))
	case found.ListWrong:
		v.ListWrong = true
		said = append(said, "the sealed midstate list is not that of the sealed bytes")
	}
	if found.Unstable {
		said = append(said, "the store gave different bytes when asked twice")
	}
	v.Detail = strings.Join(said, "; ")
	return v
}

// ranges cuts a list of ranges to what an entry holds, with the number of all
// where it is cut.
func ranges(all []digest.Range) (list []evidence.Range, total int) {
	if len(all) > evidence.MaxRanges {
		all, total = all[:evidence.MaxRanges], len(all)
	}
	for _, r := range all {
		list = append(list, evidence.Range{Offset: r.Off, Length: r.Len})
	}
	return list, total
}

// gone tells whether the store, which can be asked, has said that it has no such
// object any more, or another in its place.
func gone(err error) bool {
	return !errors.Is(err, ErrUnavailable) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrReadBack))
}

// spoilt tells whether the store has answered that it cannot give what was sealed:
// trying again will not mend it.
func spoilt(err error) bool {
	return gone(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EIO)
}

// causeOf gives an error of the store in a few words of ours: they stand in signed
// entries and in bundles for the other side, where the paths and addresses of the
// error's own text have no place.
func causeOf(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the object is missing"
	case errors.Is(err, objectstore.ErrReadBack):
		return "the object is not as it was written"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the object ends too early"
	case errors.Is(err, syscall.EIO):
		return "input/output error"
	case errors.Is(err, context.DeadlineExceeded):
		return "the store did not answer in time"
	}
	return "the store gave an error"
}
