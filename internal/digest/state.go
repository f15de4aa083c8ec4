package digest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrState means bytes that are not a State, or a State that holds nothing.
var ErrState = errors.New("malformed digest state")

const stateMagic = "custody digest state 1\n"

// State is a pass over a stream, stopped so that it can go on later. It comes from
// Reader.State, Hasher.State or UnmarshalBinary; the zero State is none. States can be
// compared with ==.
type State struct {
	size   int64
	hashes [len(algorithms)]string // as the standard library marshals them
}

// Size is the number of bytes hashed so far: the offset at which to go on.
func (s State) Size() int64 { return s.size }

// Algorithms returns the running algorithms, sorted by name.
func (s State) Algorithms() []Algorithm { return present(s.hashes) }

// MarshalBinary gives the form of the package comment, or ErrState for the zero State.
func (s State) MarshalBinary() ([]byte, error) {
	if s.hashes[indexSHA256] == "" {
		return nil, fmt.Errorf("%w: no sha256", ErrState)
	}
	var running byte
	var hashes []byte
	for i, h := range s.hashes {
		if h != "" {
			running |= 1 << i
			hashes = append(hashes, h...)
		}
	}
	b := append([]byte(stateMagic), running)
	b = binary.BigEndian.AppendUint64(b, uint64(s.size)) //nolint:gosec // never negative
	return append(b, hashes...), nil
}

// UnmarshalBinary accepts exactly what MarshalBinary gives, else ErrState.
func (s *State) UnmarshalBinary(b []byte) (err error) {
	*s, err = parseState(b)
	return err
}

func parseState(b []byte) (State, error) {
	const head = len(stateMagic) + 1 + 8
	if len(b) < head || string(b[:len(stateMagic)]) != stateMagic {
		return State{}, fmt.Errorf("%w: no version 1 header", ErrState)
	}
	running, size := b[len(stateMagic)], binary.BigEndian.Uint64(b[head-8:])
	if running>>len(algorithms) != 0 || running&(1<<indexSHA256) == 0 || size > math.MaxInt64 {
		return State{}, fmt.Errorf("%w: header", ErrState)
	}
	s := State{size: int64(size)}
	b = b[head:]
	for i, algorithm := range algorithms {
		if running&(1<<i) == 0 {
			continue
		}
		h := start(i)
		fresh, err := h.AppendBinary(nil)
		if err != nil {
			return State{}, fmt.Errorf("%w: %s: %w", ErrState, algorithm.name, err)
		}
		if len(b) < len(fresh) {
			return State{}, fmt.Errorf("%w: %s: cut short", ErrState, algorithm.name)
		}
		s.hashes[i], b = string(b[:len(fresh)]), b[len(fresh):]
		if _, err := s.restore(i); err != nil {
			return State{}, err
		}
	}
	if len(b) != 0 {
		return State{}, fmt.Errorf("%w: %d bytes too many", ErrState, len(b))
	}
	return s, nil
}

// restore returns algorithm i as it was. The standard library ignores what stands in
// the unused part of a block, and each hash counts its bytes on its own: both are
// checked here, so that a State has one spelling and one size.
func (s State) restore(i int) (resumable, error) {
	h, saved := start(i), s.hashes[i]
	if err := h.UnmarshalBinary([]byte(saved)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrState, algorithms[i].name, err)
	}
	again, err := h.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrState, algorithms[i].name, err)
	}
	if string(again) != saved || binary.BigEndian.Uint64(again[len(again)-8:]) != uint64(s.size) { //nolint:gosec // never negative
		return nil, fmt.Errorf("%w: %s: not as saved after %d bytes", ErrState, algorithms[i].name, s.size)
	}
	return h, nil
}
