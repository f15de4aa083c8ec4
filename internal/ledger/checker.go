package ledger

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with an entry's place. A line that is no envelope at all is
// an ErrEnvelope.
var (
	// ErrOrigin says that something belongs to another ledger.
	ErrOrigin = errors.New("belongs to another ledger")
	// ErrCase says that an entry belongs to a case that was not asked for.
	ErrCase = errors.New("belongs to another case")
	// ErrSequence says that an entry is not the one that comes next. It is always
	// either ErrMissing or ErrRepeated.
	ErrSequence = errors.New("out of sequence")
	// ErrMissing says that entries before this one are not there.
	ErrMissing = fmt.Errorf("%w: entries are missing", ErrSequence)
	// ErrRepeated says that the place of this entry has passed: it is there twice,
	// stands too late, or another was put in its place.
	ErrRepeated = fmt.Errorf("%w: the place has passed", ErrSequence)
	// ErrPrev says that the entry before is not the one this was chained to.
	ErrPrev = errors.New("does not follow the entry before it")
	// ErrCaseSequence says that an entry is not the next one of its case.
	ErrCaseSequence = errors.New("out of sequence in its case")
	// ErrCasePrev says that the case's entry before is not the one this was
	// chained to.
	ErrCasePrev = errors.New("does not follow the entry before it in its case")
	// ErrTimeBackwards says that an entry is older than the one before it.
	ErrTimeBackwards = errors.New("time goes backwards")
)

// EntryError lists all that is wrong with one entry's envelope and place.
type EntryError struct {
	Line   int64 // place in the input, from 1
	Seq    int64 // as the entry has it, -1 when that could not be read
	Faults []error
}

func (e *EntryError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, fault := range e.Faults {
		texts[i] = fault.Error()
	}
	if e.Seq < 0 {
		return fmt.Sprintf("line %d: %s", e.Line, strings.Join(texts, "; "))
	}
	return fmt.Sprintf("line %d, entry %d: %s", e.Line, e.Seq, strings.Join(texts, "; "))
}

// Unwrap returns the faults, so that errors.Is finds each.
func (e *EntryError) Unwrap() []error { return e.Faults }

// Checker follows a whole ledger from entry 0: both chains and the tree. What it
// finds wrong it returns, and then it goes on as the package comment says.
//
// Root and Size cover every line that was added, as it stood, right or wrong: they
// agree with a signed checkpoint only if the lines are exactly the ledger's. That
// comparison is the caller's, and it alone shows newest entries that were dropped.
type Checker struct {
	chain  chain
	tree   Tree
	stored []Hash // reused
}

// NewChecker returns a checker for the ledger of this origin. With an empty
// origin the first entry names the ledger, and the caller compares Origin.
func NewChecker(origin Origin) *Checker {
	return &Checker{chain: chain{origin: origin, unbroken: true, cases: make(map[CaseID]CaseHead)}}
}

// Add checks the next entry from its envelope's bytes, without a newline. The
// error is an *EntryError.
func (c *Checker) Add(envelope []byte) error {
	e, err := parseEnvelope(envelope, c.chain.origin)
	return c.add(&e, LeafHash(envelope), err)
}

// AddParsed is Add for an entry that has been parsed and hashed.
func (c *Checker) AddParsed(e Envelope, leaf Hash) error { return c.add(&e, leaf, nil) }

func (c *Checker) add(e *Envelope, leaf Hash, parseErr error) error {
	c.stored = c.tree.Append(c.stored[:0], leaf)
	return c.chain.add(e, leaf, parseErr)
}

// Origin returns the ledger's name.
func (c *Checker) Origin() Origin { return c.chain.origin }

// Size returns how many entries were added.
func (c *Checker) Size() int64 { return c.tree.Size() }

// Root returns the root of the tree over all that was added.
func (c *Checker) Root() Hash { return c.tree.Root() }

// Head returns the end of the ledger. It means nothing after an error.
func (c *Checker) Head() Head { return c.chain.head }

// CaseHead returns the end of the chain of one case.
func (c *Checker) CaseHead(id CaseID) CaseHead { return c.chain.cases[id] }

