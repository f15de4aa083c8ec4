// Package bundletest makes small ledgers with real keys for tests, and bundles of them:
// by default ones that keep the law of custody, on demand ones that break it.
package bundletest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Origin is the name of every ledger made here.
const Origin ledger.Origin = "lab.example/custody"

// Ledger is a ledger in memory. Its methods fail the test instead of returning errors.
type Ledger struct {
	tb      testing.TB
	dir     string
	signer  *ledger.Signer
	keys    map[identity.Principal]*identity.KeyFile
	state   *evidence.Memory
	head    ledger.Head
	heads   map[ledger.CaseID]ledger.CaseHead
	tree    ledger.Tree
	hashes  []ledger.Hash
	entries []stored
	now     time.Time
}

type stored struct {
	envelope           ledger.Envelope
	payload, signature []byte
	erased             bool // payload is what stays of it
}

// NewLedger starts a ledger with the service enrolled.
func NewLedger(tb testing.TB) *Ledger {
	tb.Helper()
	l := &Ledger{
		tb: tb, dir: tb.TempDir(), keys: map[identity.Principal]*identity.KeyFile{}, state: evidence.NewMemory(),
		heads: map[ledger.CaseID]ledger.CaseHead{}, now: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
	}
	skey, _, err := ledger.GenerateKey(rand.Reader, Origin)
	l.must(err)
	l.signer, err = ledger.CreateSigner(filepath.Join(l.dir, "signer"), skey)
	l.must(err)
	tb.Cleanup(func() { l.must(l.signer.Close()) })
	l.Enrol(identity.Service, identity.Service, identity.RoleService)
	return l
}

func (l *Ledger) must(err error) {
	l.tb.Helper()
	if err != nil {
		l.tb.Fatal(err)
	}
}

// Key gives the ledger's key.
func (l *Ledger) Key() ledger.VerifierKey { return l.signer.Key() }

// Head gives the end of the chain of a case.
func (l *Ledger) Head(c evidence.CaseID) ledger.CaseHead { return l.heads[ledger.CaseID(c)] }

// Size gives the number of entries.
func (l *Ledger) Size() int64 { return l.head.Size }

// Now gives the ledger's clock, a second later each time.
func (l *Ledger) Now() time.Time {
	l.now = l.now.Add(time.Second)
	return l.now
}

// NewKey makes a key for a principal, without enrolling it.
func (l *Ledger) NewKey(p identity.Principal) identity.PublicKey {
	l.tb.Helper()
	path := filepath.Join(l.dir, string(p))
	_, err := identity.GenerateKeyFile(path, string(p), rand.Reader)
	l.must(err)
	l.keys[p], err = identity.LoadKeyFile(path, nil)
	l.must(err)
	return l.keys[p].PublicKey()
}

// Enrol makes a person with a new key known.
func (l *Ledger) Enrol(by, p identity.Principal, roles ...identity.Role) {
	l.tb.Helper()
	list, err := identity.NewRoles(roles...)
	l.must(err)
	l.Record(l.Event(evidence.CaseID{}, by, evidence.PersonEnrolled{Principal: p, Name: "Name of " + string(p), Roles: list, Key: l.NewKey(p)}))
}

// Event makes an event of an actor who has seen the newest entry of the case. What the
// service does it does for examiner1.
func (l *Ledger) Event(c evidence.CaseID, actor identity.Principal, body evidence.Body) evidence.Event {
	l.tb.Helper()
	id, err := uuid.NewV7()
	l.must(err)
	e := evidence.Event{
		Actor: actor, At: evidence.TimeOf(l.Now()), Body: body, Case: c, ID: id, Log: string(Origin),
		Seen: digest.SHA256(l.Head(c).Last), Tool: "bundletest 1",
	}
	e.Salt = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(l.Size()+1))) //nolint:gosec // never negative
	if actor == identity.Service && !c.IsZero() {
		e.OnBehalfOf = &evidence.OnBehalfOf{Principal: "examiner1", Method: "session"}
	}
	return e
}

// Record appends an event that the law allows.
func (l *Ledger) Record(e evidence.Event) {
	l.tb.Helper()
	changes, err := evidence.Apply(l.state, e, evidence.Position{CaseSeq: l.Head(e.Case).Size, Time: evidence.TimeOf(l.now)})
	l.must(err)
	l.Append(e)
	l.state.Save(changes)
}

