package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Segment is the distance of midstates in bytes.
const Segment = 16 << 20

// ErrMidstates means bytes that are not a whole number of midstates.
var ErrMidstates = errors.New("malformed list of midstates")

// Midstates are the chaining values of SHA-256 after the first, second, … segment of a
// stream, as far as the stream goes on (see the package comment).
type Midstates [][sha256.Size]byte

// MidstateCount is how many midstates a stream of that size has.
func MidstateCount(size int64) int64 {
	if size <= 0 {
		return 0
	}
	return (size - 1) / Segment
}

// ParseMidstates reads the file form. ErrMidstates when the length is no multiple of 32;
// whether the values are true only Verify can say.
func ParseMidstates(b []byte) (Midstates, error) {
	if len(b)%sha256.Size != 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrMidstates, len(b))
	}
	list := make(Midstates, len(b)/sha256.Size)
	for i := range list {
		copy(list[i][:], b[i*sha256.Size:])
	}
	return list, nil
}

// Bytes gives the file form.
func (m Midstates) Bytes() []byte {
	b := make([]byte, 0, len(m)*sha256.Size)
	for i := range m {
		b = append(b, m[i][:]...)
	}
	return b
}

// SHA256 is the digest of the file form, which stands in signed payloads.
func (m Midstates) SHA256() SHA256 { return sha256.Sum256(m.Bytes()) }

// The standard library's form of a SHA-256 state between two blocks. Tests hold it
// against the library, so a change there cannot pass unnoticed.
const (
	chainMagic = "sha\x03"
	chainLen   = len(chainMagic) + sha256.Size + sha256.BlockSize + 8
)

// chainingValue reads the value out of a SHA-256 that stands at a block boundary.
func chainingValue(h resumable) (value [sha256.Size]byte) {
	var room [chainLen]byte
	b, err := h.AppendBinary(room[:0])
	if err != nil || len(b) != chainLen || string(b[:len(chainMagic)]) != chainMagic {
		panic("digest: the SHA-256 of the standard library has changed its state")
	}
	copy(value[:], b[len(chainMagic):])
	return value
}

// setChain puts a SHA-256 where it stands after size bytes, a multiple of its block.
func setChain(h resumable, value [sha256.Size]byte, size int64) error {
	b := append(make([]byte, 0, chainLen), chainMagic...)
	b = append(b, value[:]...)
	b = b[:len(b)+sha256.BlockSize]
	return h.UnmarshalBinary(binary.BigEndian.AppendUint64(b, uint64(size))) //nolint:gosec // never negative
}
