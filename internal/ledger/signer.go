package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"
)

var (
	// ErrRollback says that a checkpoint is smaller than one signed before: the
	// ledger has lost entries.
	ErrRollback = errors.New("smaller than the last signed checkpoint")
	// ErrInconsistent says that a checkpoint is not proven to continue the one
	// signed before: the ledger has been rewritten, or it is another one.
	ErrInconsistent = errors.New("inconsistent with the last signed checkpoint")
)

// RefusalError says why a checkpoint got no signature. It is an ErrRollback or an
// ErrInconsistent.
type RefusalError struct {
	Last Checkpoint // the last one signed
	Next Checkpoint // the one refused
	Err  error
}

func (e *RefusalError) Error() string {
	return fmt.Sprintf("sign checkpoint %d %s: %v, %d %s", e.Next.Size, e.Next.Root, e.Err, e.Last.Size, e.Last.Root)
}

// Unwrap returns Err.
func (e *RefusalError) Unwrap() error { return e.Err }

// Signer signs the checkpoints of one ledger, each proven to continue the one
// before. It keeps the last one in a file of its own: a rolled-back or rewritten
// database gets no signature, whatever its own tables say.
//
// SPEC: "A log MUST not sign any checkpoint which is inconsistent with any
// checkpoint it previously signed." (C2SP tlog-checkpoint)
//
// Methods may be called concurrently.
type Signer struct {
	signer note.Signer
	key    VerifierKey
	id     Hash // of the key, binds the state file to it

	mu     sync.Mutex
	state  *stateFile
	last   Checkpoint
	broken error // why nothing more may be signed
}

// CreateSigner starts a signer for an empty ledger with a secret key from
// GenerateKey. The state file must not exist, and there must be only one for a key.
func CreateSigner(path, skey string) (*Signer, error) {
	s, err := newSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("create signer: %w", err)
	}
	if err := createState(path, state{key: s.id, size: 0, root: emptyRoot}); err != nil {
		return nil, fmt.Errorf("create signer: %w", err)
	}
	return OpenSigner(path, skey)
}

// RestoreSigner starts a signer for a ledger that was signed before and whose state is
// lost, from the newest checkpoint that is known: one with the key's own signature. The
// state file must not exist. What the key signed after that checkpoint the signer does
// not know; others who hold it will tell.
func RestoreSigner(path, skey string, newest []byte) (*Signer, error) {
	s, err := newSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("restore signer: %w", err)
	}
	last, err := OpenCheckpoint(newest, s.key)
	if err != nil {
		return nil, fmt.Errorf("restore signer: %w", err)
	}
	if err := createState(path, state{key: s.id, size: last.Size, root: last.Root}); err != nil {
		return nil, fmt.Errorf("restore signer: %w", err)
	}
	return OpenSigner(path, skey)
}

// OpenSigner goes on with the state file that CreateSigner made for this key. No
// other process can have it open. A file that is damaged, or of another key, is an
// ErrState.
func OpenSigner(path, skey string) (*Signer, error) {
	s, err := newSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("open signer: %w", err)
	}
	f, err := openState(path, s.id)
	if err != nil {
		return nil, fmt.Errorf("open signer: %w", err)
	}
	s.state = f
	s.last = Checkpoint{Origin: s.key.Origin(), Size: f.last.size, Root: f.last.root}
	return s, nil
}

func newSigner(skey string) (*Signer, error) {
	key, err := VerifierKeyOf(skey)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	return &Signer{signer: signer, key: key, id: sha256.Sum256([]byte(key.String()))}, nil
}

// Key returns the public key that verifies what this signer signs.
func (s *Signer) Key() VerifierKey { return s.key }

// Last returns the newest checkpoint that may have been signed.
func (s *Signer) Last() Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Sign signs a checkpoint once it is proven to continue the last one and stands
// in the state file: no signature leaves before that is durable. The last one
// itself is signed again, to the same bytes, and needs no proof. The error is a
// *RefusalError, an ErrOrigin, or that of the file, after which the state on the
// disk is unknown and nothing more is signed until OpenSigner has read it.
func (s *Signer) Sign(next Checkpoint, proof []Hash) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, fmt.Errorf("sign checkpoint %d: %w", next.Size, s.broken)
	}
	if next.Origin != s.last.Origin {
		return nil, fmt.Errorf("sign checkpoint %d: %w: %s, not %s", next.Size, ErrOrigin, next.Origin, s.last.Origin)
	}
	if next != s.last {
		if err := s.advance(next, proof); err != nil {
			return nil, err
		}
	}
	signed, err := note.Sign(&note.Note{Text: string(next.Body())}, s.signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint %d: %w", next.Size, err)
	}
	return signed, nil
}

func (s *Signer) advance(next Checkpoint, proof []Hash) error {
	if next.Size < s.last.Size {
		return &RefusalError{Last: s.last, Next: next, Err: ErrRollback}
	}
	if err := CheckConsistency(proof, next.Size, next.Root, s.last.Size, s.last.Root); err != nil {
		return &RefusalError{Last: s.last, Next: next, Err: fmt.Errorf("%w: %w", ErrInconsistent, err)}
	}
	if err := s.state.write(state{key: s.id, size: next.Size, root: next.Root}); err != nil {
		// After a failed sync the kernel may call the same pages clean.
		s.broken = err
		return fmt.Errorf("sign checkpoint %d: %w", next.Size, err)
	}
	s.last = next
	return nil
}

// Close gives the state file free. Nothing can be signed after it.
func (s *Signer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = errors.New("signer is closed")
	}
	if s.state == nil {
		return nil
	}
	f := s.state
	s.state = nil
	return f.close()
}
