package custody_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
	"github.com/custodyd/custodyd/internal/witness"
)

// published waits until everything that is signed lies in the store.
func (l *lab) published() {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); l.Stats().Unpublished > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("not published: %+v; log:\n%s", l.Stats(), l.logged)
		}
	}
}

// segmentKeys gives the ledger's objects in the store.
func (l *lab) segmentKeys() (keys []string) {
	l.t.Helper()
	for _, prefix := range []string{"ledger-", "payload-"} {
		for o, err := range l.store.Directory.List(l.ctx(), prefix) {
			must(l.t, err)
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// TestPublished: what is signed is in the store, locked, without anybody asking.
func TestPublished(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.published()
	stats := l.Stats()
	if stats.Published != stats.Entries || stats.OldestWaits != 0 || stats.PublishFailures != 0 || stats.MaxUnpublished != 10_000 {
		t.Errorf("stats %+v", stats)
	}
	var next int64
	for o, err := range l.store.Directory.List(t.Context(), "ledger-") {
		must(t, err)
		data, err := os.ReadFile(l.path("objects", "objects", o.Key))
		must(t, err)
		segment, err := ledger.ParseSegment(data)
		must(t, err)
		_, err = segment.Verify(l.signer.Key())
		must(t, err)
		if segment.From != next || o.Lock != "directory" || o.RetainUntil.Before(l.clock.Now().AddDate(9, 0, 0)) {
			t.Errorf("segment from %d, want %d: %+v", segment.From, next, o)
		}
		next = segment.To()
	}
	if next != stats.Entries {
		t.Errorf("%d of %d entries are in the store", next, stats.Entries)
	}
	l.down() // and that is noted at the end
	must(t, l.open(l.files()))
	must(t, l.db.View(t.Context(), func(tx *database.Tx) error {
		size, err := tx.PublishedSize()
		if size < next {
			t.Errorf("%d of %d entries are noted to be in the store", size, next)
		}
		return err
	}))
	l.audit()
}

// TestUnpublished: a store that takes nothing bounds what would be lost, and all goes on
// by itself when it takes it again. What was recorded before is answered.
func TestUnpublished(t *testing.T) {
	l := emptyLab(t)
	cfg := l.files()
	cfg.MaxUnpublished = custody.MinUnpublished - 1
	_, err := custody.Open(t.Context(), cfg)
	if err == nil {
		t.Fatal("opened with a bound that is less than a batch")
	}
	cfg.MaxUnpublished = custody.MinUnpublished
	must(t, l.open(cfg))
	t.Cleanup(l.down)
	l.enrolAll()
	l.openCase()
	l.published()
	l.store.setLedger(true)
	l.store.setFail(func(p point) bool { return p.Method == "Put" })
	var taken int
	var first []byte
	var signature []byte
	for ; ; taken++ {
		payload, signed := l.sign(l.event("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("X-%d", taken)))))
		if taken == 0 {
			first, signature = payload, signed
		}
		if _, err = l.Record(t.Context(), l.people["custodian1"], payload, signed); err != nil {
			break
		}
		if taken > 2*custody.MinUnpublished {
			t.Fatal("there is no bound")
		}
	}
	wantErr(t, err, custody.ErrUnavailable)
	wantErr(t, err, custody.ErrUnpublished)
	if stats := l.Stats(); taken != custody.MinUnpublished || stats.Unpublished != custody.MinUnpublished || !strings.Contains(err.Error(), "object store") {
		t.Errorf("%d were taken, %+v, %v", taken, stats, err)
	}
	again, err := l.Record(t.Context(), l.people["custodian1"], first, signature)
	must(t, err)
	if !again.Again {
		t.Error("it was recorded twice")
	}
	if l.Alarm() != nil || l.Cause() != nil {
		t.Errorf("alarm %v, cause %v", l.Alarm(), l.Cause())
	}
	l.store.setFail(nil)
	l.published()
	l.eventually("the log says that it goes on", func() bool { return strings.Contains(l.logged.String(), "takes the ledger again") })
	if l.Stats().PublishFailures == 0 {
		t.Error("no failure was counted")
	}
	l.record("custodian1", theCase, exhibit("E-002"))
	l.store.setLedger(false)
	l.audit()
}

// TestStoreAhead: a database that was put back, and the signer with it, is refused by
// what the store holds; so is one that went on from there under the ledger's own key.
func TestStoreAhead(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	old := clone(t, l.dir)
	must(t, l.open(l.files()))
	l.record("custodian1", theCase, exhibit("E-002"))
	l.record("custodian1", theCase, exhibit("E-003"))
	size := l.Stats().Entries
	l.down()

	put := func(victim *lab, from string) {
		for _, name := range []string{"ledger.db", "signer"} {
			bring(t, from, victim.dir, name)
		}
	}
	conflict := func(err error) *custody.ConflictError {
		t.Helper()
		wantErr(t, err, custody.ErrRollback)
		var c *custody.ConflictError
		if !errors.As(err, &c) {
			t.Fatalf("no conflict: %v", err)
		}
		for _, note := range [][]byte{c.Ours, c.Theirs} {
			if _, err := ledger.OpenCheckpoint(note, meta2key(t, l)); err != nil {
				t.Errorf("note %q: %v", note, err)
			}
		}
		return c
	}
	t.Run("rolled back", func(t *testing.T) {
		victim := labAt(t, clone(t, l.dir))
		put(victim, old)
		err := victim.open(victim.files())
		c := conflict(err)
		theirs, err2 := ledger.OpenCheckpoint(c.Theirs, meta2key(t, l))
		must(t, err2)
		if theirs.Size != size || !strings.Contains(err.Error(), "rebuild --from-store") {
			t.Errorf("they hold %d entries, want %d: %v", theirs.Size, size, err)
		}
	})
	t.Run("gone on elsewhere", func(t *testing.T) {
		fork := labAt(t, clone(t, old))
		must(t, fork.open(fork.files()))
		for n := range 10 {
			fork.record("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("F-%d", n))))
		}
		fork.down()
		victim := labAt(t, clone(t, l.dir))
		put(victim, fork.dir)
		_ = conflict(victim.open(victim.files()))
	})
	t.Run("empty", func(t *testing.T) {
		victim := bare(t, l.dir)
		skey, err := os.ReadFile(victim.path("skey"))
		must(t, err)
		signer, err := ledger.CreateSigner(victim.path("signer"), string(skey))
		must(t, err)
		must(t, signer.Close())
		db, err := database.Create(t.Context(), victim.path("ledger.db"), meta(t, victim))
		must(t, err)
		must(t, db.Close())
		wantErr(t, victim.open(victim.files()), custody.ErrRollback)
	})
	t.Run("while it runs", func(t *testing.T) {
		victim := labAt(t, clone(t, old))
		must(t, victim.open(victim.files()))
		victim.published()
		// Another one published there first.
		next := victim.Stats().Entries
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `for f in "$1"/objects/*; do n=${f##*/}; test -e "$2/objects/$n" || cp -a "$f" "$2/objects/"; test -e "$2/retention/$n" || cp -a "$1/retention/$n" "$2/retention/"; done`,
			"sh", l.path("objects"), victim.path("objects")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for n := 0; victim.Alarm() == nil; n++ {
			_, err = victim.try("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("V-%d", n))))
			if n > 100 {
				t.Fatalf("no alarm after %d entries from %d on: %v", n, next, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		<-victim.Alarmed()
		_ = conflict(victim.Alarm())
		_, err = victim.try("custodian1", theCase, exhibit("V-last"))
		wantErr(t, err, custody.ErrStopped)
		_, err = victim.Case(t.Context(), victim.people["auditor1"], theCase) // it can still be read
		must(t, err)
		victim.down()
	})
}

func meta2key(t *testing.T, l *lab) ledger.VerifierKey {
	t.Helper()
	key, err := ledger.ParseVerifierKey(meta(t, l).VerifierKey)
	must(t, err)
	return key
}

// TestCrashPublishing has a process die around every step of putting a segment: nothing
// is lost, what lies there is taken up, and nothing lies there twice.
func TestCrashPublishing(t *testing.T) {
	for _, name := range []string{
		"Put-1-before", "Put-1-inside-1", "Put-1-after", "Put-2-before", "Put-2-inside-1", "Put-2-after",
		"Put-3-before", "Put-4-before", "Put-4-after", "Put-9-before", "Put-10-after",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := emptyLab(t)
			output, state := child(t, l.dir, "publish "+name)
			if !killed(state) {
				t.Fatalf("the child ended with %v:\n%s", state, output)
			}
			l.up()
			l.remember()
			l.published()
			l.audit()
			l.restart()
			l.published()
			l.audit()
			l.down()
			r, err := bare(t, l.dir).rebuild(nil)
			must(t, err)
			if int64(l.heard(output)) > r.Entries {
				t.Errorf("%d entries were rebuilt", r.Entries)
			}
		})
	}
}

// TestRebuildRefuses: what is missing or another in the store is named, and nothing is made.
func TestRebuildRefuses(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	l.down()
	keys := l.segmentKeys()
	segments, payloads := keys[:len(keys)/2], keys[len(keys)/2:]
	middle := len(segments) / 2
	for name, row := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"segment missing":  {func(dir string) error { return os.Remove(dir + segments[middle]) }, segments[middle]},
		"first missing":    {func(dir string) error { return os.Remove(dir + segments[0]) }, segments[0]},
		"payloads missing": {func(dir string) error { return os.Remove(dir + payloads[middle]) }, payloads[middle]},
		"segment altered":  {func(dir string) error { return alter(dir+segments[middle], `"type":"`, `"type":"`+"x") }, segments[middle]},
		"payload altered":  {func(dir string) error { return alter(dir+payloads[middle], `"action":"`, `"action":"x`) }, payloads[middle]},
		"segments swapped": {func(dir string) error {
			return errors.Join(os.Rename(dir+segments[middle], dir+"x"), os.Rename(dir+segments[middle+1], dir+segments[middle]), os.Rename(dir+"x", dir+segments[middle+1]))
		}, segments[middle]},
		"all gone": {func(dir string) error { return os.RemoveAll(dir) }, "not one segment"},
	} {
		t.Run(name, func(t *testing.T) {
			victim := bare(t, l.dir)
			must(t, row.spoil(victim.path("objects", "objects")+"/"))
			if name == "all gone" {
				must(t, os.Mkdir(victim.path("objects", "objects"), 0o700))
			}
			_, err := victim.rebuild(nil)
			wantErr(t, err, custody.ErrIncompleteStore)
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v does not name %s", err, row.want)
			}
		})
	}
	t.Run("another service key", func(t *testing.T) {
		victim := bare(t, l.dir)
		_, err := victim.rebuild(func(c *custody.RebuildConfig) { c.Service = victim.key("admin").PublicKey() })
		if err == nil || !strings.Contains(err.Error(), "service key") {
			t.Errorf("rebuilt with another service key: %v", err)
		}
	})
	t.Run("signer of another history", func(t *testing.T) {
		victim := bare(t, l.dir)
		_, err := victim.rebuild(func(c *custody.RebuildConfig) { c.Signed = ledger.Checkpoint{Origin: origin, Size: 3} })
		wantErr(t, err, custody.ErrRollback)
	})
	t.Run("another ledger key", func(t *testing.T) {
		victim := bare(t, l.dir)
		bring(t, anotherLab(t).dir, victim.dir, "skey")
		_, err := victim.rebuild(nil)
		wantErr(t, err, custody.ErrIncompleteStore)
	})
}

func alter(path, old, new string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600))
}

// TestRebuildLost: what was signed and not published is lost, with a number. What lies
// before it is there to be read, and not gone on with.
func TestRebuildLost(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.published()
	published := l.Stats().Entries
	l.store.setLedger(true)
	l.store.setFail(func(p point) bool { return p.Method == "Put" })
	l.record("custodian1", theCase, exhibit("E-002"))
	l.record("custodian1", theCase, exhibit("E-003"))
	l.down()
	lost := bare(t, l.dir)
	l.files()
	last := l.signer.Last()
	l.closeFiles()
	r, err := lost.rebuild(func(c *custody.RebuildConfig) { c.Signed = last })
	must(t, err)
	if r.Entries != published || r.Lost != 2 || r.Unlocked != 0 {
		t.Errorf("%+v of %d", r, published)
	}
	bring(t, l.dir, lost.dir, "signer") // it remembers
	wantErr(t, lost.open(lost.files()), custody.ErrRollback)
	report := (&vault{dir: lost.dir}).audit(t, nil)
	if len(report.Findings) != 1 || report.Findings[0].Code != "rolled-back" || report.Entries != published {
		t.Errorf("%d entries: %v", report.Entries, report.Findings)
	}
}

// TestRebuildUnlocked: a lock that was lost on the way is told, and found by every audit
// until it is there again.
func TestRebuildUnlocked(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	keys := l.segmentKeys()
	again := bare(t, l.dir)
	for _, key := range []string{keys[0], keys[len(keys)-1]} {
		must(t, os.Chmod(again.path("objects", "objects", key), 0o600))
	}
	r, err := again.rebuild(nil)
	must(t, err)
	if r.Unlocked != 2 {
		t.Errorf("%+v", r)
	}
	audit := func() []verify.Finding { return (&vault{dir: again.dir}).audit(t, nil).Findings }
	if found := audit(); len(found) != 2 || found[0].Code != custody.CodeObjectLock || !strings.Contains(found[0].Detail, "chattr +i") {
		t.Errorf("%v", found)
	}
	for _, key := range []string{keys[0], keys[len(keys)-1]} {
		must(t, os.Chmod(again.path("objects", "objects", key), 0o400))
	}
	if found := audit(); len(found) != 0 {
		t.Errorf("%v", found)
	}
}

// TestUnpublishedUnwitnessed: what the store does not have is not cosigned, nor does an
// export wait for that for ever. So the database can be lost with it, and the ledger that is
// rebuilt from the store goes on under the same witness.
func TestUnpublishedUnwitnessed(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	w := newOutside(t, l, "court.example/w")
	cfg := l.files()
	cfg.Witnesses = []witness.Endpoint{w.endpoint()}
	cfg.WitnessEvery, cfg.ExportWait = time.Millisecond, 50*time.Millisecond
	must(t, l.open(cfg))
	t.Cleanup(func() {
		if l.Service != nil {
			l.down()
		}
	})
	l.published()
	known := l.Stats().Entries
	within(t, "all is cosigned", func() bool { return w.size() == known })
	l.store.setLedger(true)
	l.store.setFail(func(p point) bool { return p.Method == "Put" })
	l.record("custodian1", theCase, exhibit("E-002"))
	if r := l.judgeBy([]*outside{w}); r.Verdict != verify.Failed || r.Findings[0].Code != verify.CodeWitnessQuorum {
		t.Errorf("%s %v", r.Verdict, r.Findings)
	}
	if w.size() != known {
		t.Errorf("the witness knows %d entries, the store %d", w.size(), known)
	}
	lost := bare(t, l.dir)
	r, err := lost.rebuild(nil)
	must(t, err)
	if r.Entries != known {
		t.Errorf("%d entries of %d are back", r.Entries, known)
	}
	must(t, lost.witnessed(w))
	lost.down()
}
