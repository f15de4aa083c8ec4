package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// ErrEnvelope says that a line is not an envelope in its one spelling.
var ErrEnvelope = errors.New("malformed envelope")

// MemberError names the member of an envelope that could not be read. It is an
// ErrEnvelope.
type MemberError struct {
	Member string // as it stands in the envelope, such as "cprev"
	Reason string
}

func (e *MemberError) Error() string {
	return fmt.Sprintf("%v: member %q: %s", ErrEnvelope, e.Member, e.Reason)
}

// Unwrap returns ErrEnvelope.
func (e *MemberError) Unwrap() error { return ErrEnvelope }

// Envelope is one entry of the ledger without its payload and signature, the
// bytes that the tree is made of. It holds no personal data.
type Envelope struct {
	Case     CaseID // zero: no case
	CasePrev Hash   // leaf hash of the case's entry before; zero for its first
	CaseSeq  int64  // place in the case, from 0
	Log      Origin // the ledger this stands in
	Payload  Hash   // SHA-256 of the payload's bytes
	Prev     Hash   // leaf hash of entry Seq-1; zero for entry 0
	Seq      int64  // place in the ledger, from 0
	Sig      Hash   // SHA-256 of the armoured SSH signature's bytes
	Time     Time   // the server's clock, never less than in the entry before
	Type     Type
}

// MaxEnvelope is the length in bytes of the longest envelope.
const MaxEnvelope = 557

// AppendTo appends the envelope's bytes to dst. Only what came from this
// package's parsers, ints from 0 to MaxInt, makes an envelope that
// ParseEnvelope reads.
func (e Envelope) AppendTo(dst []byte) []byte {
	dst = append(dst, `{"case":"`...)
	dst = hex.AppendEncode(dst, e.Case[:])
	dst = append(dst, `","cprev":"`...)
	dst = hex.AppendEncode(dst, e.CasePrev[:])
	dst = append(dst, `","cseq":`...)
	dst = strconv.AppendInt(dst, e.CaseSeq, 10)
	dst = append(dst, `,"log":"`...)
	dst = append(dst, e.Log...)
	dst = append(dst, `","payload":"`...)
	dst = hex.AppendEncode(dst, e.Payload[:])
	dst = append(dst, `","prev":"`...)
	dst = hex.AppendEncode(dst, e.Prev[:])
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendInt(dst, e.Seq, 10)
	dst = append(dst, `,"sig":"`...)
	dst = hex.AppendEncode(dst, e.Sig[:])
	dst = append(dst, `","time":"`...)
	dst = e.Time.appendTo(dst)
	dst = append(dst, `","type":"`...)
	dst = append(dst, e.Type...)
	return append(dst, `","v":1}`...)
}

// Bytes returns the envelope's bytes, without a newline.
func (e Envelope) Bytes() []byte { return e.AppendTo(make([]byte, 0, MaxEnvelope)) }

// ParseEnvelope reads the bytes of one envelope, without a newline. It accepts
// only what AppendTo writes; the error is a *MemberError.
func ParseEnvelope(b []byte) (Envelope, error) { return parseEnvelope(b, "") }

// parseEnvelope takes the origin that the caller expects, so that a million
// entries share one string.
func parseEnvelope(b []byte, known Origin) (Envelope, error) {
	var e Envelope
	s := scanner{rest: b}
	s.member("case", `{"case":"`)
	s.hex(e.Case[:])
	s.member("cprev", `","cprev":"`)
	s.hex(e.CasePrev[:])
	s.member("cseq", `","cseq":`)
	e.CaseSeq = s.int()
	s.member("log", `,"log":"`)
	e.Log = s.origin(known)
	s.member("payload", `","payload":"`)
	s.hex(e.Payload[:])
	s.member("prev", `","prev":"`)
	s.hex(e.Prev[:])
	s.member("seq", `","seq":`)
	e.Seq = s.int()
	s.member("sig", `,"sig":"`)
	s.hex(e.Sig[:])
	s.member("time", `","time":"`)
	e.Time = s.time()
	s.member("type", `","type":"`)
	e.Type = s.typ()
	s.member("v", `","v":1}`)
	if len(s.rest) != 0 {
		s.fail("the object goes on after it")
	}
	if s.reason != "" {
		return Envelope{}, &MemberError{Member: s.name, Reason: s.reason}
	}
	return e, nil
}

// A scanner reads an envelope from its front. The first failure sticks, and
// everything after it reads nothing.
type scanner struct {
	rest   []byte
	name   string // of the member being read
	reason string // why it could not be
}

func (s *scanner) fail(reason string) {
	if s.reason == "" {
		s.rest, s.reason = nil, reason
	}
}

// member goes on to the next member, whose punctuation and name are text.
func (s *scanner) member(name, text string) {
	if s.reason != "" {
		return
	}
	s.name = name
	if len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		s.fail("it does not stand here as " + text)
		return
	}
	s.rest = s.rest[len(text):]
}

// hex reads a string of exactly twice as many digits as dst has bytes.
func (s *scanner) hex(dst []byte) {
	n := 2 * len(dst)
	if len(s.rest) < n || !decodeHex(dst, s.rest[:n]) {
		s.fail("not " + strconv.Itoa(n) + " lower-case hexadecimal digits")
		return
	}
	s.rest = s.rest[n:]
}

func (s *scanner) int() int64 {
	var n int64
	i := 0
	for ; i < len(s.rest) && i < 17 && s.rest[i]-'0' <= 9; i++ {
		n = 10*n + int64(s.rest[i]-'0')
	}
	if i == 0 || i > 1 && s.rest[0] == '0' || n > MaxInt {
		s.fail("not a decimal number from 0 to 2^53-1")
		return 0
	}
	s.rest = s.rest[i:]
	return n
}

// text reads up to the closing quotation mark, at most limit bytes.
func (s *scanner) text(limit int) []byte {
	for i := range min(len(s.rest), limit+1) {
		if s.rest[i] == '"' {
			text := s.rest[:i]
			s.rest = s.rest[i:]
			return text
		}
	}
	return nil
}

func (s *scanner) origin(known Origin) Origin {
	text := s.text(maxOrigin)
	switch {
	case known != "" && string(text) == string(known):
		return known
	case !validOrigin(text):
		s.fail("not an origin")
		return ""
	}
	return Origin(text)
}

func (s *scanner) time() Time {
	if len(s.rest) >= len(timeLayout) {
		if t, ok := parseTime(s.rest[:len(timeLayout)]); ok {
			s.rest = s.rest[len(timeLayout):]
			return t
		}
	}
	s.fail("not YYYY-MM-DDTHH:MM:SS.ffffffZ")
	return 0
}

func (s *scanner) typ() Type {
	t, ok := typeOf(s.text(len(Anchor)))
	if !ok {
		s.fail("not one of event, keys, anchor, erase, seal")
	}
	return t
}

// LeafHash returns the leaf hash of an entry from its envelope's bytes.
//
// SPEC: "The hash of a list with one entry (also known as a leaf hash) is:
// MTH({d(0)}) = SHA-256(0x00 || d(0))." (RFC 6962, section 2.1)
func LeafHash(envelope []byte) Hash {
	// One contiguous buffer on the stack: no copy of the hash state, no garbage.
	var buf [1 + MaxEnvelope]byte
	if len(envelope) <= MaxEnvelope {
		n := copy(buf[1:], envelope)
		return sha256.Sum256(buf[:1+n])
	}
	return sha256.Sum256(append([]byte{0}, envelope...))
}
