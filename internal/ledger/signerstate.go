package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrState says that a signer's state file cannot be relied on. Signing on could
// fork the ledger, so a person has to decide.
var ErrState = errors.New("signer state is damaged or of another key")

// The file has two slots in blocks of their own, written in turn, so that a torn
// write spoils at most the record that no signature depends on yet. A record is
//
//	 0  16  magic
//	16   8  turn, counts records from 0; slot is turn mod 2
//	24   8  size of the tree
//	32  32  root
//	64  32  SHA-256 of the verifier key's text
//	96  32  SHA-256 of bytes 0 to 95
//
// with integers big-endian.
const (
	stateMagic = "custody-signer-1"
	recordSize = 128
	slotSize   = 4096
	stateSize  = 2 * slotSize
)

type state struct {
	turn uint64
	size int64
	root Hash
	key  Hash
}

func (s state) marshal() []byte {
	b := make([]byte, 0, recordSize)
	b = append(b, stateMagic...)
	b = binary.BigEndian.AppendUint64(b, s.turn)
	b = binary.BigEndian.AppendUint64(b, uint64(s.size)) //nolint:gosec // 0 <= size <= MaxInt
	b = append(b, s.root[:]...)
	b = append(b, s.key[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func parseState(b []byte) (state, error) {
	if len(b) != recordSize || string(b[:16]) != stateMagic {
		return state{}, fmt.Errorf("%w: no record", ErrState)
	}
	if sha256.Sum256(b[:96]) != [32]byte(b[96:]) {
		return state{}, fmt.Errorf("%w: checksum", ErrState)
	}
	size := binary.BigEndian.Uint64(b[24:])
	s := state{turn: binary.BigEndian.Uint64(b[16:]), root: Hash(b[32:64]), key: Hash(b[64:96])}
	if size > MaxInt || size == 0 && s.root != emptyRoot {
		return state{}, fmt.Errorf("%w: not a tree", ErrState)
	}
	s.size = int64(size)
	return s, nil
}

// newest chooses the record to go on from. One spoilt slot is what a crash leaves:
// its signature never left, and the other slot has the last that did. A newest slot
// that the medium spoilt later looks the same and takes the signer back by one
// checkpoint; then the bucket's and the witnesses' copies are larger, and tell.
func newest(slot [2][]byte, key Hash) (state, error) {
	var found []state
	for i, b := range slot {
		s, err := parseState(b)
		if err != nil {
			continue
		}
		if s.key != key {
			return state{}, fmt.Errorf("%w: key", ErrState)
		}
		if s.turn%2 != uint64(i) {
			return state{}, fmt.Errorf("%w: record %d in slot %d", ErrState, s.turn, i)
		}
		found = append(found, s)
	}
	switch len(found) {
	case 0:
		return state{}, fmt.Errorf("%w: no valid record", ErrState)
	case 1:
		return found[0], nil
	}
	older, newer := found[0], found[1]
	if older.turn > newer.turn {
		older, newer = newer, older
	}
	if newer.turn != older.turn+1 || newer.size < older.size {
		return state{}, fmt.Errorf("%w: record %d does not follow record %d", ErrState, newer.turn, older.turn)
	}
	return newer, nil
}

// A stateFile is open and locked.
type stateFile struct {
	f    *os.File
	last state
}

// createState makes the file with both slots valid. It appears whole and durable
// or not at all, and never replaces another.
func createState(path string, first state) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	content := make([]byte, stateSize)
	copy(content, first.marshal())
	first.turn++
	copy(content[slotSize:], first.marshal())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func openState(path string, key Hash) (_ *stateFile, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := lockFile(f); err != nil {
		return nil, fmt.Errorf("lock %s: %w; is a service or a custodyd signer running with it already?", path, err)
	}
	content := make([]byte, stateSize+1)
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n != stateSize {
		return nil, fmt.Errorf("%w: not %d bytes long", ErrState, stateSize)
	}
	last, err := newest([2][]byte{content[:recordSize], content[slotSize : slotSize+recordSize]}, key)
	if err != nil {
		return nil, err
	}
	return &stateFile{f: f, last: last}, nil
}

// write makes next the newest record, durable when it returns nil.
func (s *stateFile) write(next state) error {
	next.turn = s.last.turn + 1
	offset := int64(next.turn%2) * slotSize
	if _, err := s.f.WriteAt(next.marshal(), offset); err != nil {
		return fmt.Errorf("write signer state: %w", err)
	}
	if err := syncData(s.f); err != nil {
		return fmt.Errorf("write signer state: %w", err)
	}
	s.last = next
	return nil
}

// close also gives the lock free.
func (s *stateFile) close() error { return errors.Join(unlockFile(s.f), s.f.Close()) }