// Append appends an event without asking the law.
func (l *Ledger) Append(e evidence.Event) {
	l.tb.Helper()
	payload, err := e.Encode()
	l.must(err)
	l.AppendRaw(e.Case, evidence.EntryTypeOf(e), payload, l.Sign(e.Actor, payload))
}

// Erase takes the payload of an entry away, on somebody's decision.
func (l *Ledger) Erase(by identity.Principal, seq int64) {
	l.tb.Helper()
	e := &l.entries[seq]
	event, err := evidence.Parse(e.payload)
	l.must(err)
	left, err := evidence.Residue(event)
	l.must(err)
	residue, err := left.Encode()
	l.must(err)
	l.Record(l.Event(event.Case, by, evidence.PayloadErased{
		Entry: seq, Leaf: digest.SHA256(ledger.LeafHash(e.envelope.Bytes())), Authority: "Court, order 7", Reason: "names a minor", Residue: residue,
	}))
	e = &l.entries[seq]
	e.payload, e.erased = residue, true
}

// Sign signs a payload with a principal's key.
func (l *Ledger) Sign(p identity.Principal, payload []byte) []byte {
	l.tb.Helper()
	signature, err := l.keys[p].Sign(context.Background(), identity.NamespaceEvent, payload)
	l.must(err)
	return signature
}

// AppendRaw appends an entry without asking anybody.
func (l *Ledger) AppendRaw(c evidence.CaseID, t evidence.EntryType, payload, signature []byte) {
	l.tb.Helper()
	e := ledger.Next(l.head, l.Head(c), ledger.Envelope{
		Case: ledger.CaseID(c), Log: Origin, Payload: sha256.Sum256(payload), Sig: sha256.Sum256(signature),
		Time: ledger.TimeOf(l.now), Type: ledger.Type(t),
	})
	leaf := ledger.LeafHash(e.Bytes())
	l.hashes = l.tree.Append(l.hashes, leaf)
	l.head = l.head.After(e, leaf)
	l.heads[e.Case] = l.Head(c).After(e, leaf)
	l.entries = append(l.entries, stored{e, payload, signature, false})
	l.state.Record(c, digest.SHA256(leaf), e.CaseSeq)
}

// ReadHashes implements ledger.HashReader.
func (l *Ledger) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	hashes := make([]ledger.Hash, len(indexes))
	for i, at := range indexes {
		hashes[i] = l.hashes[at]
	}
	return hashes, nil
}

// Checkpoint signs the ledger as it stands.
func (l *Ledger) Checkpoint() []byte {
	l.tb.Helper()
	proof, err := ledger.ProveConsistency(l.Size(), l.signer.Last().Size, l)
	l.must(err)
	signed, err := l.signer.Sign(ledger.Checkpoint{Origin: Origin, Size: l.Size(), Root: l.tree.Root()}, proof)
	l.must(err)
	return signed
}

// Source gives a bundle's source of a case, as the ledger stands.
func (l *Ledger) Source(c evidence.CaseID, ref evidence.Name, objects []bundle.Object) bundle.Source {
	l.tb.Helper()
	checkpoint := l.Checkpoint()
	return bundle.Source{
		Reference: ref, Created: l.now, Checkpoint: checkpoint, Key: l.Key(), Objects: objects,
		Entries: l.of(c, checkpoint),
	}
}

func (l *Ledger) of(c evidence.CaseID, checkpoint []byte) iter.Seq2[bundle.Entry, error] {
	size := l.Size()
	return func(yield func(bundle.Entry, error) bool) {
		for i, s := range l.entries[:size] {
			if !s.envelope.Case.IsZero() && s.envelope.Case != ledger.CaseID(c) {
				continue
			}
			proof, err := ledger.ProveInclusion(size, int64(i), l)
			l.must(err)
			receipt := ledger.Receipt{Index: int64(i), Envelope: s.envelope.Bytes(), Proof: proof, Checkpoint: checkpoint}
			if !yield(bundle.Entry{Envelope: receipt.Envelope, Payload: s.payload, Signature: s.signature, Receipt: receipt.Marshal(), Erased: s.erased}, nil) {
				return
			}
		}
	}
}
