package ledger

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The test ledger, which testdata holds too: twelve entries of two cases and of none.
const (
	testOrigin = Origin("example.org/custody")
	// The seed is 32 bytes of 0x2a. Nothing but tests trusts it.
	testSecret = "PRIVATE+KEY+example.org/custody+f5210f44+ASoqKioqKioqKioqKioqKioqKioqKioqKioqKioqKioq"
)

var (
	noCase = CaseID{}
	caseA  = CaseID(bytes.Repeat([]byte{0xa1}, 16))
	caseB  = CaseID(bytes.Repeat([]byte{0xb2}, 16))
	start  = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
)

var testEntries = []struct {
	id  CaseID
	typ Type
}{
	{noCase, Keys},
	{caseA, Event},
	{caseA, Event},
	{caseB, Event},
	{caseA, Event},
	{noCase, Anchor},
	{caseB, Event},
	{caseA, Event},
	{caseB, Erase},
	{noCase, Keys},
	{caseA, Event},
	{caseA, Seal},
}

// A writer appends entries as a server does.
type writer struct {
	head  Head
	cases map[CaseID]CaseHead
	tree  Tree
	store memory
	lines [][]byte
}

func (w *writer) add(draft Envelope) Envelope {
	if w.cases == nil {
		w.cases = make(map[CaseID]CaseHead)
	}
	e := Next(w.head, w.cases[draft.Case], draft)
	line := e.Bytes()
	leaf := LeafHash(line)
	w.head, w.cases[e.Case] = w.head.After(e, leaf), w.cases[e.Case].After(e, leaf)
	w.store = w.tree.Append(w.store, leaf)
	w.lines = append(w.lines, line)
	return e
}

func (w *writer) checkpoint() Checkpoint {
	return Checkpoint{Origin: testOrigin, Size: w.tree.Size(), Root: w.tree.Root()}
}

func draft(n int, id CaseID, typ Type) Envelope {
	return Envelope{
		Case: id, Log: testOrigin, Type: typ,
		Payload: sha256.Sum256(fmt.Appendf(nil, "payload %d", n)),
		Sig:     sha256.Sum256(fmt.Appendf(nil, "signature %d", n)),
		Time:    TimeOf(start.Add(time.Duration(n) * 1500 * time.Millisecond)),
	}
}

func testLedger() *writer {
	w := new(writer)
	for n, e := range testEntries {
		w.add(draft(n, e.id, e.typ))
	}
	return w
}

// many returns a ledger of n entries in 100 cases and its file.
func many(n int) (*writer, []byte) {
	w := &writer{lines: make([][]byte, 0, n), store: make(memory, 0, 2*n)}
	for i := range n {
		id := CaseID{15: byte(i % 100)}
		w.add(draft(i, id, Event))
	}
	return w, file(w.lines)
}

func file(lines [][]byte) []byte {
	return append(bytes.Join(lines, []byte("\n")), '\n')
}

// memory is a store of hashes.
type memory []Hash

func (m memory) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, n := range indexes {
		if n < 0 || n >= int64(len(m)) {
			return nil, fmt.Errorf("hash %d of %d", n, len(m))
		}
		out[i] = m[n]
	}
	return out, nil
}

func testKey(t testing.TB) VerifierKey {
	t.Helper()
	k, err := VerifierKeyOf(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newTestSigner returns a signer for the test key on a new state file.
func newTestSigner(t testing.TB) (*Signer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "signer.state")
	s, err := CreateSigner(path, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

func sign(t testing.TB, w *writer) []byte {
	t.Helper()
	s, _ := newTestSigner(t)
	signed, err := s.Sign(w.checkpoint(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
