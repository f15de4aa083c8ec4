package verify

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrNotes says that a text is not a file of checkpoints.
var ErrNotes = errors.New("not a file of checkpoints")

const (
	notesHead = "custodyd checkpoints 1\n"
	maxNotes  = 1 << 20 // bytes of a file
	// A note that is longer than this has more cosignatures than anybody has witnesses.
	maxNote = 64 << 10
)

// MarshalNotes writes signed checkpoints, of any ledgers, into a file that can be sent
// to anybody: the line "custodyd checkpoints 1", then before each note an empty line.
// Two notes of one ledger that contradict each other prove it in the same form.
func MarshalNotes(notes [][]byte) []byte {
	b := []byte(notesHead)
	for _, note := range notes {
		b = append(append(b, '\n'), note...)
	}
	return b
}

// Note is a checkpoint as it stands in a file. Nobody has looked at its signatures.
type Note struct {
	Claimed ledger.Checkpoint
	Signed  []byte
}

// ParseNotes reads what MarshalNotes writes.
func ParseNotes(text []byte) ([]Note, error) {
	rest, ok := bytes.CutPrefix(text, []byte(notesHead))
	if !ok || len(text) > maxNotes {
		return nil, fmt.Errorf("%w: it does not begin with %q, or has more than %d bytes", ErrNotes, notesHead, maxNotes)
	}
	var notes []Note
	for len(rest) > 0 {
		fail := func(err error) ([]Note, error) {
			return nil, fmt.Errorf("%w: note %d: %s", ErrNotes, len(notes)+1, err.Error())
		}
		if rest[0] != '\n' {
			return fail(errors.New("no empty line before it"))
		}
		rest = rest[1:]
		end := bytes.Index(rest, []byte("\n\n")) + 1
		claimed, err := ledger.ParseCheckpoint(rest[:end])
		if err != nil {
			return fail(err)
		}
		end++
		signatures := 0
		for bytes.HasPrefix(rest[end:], []byte("— ")) {
			line := bytes.IndexByte(rest[end:], '\n') + 1
			if line == 0 {
				return fail(errors.New("its last line has no end"))
			}
			end += line
			signatures++
		}
		if signatures == 0 || end > maxNote {
			return fail(fmt.Errorf("%d signatures in %d bytes", signatures, end))
		}
		notes = append(notes, Note{claimed, rest[:end:end]})
		rest = rest[end:]
	}
	return notes, nil
}
