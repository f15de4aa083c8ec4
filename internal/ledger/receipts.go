package ledger

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Receipts tells the good ones among many receipts under one checkpoint. Proofs of
// neighbours go on alike after a few steps, and that is not worked out again. It is for
// one goroutine.
type Receipts struct {
	note []byte
	tree Checkpoint

	lines []byte         // of the last proof that held
	steps [maxProof]step // of it, that many as there are lines
	buf   [1024]byte     // for what a receipt has to begin with
}

// step is where a proof stands before it takes a line (RFC 9162, section 2.1.3.2).
type step struct {
	index, last int64 // of the node and of the last one, in their row of the tree
	node        tlog.Hash
}

// NewReceipts takes a checkpoint as signed note and as what it says.
func NewReceipts(note []byte, tree Checkpoint) *Receipts { return &Receipts{note: note, tree: tree} }

// Good reports whether text is the receipt of that entry, and proves it: as
// [ParseReceipt], a comparison with all that is given and [CheckInclusion] do. When it
// says no, they tell what is wrong.
func (r *Receipts) Good(text, envelope []byte, index int64, leaf Hash) bool {
	if len(envelope) == 0 || len(envelope) > MaxEnvelope || len(r.note) == 0 || index < 0 || index >= r.tree.Size || r.tree.Size > MaxInt {
		return false
	}
	head := append(r.buf[:0], receiptHeader+"extra "...)
	head = base64.StdEncoding.AppendEncode(head, envelope)
	head = strconv.AppendInt(append(head, "\nindex "...), index, 10)
	lines, begins := bytes.CutPrefix(text, head)
	lines, ends := bytes.CutSuffix(lines, r.note)
	lines, apart := bytes.CutSuffix(lines, []byte("\n\n"))
	return begins && ends && apart && len(lines)%proofLine == 0 && len(lines) <= maxProof*proofLine &&
		r.leads(lines, step{index, r.tree.Size - 1, tlog.Hash(leaf)})
}

// proofLine is the length of a line break and a hash in base64.
const proofLine = 1 + 44

// leads reports whether a proof leads from a leaf to the root.
func (r *Receipts) leads(lines []byte, at step) bool {
	var steps [maxProof]step
	ahead := (len(r.lines) - len(lines)) / proofLine // of this proof is the one before, where both end alike
	for i := 0; i*proofLine < len(lines); i++ {
		rest := lines[i*proofLine:]
		if k := i + ahead; k >= 0 && len(r.lines) > 0 && r.steps[k] == at && bytes.Equal(r.lines[k*proofLine:], rest) {
			copy(steps[i:], r.steps[k:k+len(rest)/proofLine])
			r.lines, r.steps = lines, steps
			return true
		}
		var line [33]byte // as much as one without padding would have
		n, err := strict.Decode(line[:], rest[1:proofLine])
		if rest[0] != '\n' || err != nil || n != len(tlog.Hash{}) || at.last == 0 {
			return false
		}
		steps[i] = at
		at.take(tlog.Hash(line[:n]))
	}
	if at.last != 0 || at.node != tlog.Hash(r.tree.Root) {
		return false
	}
	r.lines, r.steps = lines, steps
	return true
}

// take goes one row or more up, beside that sibling.
func (s *step) take(sibling tlog.Hash) {
	if s.index&1 == 0 && s.index != s.last {
		s.node = tlog.NodeHash(s.node, sibling)
	} else {
		s.node = tlog.NodeHash(sibling, s.node)
		for s.index&1 == 0 && s.index != 0 { // the last of its row, alone up to here
			s.index, s.last = s.index>>1, s.last>>1
		}
	}
	s.index, s.last = s.index>>1, s.last>>1
}

var strict = base64.StdEncoding.Strict()
