package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSegment says that bytes are no segment in its one spelling.
var ErrSegment = errors.New("malformed segment")

// The bounds of a segment. Whoever cuts a ledger into segments keeps both; what is
// larger is not read.
const (
	MaxSegmentEntries = 4096
	MaxSegmentSize    = 16 << 20 // bytes of each of its two objects
)

const (
	segmentHeader  = "custodyd ledger segment 1\n"
	payloadsHeader = "custodyd payload segment 1\n"

	segmentPrefix  = "ledger-"
	payloadsPrefix = "payload-"
	numberDigits   = 16 // of MaxInt
)

// Segment is a run of entries as it lies in a store, without the payloads: they are an
// object of their own, which may have another life, and which the segment names by its
// hash.
type Segment struct {
	From       int64 // number of the first entry
	Payloads   SegmentPayloads
	Entries    []SegmentEntry
	Checkpoint []byte // signed note over exactly the entries up to the segment's end
}

// SegmentPayloads names the object with the payloads of a segment.
type SegmentPayloads struct {
	Key    string
	Size   int64 // bytes
	SHA256 Hash
}

// SegmentEntry is an entry without its payload.
type SegmentEntry struct {
	Envelope  []byte // without a newline
	Signature []byte // armoured
}

// To is the number of entries of the ledger up to the segment's end, where the next
// one begins.
func (s Segment) To() int64 { return s.From + int64(len(s.Entries)) }

// Marshal returns the bytes of the segment's object.
func (s Segment) Marshal() []byte {
	size := 512 + len(s.Checkpoint)
	for _, e := range s.Entries {
		size += SegmentRoom(e)
	}
	b := appendRange(make([]byte, 0, size), segmentHeader, s.From, s.To())
	b = append(b, "payloads "...)
	b = append(b, s.Payloads.Key...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, s.Payloads.Size, 10)
	b = append(b, ' ')
	b = append(b, s.Payloads.SHA256.String()...)
	b = append(b, '\n')
	for _, e := range s.Entries {
		b = append(b, e.Envelope...)
		b = append(b, "\nsignature "...)
		b = strconv.AppendInt(b, int64(len(e.Signature)), 10)
		b = append(b, '\n')
		b = append(b, e.Signature...)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, s.Checkpoint...)
}

// SegmentRoom is how many bytes an entry takes in a segment's object, at most.
func SegmentRoom(e SegmentEntry) int { return len(e.Envelope) + len(e.Signature) + 24 }

// PayloadRoom is how many bytes a payload takes in the object of the payloads, at most.
func PayloadRoom(payload []byte) int { return len(payload) + 40 }

// ParseSegment reads what Marshal writes. The result refers to b. Envelopes are lines
// that the caller has yet to parse, and the checkpoint is one of the right size whose
// signature the caller has yet to check: see Verify.
func ParseSegment(b []byte) (Segment, error) {
	s, err := parseSegment(b)
	if err != nil {
		return Segment{}, fmt.Errorf("%w: %w", ErrSegment, err)
	}
	return s, nil
}

func parseSegment(b []byte) (Segment, error) {
	r := segmentReader{rest: b}
	from, to, err := r.start(segmentHeader)
	if err != nil {
		return Segment{}, err
	}
	s := Segment{From: from}
	if s.Payloads, err = parsePayloadsLine(r.line(maxPayloadsLine), from); err != nil {
		return Segment{}, err
	}
	s.Entries = make([]SegmentEntry, to-from)
	for i := range s.Entries {
		e := &s.Entries[i]
		e.Envelope = r.line(MaxEnvelope)
		if e.Signature, err = r.counted("signature "); err != nil || len(e.Envelope) == 0 {
			return Segment{}, fmt.Errorf("entry %d is not an envelope and its signature", from+int64(i))
		}
	}
	if len(r.rest) == 0 || r.rest[0] != '\n' {
		return Segment{}, errors.New("no empty line follows the entries")
	}
	s.Checkpoint = r.rest[1:]
	c, err := noteBody(s.Checkpoint)
	if err != nil {
		return Segment{}, err
	}
	if c.Size != to {
		return Segment{}, fmt.Errorf("its checkpoint is of %d entries, not %d", c.Size, to)
	}
	return s, nil
}