// CaseChecker follows the complete entries of some cases out of a ledger, in the
// ledger's order: each case's chain from its first entry, numbers that only rise,
// and the ledger's chain wherever two neighbours are both there. That the entries
// stand in the ledger is for their inclusion proofs to show.
type CaseChecker struct {
	chain chain
}

// NewCaseChecker returns a checker for entries of these cases of a ledger. With
// an empty origin the first entry names the ledger.
func NewCaseChecker(origin Origin, cases ...CaseID) *CaseChecker {
	heads := make(map[CaseID]CaseHead, len(cases))
	for _, id := range cases {
		heads[id] = CaseHead{}
	}
	return &CaseChecker{chain: chain{origin: origin, unbroken: true, sparse: true, cases: heads}}
}

// Add checks the next entry from its envelope's bytes, without a newline. The
// error is an *EntryError.
func (c *CaseChecker) Add(envelope []byte) error {
	e, err := parseEnvelope(envelope, c.chain.origin)
	return c.chain.add(&e, LeafHash(envelope), err)
}

// AddParsed is Add for an entry that has been parsed and hashed.
func (c *CaseChecker) AddParsed(e Envelope, leaf Hash) error { return c.chain.add(&e, leaf, nil) }

// Origin returns the ledger's name.
func (c *CaseChecker) Origin() Origin { return c.chain.origin }

// CaseHead returns the end of the chain of one case.
func (c *CaseChecker) CaseHead(id CaseID) CaseHead { return c.chain.cases[id] }

// A chain knows what the next entry has to look like.
type chain struct {
	origin   Origin
	sparse   bool // entries of other cases were left out
	line     int64
	head     Head
	unbroken bool // head.Last is that of the entry before head.Size
	cases    map[CaseID]CaseHead
}

func (c *chain) add(e *Envelope, leaf Hash, parseErr error) error {
	c.line++
	if parseErr != nil {
		// It is taken to stand where the next entry should. What follows was
		// chained to the original, which this no longer is.
		c.head.Size, c.unbroken = c.head.Size+1, false
		return &EntryError{Line: c.line, Seq: -1, Faults: []error{parseErr}}
	}
	if faults := c.place(e, leaf); len(faults) > 0 {
		return &EntryError{Line: c.line, Seq: e.Seq, Faults: faults}
	}
	return nil
}

// place checks an entry against the head and that of its case, and makes it both.
func (c *chain) place(e *Envelope, leaf Hash) (faults []error) {
	if c.origin == "" {
		c.origin = e.Log
	}
	due, unbroken := c.head, c.unbroken
	caseDue, asked := c.cases[e.Case]
	c.head, c.unbroken = due.After(*e, leaf), true
	if e.Log != c.origin {
		faults = append(faults, fmt.Errorf("%w: %s, not %s", ErrOrigin, e.Log, c.origin))
	}
	if c.sparse && !asked {
		return append(faults, fmt.Errorf("%w: %s", ErrCase, e.Case))
	}
	c.cases[e.Case] = caseDue.After(*e, leaf)
	if e.Seq < due.Size {
		// It is not where it belongs, so neither clock nor case can be.
		return append(faults, fmt.Errorf("%w: next is %d", ErrRepeated, due.Size))
	}

	switch {
	case e.Seq > due.Size && !c.sparse:
		faults = append(faults, fmt.Errorf("%w: %d to %d", ErrMissing, due.Size, e.Seq-1))
	case e.Seq == due.Size && unbroken && e.Prev != due.Last,
		e.Seq > 0 && e.Prev.IsZero():
		faults = append(faults, ErrPrev)
	}
	if e.Time < due.Time {
		faults = append(faults, fmt.Errorf("%w: %s after %s", ErrTimeBackwards, e.Time, due.Time))
	}
	switch {
	case e.CaseSeq != caseDue.Size:
		faults = append(faults, fmt.Errorf("%w: %d, next is %d", ErrCaseSequence, e.CaseSeq, caseDue.Size))
	case e.CasePrev != caseDue.Last:
		faults = append(faults, ErrCasePrev)
	}
	return faults
}
