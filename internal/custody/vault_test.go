package custody_test

import (
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

func collect[N any](seq iter.Seq2[N, error], nouns *[]N) error {
	for noun, err := range seq {
		if err != nil {
			return err
		}
		*nouns = append(*nouns, noun)
	}
	return nil
}

// audit checks the whole vault of an open lab: the ledger against its own form,
// the law, the projections, the checkpoints and the object store, and everything
// that was ever acknowledged against the ledger.
func (l *lab) audit() {
	l.t.Helper()
	var entries []database.Entry
	var projected evidence.Changes
	var kept []byte
	must(l.t, l.db.View(l.ctx(), func(tx *database.Tx) (err error) {
		if entries, err = tx.Entries(0, 1<<30); err != nil {
			return err
		}
		if _, kept, err = tx.LastCheckpoint(); err != nil {
			return err
		}
		r := tx.Rows()
		return errors.Join(
			collect(r.People, &projected.People), collect(r.Cases, &projected.Cases), collect(r.Exhibits, &projected.Exhibits),
			collect(r.Intakes, &projected.Intakes), collect(r.Copies, &projected.Copies), collect(r.Findings, &projected.Findings),
			collect(r.Erasures, &projected.Erasures),
		)
	}))
	state, checker := fold(l.t, entries)
	if diff := cmp.Diff(rows(l.t, state.All()), rows(l.t, projected)); diff != "" {
		l.t.Errorf("projections are not what the entries say (-entries +rows):\n%s", diff)
	}
	// What the service does in the background stands in the database before it is signed.
	soon(l.t, "not everything is signed", func() bool { return l.Stats().Entries >= int64(len(entries)) })
	signed, err := l.Checkpoint(l.ctx())
	must(l.t, err)
	checkpoint, err := ledger.OpenCheckpoint(signed, l.signer.Key())
	must(l.t, err)
	if checkpoint.Size != checker.Size() || checkpoint.Root != checker.Root() || l.signer.Last() != checkpoint {
		l.t.Errorf("the checkpoint is of %d entries with root %s, there are %d with root %s",
			checkpoint.Size, checkpoint.Root, checker.Size(), checker.Root())
	}
	before, err := ledger.OpenCheckpoint(kept, l.signer.Key())
	must(l.t, err)
	l.continues(before, checkpoint)
	l.auditObjects(state)
	l.auditReceipts(entries, checkpoint)

	report, err := custody.Audit(l.ctx(), custody.AuditConfig{
		Database: l.db, Objects: l.store.Directory, Key: l.signer.Key(), Signed: l.signer.Last(), Workers: 1,
	})
	must(l.t, err)
	for _, f := range report.Findings {
		l.t.Errorf("audit: %s", f)
	}
}

// nothingLeft demands that the store holds no upload that nobody goes on with.
func (l *lab) nothingLeft() {
	l.t.Helper()
	if n := l.partials(); n != 0 {
		l.t.Errorf("%d uploads were left in the store", n)
	}
}

// fold replays all entries: form, chains, signatures and law.
func fold(t testing.TB, entries []database.Entry) (*evidence.Memory, *ledger.Checker) {
	t.Helper()
	state, checker := evidence.NewMemory(), ledger.NewChecker(origin)
	ids := map[uuid.UUID]bool{}
	for _, e := range entries {
		envelope, err := e.Check()
		must(t, err)
		must(t, checker.Add(e.Envelope))
		event, err := evidence.Parse(e.Payload)
		must(t, err)
		if event.ID != e.EventID || ids[event.ID] || event.Log != origin || event.Case != evidence.CaseID(e.Case) ||
			envelope.Type != ledger.Type(evidence.EntryTypeOf(event)) {
			t.Errorf("entry %d is not the one of its payload", e.Seq)
		}
		ids[event.ID] = true
		key := keyOf(t, state, event)
		if err := identity.Verify(key, identity.NamespaceEvent, e.Payload, e.Signature); err != nil && !e.Erased {
			t.Errorf("entry %d: %v", e.Seq, err)
		}
		changes, err := evidence.Apply(state, event, evidence.Position{CaseSeq: e.CaseSeq, Time: evidence.TimeOf(envelope.Time.Std())})
		if err != nil {
			t.Errorf("entry %d: %s: %v", e.Seq, event.Kind(), err)
		}
		state.Record(event.Case, digest.SHA256(e.Leaf), e.CaseSeq)
		state.Save(changes)
	}
	return state, checker
}

// keyOf gives the key that has to have signed an event.
func keyOf(t testing.TB, state *evidence.Memory, e evidence.Event) identity.PublicKey {
	t.Helper()
	if first, ok := e.Body.(evidence.PersonEnrolled); ok && first.Principal == identity.Service {
		return first.Key
	}
	p, err := state.Person(e.Actor)
	must(t, err)
	return p.Key
}

// rows gives nouns in a form and order that can be compared.
func rows(t testing.TB, ch evidence.Changes) []string {
	t.Helper()
	var list []string
	add := func(kind string, noun any) {
		doc, err := json.Marshal(noun)
		must(t, err)
		list = append(list, kind+" "+string(doc))
	}
	for _, n := range ch.People {
		add("person", n)
	}
	for _, n := range ch.Cases {
		add("case", n)
	}
	for _, n := range ch.Exhibits {
		add("exhibit", n)
	}
	for _, n := range ch.Intakes {
		add("intake", n)
	}
	for _, n := range ch.Copies {
		add("copy", n)
	}
	for _, n := range ch.Findings {
		add("finding", n)
	}
	slices.Sort(list)
	return list
}

// auditObjects checks that every object is explained by an intake, and every
// object that an entry names is there as it was named.
func (l *lab) auditObjects(state *evidence.Memory) {
	l.t.Helper()
	for o, err := range l.store.Directory.List(l.ctx(), "") {
		must(l.t, err)
		if strings.HasPrefix(o.Key, "ledger-") || strings.HasPrefix(o.Key, "payload-") || strings.HasPrefix(o.Key, "anchor-") {
			continue // the audit judges these
		}
		if len(o.Key) < 37 {
			l.t.Errorf("object %s: not the key of an intake", o.Key)
			continue
		}
		id, err := uuid.Parse(o.Key[:36])
		must(l.t, err)
		i, err := state.Intake(id)
		if errors.Is(err, evidence.ErrNotFound) {
			l.t.Errorf("object %s: nobody declared it", o.Key)
			continue
		}
		must(l.t, err)
		c, err := state.Case(i.Case)
		must(l.t, err)
		if !strings.Contains(" content midstates files log ", " "+o.Key[37:]+" ") || o.Lock == "none" ||
			o.RetainUntil.Before(i.DeclaredAt.Time().AddDate(0, 0, c.RetainDays)) {
			l.t.Errorf("object %s is not one of an intake: %+v", o.Key, o)
		}
	}
	for _, c := range state.All().Copies {
		for _, o := range c.Objects {
			there, err := l.store.Directory.Stat(l.ctx(), o.Key, o.Version)
			if err != nil || there.Size != o.Size || string(there.Lock) != o.Lock || !there.RetainUntil.Equal(o.RetainUntil.Time()) {
				l.t.Errorf("copy %s: %s object is %+v, %v", c.CopyID, o.Role, there, err)
			}
		}
	}
}

// auditReceipts checks that what was acknowledged stands where its receipt says,
// under a checkpoint that the newest one continues.
func (l *lab) auditReceipts(entries []database.Entry, newest ledger.Checkpoint) {
	l.t.Helper()
	l.mu.Lock()
	acked := slices.Clone(l.acked)
	l.mu.Unlock()
	proven := map[int64]bool{}
	for _, r := range acked {
		receipt, err := ledger.ParseReceipt(r.Receipt)
		must(l.t, err)
		envelope, old, err := receipt.Verify(l.signer.Key())
		must(l.t, err)
		if envelope.Seq >= int64(len(entries)) || string(entries[envelope.Seq].Envelope) != string(receipt.Envelope) {
			l.t.Errorf("entry %d was acknowledged and is not there", envelope.Seq)
			continue
		}
		if proven[old.Size] {
			continue
		}
		proven[old.Size] = true
		l.continues(old, newest)
	}
}

// continues checks that the newest checkpoint continues an older one.
func (l *lab) continues(old, newest ledger.Checkpoint) {
	l.t.Helper()
	proof, err := l.Consistency(l.ctx(), old.Size, newest.Size)
	must(l.t, err)
	if err := ledger.CheckConsistency(proof, newest.Size, newest.Root, old.Size, old.Root); err != nil {
		l.t.Errorf("checkpoint over %d entries: %v", old.Size, err)
	}
}

// uploads counts the uploads that the service remembers.
func (l *lab) uploads() int {
	l.t.Helper()
	n := 0
	must(l.t, l.db.View(l.ctx(), func(tx *database.Tx) error {
		all, err := tx.Uploads()
		n = len(all)
		return err
	}))
	return n
}
