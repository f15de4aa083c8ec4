package operator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// maxSeen is how many ledgers a machine compares at once.
const maxSeen = 1000

// Seen gives the newest checkpoint of each ledger that this machine saw: signed notes,
// by the names of the ledgers.
func (p Place) Seen() ([]verify.Note, error) {
	names, err := os.ReadDir(p.path("checkpoints"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(names) > maxSeen {
		return nil, fmt.Errorf("%s: more than %d files", p.path("checkpoints"), maxSeen)
	}
	var seen []verify.Note
	for _, name := range names {
		if !name.Type().IsRegular() || name.Name()[0] == '.' { // that of a writer who was killed
			continue
		}
		note, err := os.ReadFile(p.path("checkpoints", name.Name()))
		if err != nil {
			return nil, err
		}
		found, err := verify.ParseNotes(verify.MarshalNotes([][]byte{note}))
		if err == nil && fileName(found[0].Claimed.Origin) != name.Name() {
			err = fmt.Errorf("it is of %s", found[0].Claimed.Origin)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.path("checkpoints", name.Name()), err)
		}
		seen = append(seen, found[0])
	}
	return seen, nil
}

// A Relation is how a checkpoint that another machine saw and the one that this machine
// saw stand to each other. The words stay for ever.
type Relation string

// The relations. The second and the third are findings of the ledger.
const (
	Same          Relation = "consistent"     // one ledger, which only grew
	SplitView     Relation = "split-view"     // the ledger shows one thing here and another there: both notes, or they and a mirror, prove it
	Unproven      Relation = "unproven"       // the service could not prove that one became the other, and ought to
	NotSigned     Relation = "not-signed"     // not by the ledger's key, as it is pinned here
	UnknownLedger Relation = "unknown-ledger" // no key is pinned here
	FirstSeen     Relation = "first-seen"     // this machine had seen nothing of it, and remembers it now
	NotCompared   Relation = "not-compared"   // nobody proved that one became the other
)

// Comparison is what became of one checkpoint.
type Comparison struct {
	Origin   ledger.Origin `json:"origin"`
	Relation Relation      `json:"relation"`
	Here     int64         `json:"here"`  // entries under the newest checkpoint that was seen here
	There    int64         `json:"there"` // and there, as the note says
	Detail   string        `json:"detail,omitempty"`
	Kept     string        `json:"kept,omitempty"` // of a split view, and of what is unproven: the file of both notes
	Err      error         `json:"-"`              // why it could not be compared
}

// ErrUnproven says that a service does not prove what its key has signed.
var ErrUnproven = errors.New("the service does not prove that one became the other, and ought to be able to")

// notProven tells what it means that a service gave no proof: where it refuses one that
// needs nobody's permission it is an ErrUnproven. A service that fails is to be asked again.
func notProven(err error) error {
	refused, ok := errors.AsType[*api.Problem](err)
	switch {
	case !ok, Retryable(err):
		return err
	case refused.Code.Status() == http.StatusInternalServerError:
		return fmt.Errorf("%w: %w", api.CodeUnavailable, err)
	case refused.Code.Status() > http.StatusInternalServerError:
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnproven, err)
}

// Prove gives the proof that a ledger of the checkpoint from became that of the checkpoint
// to, from anybody: it is checked. Where none that holds proves that the two contradict
// each other, the error is an ErrUnproven instead.
type Prove func(ctx context.Context, from, to ledger.Checkpoint) ([]ledger.Hash, error)

// Compare holds a checkpoint that another machine saw against the newest that this
// machine saw of the same ledger, and remembers it where it is the newer of two
// consistent ones. The error says that this machine's own files cannot be used.
func (p Place) Compare(ctx context.Context, note verify.Note, prove Prove) (Comparison, error) {
	c := Comparison{Origin: note.Claimed.Origin, There: note.Claimed.Size}
	policy, err := p.Policy(c.Origin)
	if errors.Is(err, fs.ErrNotExist) {
		c.Relation = UnknownLedger
		return c, nil
	}
	if err != nil {
		return Comparison{}, err
	}
	theirs, err := ledger.OpenCheckpoint(note.Signed, policy.Key)
	if err != nil {
		c.Relation, c.Detail = NotSigned, err.Error()
		return c, nil
	}
	o := Operator{Config: Config{Place: p}, Binding: Binding{Origin: c.Origin, VerifierKey: policy.Key}}
	seen, ours, err := o.remembered()
	if err != nil {
		return Comparison{}, err
	}
	if seen == nil {
		c.Relation = FirstSeen
		return c, p.write(note.Signed, "checkpoints", fileName(c.Origin))
	}
	c.Here = ours.Size
	older, newer, from, to := seen, note.Signed, ours, theirs
	if to.Size < from.Size {
		older, newer, from, to = note.Signed, seen, theirs, ours
	}
	var proof []ledger.Hash
	if from.Size != to.Size {
		proof, err = prove(ctx, from, to)
	}
	if err != nil && !errors.Is(err, ErrUnproven) {
		c.Relation, c.Detail, c.Err = NotCompared, err.Error(), err
		return c, ctx.Err()
	}
	c.Relation = Unproven
	if err == nil {
		c.Relation = SplitView
		_, _, err = verify.Consistent(older, newer, proof, policy.Key)
	}
	if err != nil {
		c.Detail = err.Error()
		c.Kept, err = p.keepBoth(c.Origin, seen, note.Signed, theirs.Size)
		return c, err
	}
	c.Relation = Same
	if theirs.Size > ours.Size {
		return c, p.write(note.Signed, "checkpoints", fileName(c.Origin))
	}
	return c, nil
}

// keepBoth keeps two notes that nobody proved to be of one ledger, ours first, in a file
// that Compare on any other machine reads.
func (p Place) keepBoth(origin ledger.Origin, ours, theirs []byte, size int64) (string, error) {
	text := verify.MarshalNotes([][]byte{ours, theirs})
	sum := sha256.Sum256(text)
	name := fmt.Sprintf("%s-%d-%x.notes", fileName(origin), size, sum[:4])
	if err := p.write(text, "forks", name); err != nil {
		return "", err
	}
	return p.path("forks", name), nil
}

// ProofOf makes a service's answers a Prove. A service that shows a smaller ledger than
// one that its key has signed, refuses the proof, or gives one that does not hold is an
// ErrUnproven: it may show another ledger, and its answer alone proves nothing against it.
func ProofOf(service interface {
	Checkpoint(ctx context.Context) ([]byte, error)
	Consistency(ctx context.Context, from, to int64) ([]ledger.Hash, error)
}, key ledger.VerifierKey,
) Prove {
	return func(ctx context.Context, from, to ledger.Checkpoint) ([]ledger.Hash, error) {
		note, err := service.Checkpoint(ctx)
		if err != nil {
			return nil, err
		}
		now, err := ledger.OpenCheckpoint(note, key)
		if err != nil {
			return nil, err
		}
		if now.Size < to.Size {
			return nil, fmt.Errorf("%w: it shows %d entries, and its key has signed %d", ErrUnproven, now.Size, to.Size)
		}
		proof, err := service.Consistency(ctx, from.Size, to.Size)
		if err != nil {
			return nil, notProven(err)
		}
		if err := ledger.CheckConsistency(proof, to.Size, to.Root, from.Size, from.Root); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnproven, err)
		}
		return proof, nil
	}
}