// maxPayloadsLine is the length of the longest third line.
const maxPayloadsLine = len("payloads ") + len(payloadsPrefix) + numberDigits + len("-999999 ") + len("16777216 ") + 64

func parsePayloadsLine(line []byte, from int64) (SegmentPayloads, error) {
	fields := strings.Split(string(line), " ")
	if len(fields) != 4 || fields[0] != "payloads" {
		return SegmentPayloads{}, errors.New("its payloads are not named")
	}
	size, err := parseInt(fields[2])
	if err != nil || size > MaxSegmentSize {
		return SegmentPayloads{}, errors.New("the size of its payloads is none")
	}
	if first, _, ok := ParsePayloadsKey(fields[1]); !ok || first != from {
		return SegmentPayloads{}, errors.New("the key of its payloads is not one of them")
	}
	sum, err := ParseHash(fields[3])
	if err != nil {
		return SegmentPayloads{}, err
	}
	return SegmentPayloads{Key: fields[1], Size: size, SHA256: sum}, nil
}

// noteBody reads the checkpoint of a note without its signatures.
func noteBody(signed []byte) (Checkpoint, error) {
	end := bytes.Index(signed, []byte("\n\n"))
	if end < 0 {
		return Checkpoint{}, fmt.Errorf("%w: no signatures", ErrCheckpoint)
	}
	return ParseCheckpoint(signed[:end+1])
}

// Verify checks the signature of the segment's checkpoint, which it returns. Whether
// the entries lead to its root is for the caller to compute.
func (s Segment) Verify(key VerifierKey) (Checkpoint, error) {
	c, err := OpenCheckpoint(s.Checkpoint, key)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("segment from %d: %w", s.From, err)
	}
	return c, nil
}

// MarshalPayloads returns the bytes of the object with the payloads of the entries
// from number from on, and how a segment names it under a key.
func MarshalPayloads(key string, from int64, payloads [][]byte) ([]byte, SegmentPayloads) {
	size := 128
	for _, p := range payloads {
		size += PayloadRoom(p)
	}
	b := appendRange(make([]byte, 0, size), payloadsHeader, from, from+int64(len(payloads)))
	for i, p := range payloads {
		b = append(b, "payload "...)
		b = strconv.AppendInt(b, from+int64(i), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(b, '\n')
		b = append(b, p...)
		b = append(b, '\n')
	}
	return b, SegmentPayloads{Key: key, Size: int64(len(b)), SHA256: sha256.Sum256(b)}
}

// ParsePayloads reads what MarshalPayloads writes: the payloads, the first of which is
// of entry from. The result refers to b.
func ParsePayloads(b []byte) (from int64, payloads [][]byte, err error) {
	r := segmentReader{rest: b}
	from, to, err := r.start(payloadsHeader)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrSegment, err)
	}
	payloads = make([][]byte, to-from)
	word := make([]byte, 0, 40)
	for i := range payloads {
		word = append(strconv.AppendInt(append(word[:0], "payload "...), from+int64(i), 10), ' ')
		if payloads[i], err = r.counted(string(word)); err != nil {
			return 0, nil, fmt.Errorf("%w: payload of entry %d: %w", ErrSegment, from+int64(i), err)
		}
	}
	if len(r.rest) > 0 {
		return 0, nil, fmt.Errorf("%w: it goes on after its last payload", ErrSegment)
	}
	return from, payloads, nil
}

func appendRange(b []byte, header string, from, to int64) []byte {
	b = append(b, header...)
	b = append(b, "from "...)
	b = strconv.AppendInt(b, from, 10)
	b = append(b, "\nto "...)
	b = strconv.AppendInt(b, to, 10)
	return append(b, '\n')
}

// segmentReader reads the parts of a segment from its front.
type segmentReader struct{ rest []byte }

// line reads up to a newline, at most limit bytes without it; nil, if there is none.
func (r *segmentReader) line(limit int) []byte {
	i := bytes.IndexByte(r.rest[:min(len(r.rest), limit+1)], '\n')
	if i < 0 {
		return nil
	}
	line := r.rest[:i:i]
	r.rest = r.rest[i+1:]
	return line
}

func (r *segmentReader) number(word string) (int64, error) {
	text, ok := strings.CutPrefix(string(r.line(len(word)+numberDigits)), word)
	if !ok {
		return 0, fmt.Errorf("no line %q where one was due", word)
	}
	return parseInt(text)
}

// start reads the first lines of both objects.
func (r *segmentReader) start(header string) (from, to int64, err error) {
	if len(r.rest) > MaxSegmentSize {
		return 0, 0, fmt.Errorf("it is larger than %d bytes", MaxSegmentSize)
	}
	if string(r.rest[:min(len(r.rest), len(header))]) != header {
		return 0, 0, fmt.Errorf("it does not begin with %q", header)
	}
	r.rest = r.rest[len(header):]
	if from, err = r.number("from "); err != nil {
		return 0, 0, err
	}
	if to, err = r.number("to "); err != nil {
		return 0, 0, err
	}
	if to <= from || to-from > MaxSegmentEntries {
		return 0, 0, fmt.Errorf("from %d to %d are not 1 to %d entries", from, to, MaxSegmentEntries)
	}
	return from, to, nil
}

// counted reads a line of word and a length, that many bytes, and a newline.
func (r *segmentReader) counted(word string) ([]byte, error) {
	n, err := r.number(word)
	if err != nil {
		return nil, err
	}
	if n >= int64(len(r.rest)) || r.rest[n] != '\n' {
		return nil, errors.New("it has another length")
	}
	data := r.rest[:n:n]
	r.rest = r.rest[n+1:]
	return data, nil
}

// SegmentKey is the n-th name, from 1 to MaxNames, of the segment whose first entry has
// that number. Another than the first is used where a stranger's object has that.
func SegmentKey(from int64, n int) string { return ObjectKey(segmentPrefix, from, n) }

// ParseSegmentKey reads what SegmentKey writes.
func ParseSegmentKey(key string) (from int64, n int, ok bool) {
	return ParseObjectKey(key, segmentPrefix)
}

// PayloadsKey is the n-th name, from 1 to MaxNames, of the payloads of the segment whose
// first entry has that number. Another than the first is used where that is taken: a
// process ended after its payloads were put and before their segment was.
func PayloadsKey(from int64, n int) string { return ObjectKey(payloadsPrefix, from, n) }

// ParsePayloadsKey reads what PayloadsKey writes.
func ParsePayloadsKey(key string) (from int64, n int, ok bool) {
	return ParseObjectKey(key, payloadsPrefix)
}

// MaxNames is how many names an object of a segment can have: whoever may write to the
// store would have to take as many, to stop a ledger.
const MaxNames = 999_999

// ObjectKey is the n-th name, from 1 to MaxNames, of an object with a number behind a prefix.
func ObjectKey(prefix string, number int64, n int) string {
	key := fmt.Sprintf("%s%0*d", prefix, numberDigits, number)
	if n > 1 {
		key += "-" + strconv.Itoa(n)
	}
	return key
}

// ParseObjectKey reads what ObjectKey writes.
func ParseObjectKey(key, prefix string) (number int64, n int, ok bool) {
	text, ok := strings.CutPrefix(key, prefix)
	if !ok || len(text) < numberDigits {
		return 0, 0, false
	}
	if number, err := strconv.ParseInt(text[:numberDigits], 10, 64); err == nil && number >= 0 && number <= MaxInt {
		n = 1
		if suffix, more := strings.CutPrefix(text[numberDigits:], "-"); more {
			n, _ = strconv.Atoi(suffix)
		}
		if n >= 1 && n <= MaxNames && ObjectKey(prefix, number, n) == key {
			return number, n, true
		}
	}
	return 0, 0, false
}
