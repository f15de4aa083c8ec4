package custody_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
	"github.com/custodyd/custodyd/internal/witness"
)

// outside is a witness of a lab, on a server of its own.
type outside struct {
	t      testing.TB
	dir    string
	key    ledger.VerifierKey
	now    *witness.Witness
	server *httptest.Server
	asked  atomic.Int64 // requests
	down   atomic.Bool
	cut    atomic.Bool  // takes requests and answers nothing
	lies   atomic.Int64 // how many answers are somebody else's, on the way to it
	lie    http.HandlerFunc
}

func newOutside(t testing.TB, l *lab, name string) *outside {
	t.Helper()
	o := &outside{t: t, dir: filepath.Join(t.TempDir(), "w")}
	_, err := witness.Create(o.dir, name, rand.Reader)
	must(t, err)
	skey, err := os.ReadFile(l.path("skey"))
	must(t, err)
	o.key, err = ledger.VerifierKeyOf(string(skey))
	must(t, err)
	o.open()
	o.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		o.asked.Add(1)
		switch {
		case o.down.Load():
			out.WriteHeader(http.StatusServiceUnavailable)
		case o.cut.Load():
			_, _ = io.Copy(io.Discard, in.Body) // so that the server sees the client go
			<-in.Context().Done()
		case in.Method == http.MethodPost && o.lies.Add(-1) >= 0, in.Method == http.MethodGet && o.lies.Load() > 0:
			o.lie(out, in)
		default:
			o.now.Handler().ServeHTTP(out, in)
		}
	}))
	t.Cleanup(func() {
		o.server.Close()
		_ = o.now.Close()
	})
	return o
}

func (o *outside) open() {
	o.t.Helper()
	var err error
	o.now, err = witness.Open(witness.Config{
		Dir: o.dir, Logs: []ledger.VerifierKey{o.key}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	must(o.t, err)
}

func (o *outside) endpoint() witness.Endpoint {
	return witness.Endpoint{Key: o.now.Key(), URL: o.server.URL}
}

func (o *outside) size() int64 {
	c, err := ledger.OpenCheckpoint(o.now.Held(origin), o.key)
	if err != nil {
		return 0
	}
	return c.Size
}

// witnessed opens a lab with witnesses.
func (l *lab) witnessed(all ...*outside) error {
	l.t.Helper()
	cfg := l.files()
	for _, o := range all {
		cfg.Witnesses = append(cfg.Witnesses, o.endpoint())
	}
	cfg.WitnessEvery, cfg.ExportWait = 20*time.Millisecond, 20*time.Second
	return l.open(cfg)
}

// within waits until something is so.
func within(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// judgeBy exports the case and judges the bundle by a policy of these witnesses.
func (l *lab) judgeBy(all []*outside) verify.Report {
	l.t.Helper()
	e, err := l.Export(l.ctx(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(l.t, err)
	var zip bytes.Buffer
	must(l.t, e.WriteTo(l.ctx(), &zip))
	b, err := bundle.Open(l.ctx(), bytes.NewReader(zip.Bytes()), int64(zip.Len()))
	must(l.t, err)
	defer b.Close() //nolint:errcheck // only read from
	policy := verify.Policy{Key: l.signer.Key()}
	group := verify.Group{Name: "all", K: len(all)}
	for _, o := range all {
		policy.Witnesses = append(policy.Witnesses, verify.Witness{Name: o.now.Key().Name(), Key: o.now.Key()})
		group.Members = append(group.Members, o.now.Key().Name())
	}
	if len(all) > 0 {
		policy.Groups, policy.Quorum = []verify.Group{group}, "all"
	}
	policyText, err := verify.ParsePolicy(policy.Marshal())
	must(l.t, err)
	r, err := verify.Bundle(l.ctx(), b, verify.Options{Policy: &policyText})
	must(l.t, err)
	return r
}

// TestWitnessed: what is recorded is cosigned, an export carries every witness's line, and
// what was cosigned lies in the store.
func TestWitnessed(t *testing.T) {
	l := emptyLab(t)
	one, two := newOutside(t, l, "one.example/w"), newOutside(t, l, "two.example/w")
	must(t, l.witnessed(one, two))
	t.Cleanup(func() {
		if l.Service != nil {
			l.down()
		}
	})
	l.enrolAll()
	l.openCase()
	head := func() int64 { return l.Stats().Entries }
	within(t, "both have cosigned all", func() bool { return one.size() == head() && two.size() == head() })

	r := l.judgeBy([]*outside{one, two})
	if r.Verdict != verify.Verified || len(r.Witnesses) != 2 || r.Witnesses[0].State != verify.CosignedValid {
		t.Errorf("%s %+v\n%v", r.Verdict, r.Witnesses, r.Findings)
	}
	if c := r.Checkpoint; c == nil || c.Size != r.Export.Entry+1 {
		t.Errorf("%+v", c)
	}

	// One of them is gone: the bundle goes out with the other's line.
	two.down.Store(true)
	r = l.judgeBy([]*outside{one, two})
	if r.Verdict != verify.Failed || r.Findings[0].Code != verify.CodeWitnessQuorum {
		t.Errorf("%s %v", r.Verdict, r.Findings)
	}
	if r = l.judgeBy([]*outside{one}); r.Verdict != verify.Verified {
		t.Errorf("%s %v", r.Verdict, r.Findings)
	}
	states := l.About().Witnesses
	if len(states) != 2 || states[0].State != custody.WitnessOK || states[1].State != custody.WitnessFailing ||
		states[1].Problem != witness.ErrUnreachable.Error() || states[1].Failures == 0 || states[0].Cosigned <= states[1].Cosigned {
		t.Errorf("%+v", states)
	}
	// It comes back, and is told of what it missed.
	two.down.Store(false)
	r = l.judgeBy([]*outside{one, two})
	if r.Verdict != verify.Verified {
		t.Errorf("%s %v", r.Verdict, r.Findings)
	}
	// What exports carried lies in the store, and the audit knows it.
	l.restartWith(one, two)
	var stored int
	for o, err := range l.store.List(l.ctx(), "witnessed-") {
		must(t, err)
		stored++
		if _, err := one.now.Key().Cosignature(l.readObject(o.Key)); err != nil {
			t.Errorf("%s: %v", o.Key, err)
		}
	}
	if stored < 4 { // of exports alone
		t.Errorf("%d cosigned checkpoints in the store", stored)
	}
	l.down()
	audit := (&vault{dir: l.dir}).audit(t, func(c *custody.AuditConfig) { c.Contents = true })
	if len(audit.Findings) > 0 {
		t.Errorf("%v", audit.Findings)
	}

	// A ledger that is rebuilt from the store has it again, and the witnesses know it.
	lost := bare(t, l.dir)
	rebuilt, err := lost.rebuild(nil)
	must(t, err)
	if rebuilt.Witnessed != int64(stored) {
		t.Errorf("%d cosigned checkpoints of %d: %v", rebuilt.Witnessed, stored, rebuilt.Notes)
	}
	must(t, lost.witnessed(one, two))
	lost.down()
}

func (l *lab) restartWith(all ...*outside) {
	l.t.Helper()
	l.down()
	l.store = &store{partSize: l.store.partSize}
	must(l.t, l.witnessed(all...))
}

func (l *lab) readObject(key string) []byte {
	l.t.Helper()
	o, err := l.store.Stat(l.ctx(), key, "")
	must(l.t, err)
	content, err := l.store.Open(l.ctx(), o, false)
	must(l.t, err)
	defer content.Close() //nolint:errcheck // only read from
	r, err := content.Range(l.ctx(), 0, o.Size)
	must(l.t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(l.t, err)
	return data
}

// TestWitnessedRubbish: who may write to the store puts something under every name that the
// coming cosigned checkpoints have there, half of it such that it cannot even be looked at.
// Each takes its next name.
func TestWitnessedRubbish(t *testing.T) {
	l := newLab(t)
	l.openCase()
	w := newOutside(t, l, "court.example/w")
	l.restartWith(w)
	export := func() int64 {
		e, err := l.Export(l.ctx(), l.people["legal1"], theCase, custody.ExportOptions{})
		must(t, err)
		must(t, e.WriteTo(l.ctx(), io.Discard))
		return l.Stats().Entries
	}
	within(t, "all is cosigned", func() bool { return w.size() == l.Stats().Entries })
	key := func(size int64) string { return fmt.Sprintf("witnessed-%016d", size) }
	const many = 20
	at := l.Stats().Entries + 1
	for size := at; size < at+many; size++ {
		must(t, os.Mkdir(l.path("objects", "objects", key(size)), 0o700))
	}
	for size := at + many; size < at+2*many; size++ {
		l.put(key(size), []byte("x"))
	}
	foreign := l.Stats().Foreign
	for export() < at+many+3 {
	}
	last := export()
	l.eventually("all are put", func() bool {
		var due []database.Cosigned
		must(t, l.db.View(l.ctx(), func(tx *database.Tx) (err error) {
			due, err = tx.CosignedToPut(0, 1)
			return err
		}))
		_, err := l.store.Directory.Stat(l.ctx(), key(last)+"-2", "")
		return len(due) == 0 && err == nil
	})
	if _, err := w.now.Key().Cosignature(l.readObject(key(last) + "-2")); err != nil {
		t.Error(err)
	}
	within(t, "it is told of", func() bool {
		return l.Stats().Foreign > foreign+3 && strings.Contains(l.logged.String(), "who can write to the store")
	})
	if l.Alarm() != nil {
		t.Errorf("alarm %v, %+v", l.Alarm(), l.Stats())
	}
	l.down()
	found := map[verify.Code]int{}
	for _, f := range (&vault{dir: l.dir}).audit(t, func(c *custody.AuditConfig) { c.Contents = true }).Findings {
		found[f.Code]++
	}
	// Where none of that size is kept, what cannot be read is told as that.
	if found[custody.CodeObjectUnknown]+found[custody.CodeObjectUnreadable] != 2*many || found[custody.CodeObjectUnknown] < many || len(found) > 2 {
		t.Errorf("the audit finds %v", found)
	}
	rebuilt, err := bare(t, l.dir).rebuild(nil)
	must(t, err)
	if rebuilt.Witnessed < many/2 || len(rebuilt.Notes) < 2*many {
		t.Errorf("%+v", rebuilt)
	}
}

// TestAuditCosignedUnnoted: what lies under the name of a cosigned checkpoint, when the
// service ended before it could note that, is that checkpoint or a stranger's.
func TestAuditCosignedUnnoted(t *testing.T) {
	l := newLab(t)
	l.openCase()
	w := newOutside(t, l, "court.example/w")
	l.restartWith(w)
	if r := l.judgeBy([]*outside{w}); r.Verdict != verify.Verified {
		t.Fatalf("%s %v", r.Verdict, r.Findings)
	}
	l.down()
	v := &vault{dir: l.dir}
	v.sql(t, "UPDATE cosigned SET object = '' WHERE size = (SELECT MAX(size) FROM cosigned WHERE kept = 1 AND object <> '')")
	if found := v.audit(t, nil).Findings; len(found) > 0 {
		t.Errorf("what was put and not noted: %v", found)
	}
	older := v.clone(t)
	older.sql(t, "UPDATE cosigned SET kept = 0, note = substr(note, 1, instr(note, CAST('court.example' AS BLOB)) - 5) WHERE object = ''")
	if found := older.audit(t, nil).Findings; len(found) > 0 {
		t.Errorf("what was put when more had signed: %v", found)
	}
	var name string
	v.open(t, func(db *sql.DB) {
		must(t, db.QueryRowContext(t.Context(), "SELECT printf('witnessed-%016d', size) FROM cosigned WHERE kept = 1 AND object = ''").Scan(&name))
	})
	change(t, filepath.Join(v.dir, "objects", "objects", name), flip)
	found := v.audit(t, nil).Findings
	if len(found) != 1 || found[0].Code != custody.CodeObjectUnknown || !strings.Contains(found[0].Subject, name) {
		t.Errorf("a stranger's: %v", found)
	}
}

// covered is a store in which somebody has put a newer version over each cosigned checkpoint.
type covered struct {
	custody.Objects
	by objectstore.Object
}

func (c covered) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		for o, err := range c.Objects.List(ctx, prefix) {
			if newer := c.by; strings.HasPrefix(o.Key, "witnessed-") {
				newer.Key, newer.Version = o.Key, "newer"
				if !yield(newer, nil) {
					return
				}
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

func (c covered) Open(ctx context.Context, o objectstore.Object, fromMedium bool) (*objectstore.Content, error) {
	if o.Version == "newer" {
		o = c.by
	}
	return c.Objects.Open(ctx, o, fromMedium)
}

// TestRebuildCovered: what was put over a cosigned checkpoint, such as the same without the
// witness's line, does not take its place in a ledger that is rebuilt.
func TestRebuildCovered(t *testing.T) {
	l := newLab(t)
	l.openCase()
	w := newOutside(t, l, "court.example/w")
	l.restartWith(w)
	if r := l.judgeBy([]*outside{w}); r.Verdict != verify.Verified {
		t.Fatalf("%s %v", r.Verdict, r.Findings)
	}
	var size int64
	l.eventually("one is put", func() bool {
		must(t, l.db.View(l.ctx(), func(tx *database.Tx) error {
			newest, err := tx.NewestCosigned(1)
			if err == nil && len(newest) == 1 && len(newest[0].Object) > 0 {
				size = newest[0].Size
				body, lines, _ := bytes.Cut(newest[0].Note, []byte("\n\n"))
				own, _, _ := bytes.Cut(lines, []byte("\n"))
				l.put("bare", slices.Concat(body, []byte("\n\n"), own, []byte("\n")))
			}
			return err
		}))
		return size > 0
	})
	over, err := l.store.Stat(l.ctx(), "bare", "")
	must(t, err)
	l.down()
	lost := bare(t, l.dir)
	rebuilt, err := lost.rebuild(func(cfg *custody.RebuildConfig) { cfg.Objects = covered{cfg.Objects, over} })
	must(t, err)
	if rebuilt.Witnessed < 1 || len(rebuilt.Notes) < int(rebuilt.Witnessed) {
		t.Errorf("%+v", rebuilt)
	}
	(&vault{dir: lost.dir}).open(t, func(db *sql.DB) {
		var note []byte
		must(t, db.QueryRowContext(t.Context(), "SELECT note FROM cosigned WHERE size = ?", size).Scan(&note))
		if _, err := w.now.Key().Cosignature(note); err != nil {
			t.Errorf("%v\n%s", err, note)
		}
	})
}

// TestWitnessSilent: a witness that takes a request and never answers does not hold up the
// ledger, and not the other's line.
func TestWitnessSilent(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.openCase()
	one, two := newOutside(t, l, "one.example/w"), newOutside(t, l, "two.example/w")
	l.restartWith(one, two)
	two.cut.Store(true)
	l.record("custodian1", theCase, exhibit("E-002"))
	if r := l.judgeBy([]*outside{one}); r.Verdict != verify.Verified {
		t.Errorf("%s %v", r.Verdict, r.Findings)
	}
}

// TestWitnessFails: who has cosigned all there is is left alone, though another fails.
func TestWitnessFails(t *testing.T) {
	l := newLab(t)
	l.openCase()
	one, two := newOutside(t, l, "one.example/w"), newOutside(t, l, "two.example/w")
	l.restartWith(one, two)
	two.down.Store(true)
	l.record("custodian1", theCase, exhibit("E-002"))
	states := func() []custody.WitnessState { return l.About().Witnesses }
	within(t, "one cosigns", func() bool { return states()[0].Cosigned == l.Stats().Entries })
	asked, failed := one.asked.Load(), states()[1].Failures
	within(t, "two fails on", func() bool { return states()[1].Failures > failed+2 })
	if n := one.asked.Load(); n != asked {
		t.Errorf("one was asked %d times more", n-asked)
	}
}

// TestWitnessConflict: a service whose database was rolled back, or is another one, does
// not begin when a witness knows better, though signer and store were rolled back with it;
// and one whose witness learns of a fork while it runs stops writing.
func TestWitnessConflict(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	old := clone(t, l.dir)
	w := newOutside(t, l, "court.example/w")
	must(t, l.witnessed(w))
	l.record("custodian1", theCase, exhibit("E-002"))
	within(t, "all is cosigned", func() bool { return w.size() == l.Stats().Entries })
	l.down()
	newest := w.now.Held(origin)

	conflict := func(name string, err error) {
		t.Helper()
		c, ok := errors.AsType[*custody.ConflictError](err)
		if !ok || !errors.Is(err, custody.ErrRollback) || c.Who != "the witness court.example/w" ||
			!bytes.Equal(c.Theirs, newest) || len(c.Ours) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	rolledBack := labAt(t, clone(t, old))
	conflict("rolled back", rolledBack.witnessed(w))

	// The fork grows past what was cosigned, without the witness.
	fork := labAt(t, clone(t, old))
	must(t, fork.open(fork.files()))
	for _, label := range []evidence.Name{"F-1", "F-2", "F-3", "F-4", "F-5", "F-6"} {
		fork.record("custodian1", theCase, exhibit(label))
	}
	fork.down()
	conflict("forked", fork.witnessed(w))

	// A new database under the old key.
	empty := emptyLab(t)
	empty.under(t, l)
	conflict("begun anew", empty.witnessed(w))

	// It was not reached at the start: then it stops the writing.
	w.down.Store(true)
	late := labAt(t, clone(t, old))
	must(t, late.witnessed(w))
	w.down.Store(false)
	within(t, "alarm", func() bool { return late.Alarm() != nil })
	conflict("late", late.Alarm())
	if _, err := late.try("custodian1", theCase, exhibit("E-009")); !errors.Is(err, custody.ErrStopped) {
		t.Error(err)
	}
	late.down()

	// The true one goes on.
	must(t, l.witnessed(w))
	l.down()
}

// TestWitnessAnswers: what nobody signed stops the writing only when it is said again and
// again, and only when a witness can have said it.
func TestWitnessAnswers(t *testing.T) {
	answer := func(status int, mediaType, body string) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", mediaType)
			out.WriteHeader(status)
			_, _ = io.WriteString(out, body)
		}
	}
	const ever = 1_000_000
	const unreached = "the witness cannot be reached, or gives no answer of a witness"
	for name, row := range map[string]struct {
		lie     http.HandlerFunc
		times   int64
		problem string // while it is so
		wantErr error  // of the alarm
	}{
		"a proxy's 409":          {answer(409, "text/plain", "nope"), ever, unreached, nil},
		"a 409 in other words":   {answer(409, "text/x.tlog.size", "http://10.0.0.1/"), ever, unreached, nil},
		"larger, once":           {answer(409, "text/x.tlog.size", "999999\n"), 1, "", nil},
		"larger, always":         {answer(409, "text/x.tlog.size", "999999\n"), ever, "the witness has cosigned a larger checkpoint", witness.ErrAhead},
		"not proven, twice":      {answer(422, "text/plain", ""), 2, "", nil},
		"not proven, always":     {answer(422, "text/plain", ""), ever, "not proven to continue the checkpoint cosigned last", witness.ErrInconsistent},
		"addresses in an answer": {answer(500, "text/plain", "dial 10.0.0.1"), ever, unreached, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			w := newOutside(t, l, "w.example")
			w.lie = row.lie
			l.restartWith(w)
			within(t, "all is cosigned", func() bool { return w.size() == l.Stats().Entries })
			w.lies.Store(row.times)
			l.openCase()
			if row.problem != "" {
				within(t, "it is said", func() bool { return l.About().Witnesses[0].Problem == row.problem })
			}
			if row.wantErr == nil {
				within(t, "it is asked on", func() bool { return l.About().Witnesses[0].Failures > 2 || row.times < 3 && w.lies.Load() < 0 })
				w.lies.Store(0)
				within(t, "all is cosigned again", func() bool { return w.size() == l.Stats().Entries })
				if err := l.Alarm(); err != nil {
					t.Error(err)
				}
				return
			}
			within(t, "alarm", func() bool { return l.Alarm() != nil })
			c, ok := errors.AsType[*custody.ConflictError](l.Alarm())
			if !ok || !errors.Is(c, row.wantErr) || c.Theirs != nil || len(c.Ours) == 0 || !strings.Contains(c.Error(), "only when it is the witness that is wrong") {
				t.Errorf("%v", l.Alarm())
			}
			if !strings.Contains(l.logged.String(), "refuses the ledger and does not show why") {
				t.Error(l.logged.String())
			}
			// It is refused at the start, too, after it was asked as often.
			l.down()
			w.lies.Store(ever)
			l.store = &store{partSize: l.store.partSize}
			if err := l.witnessed(w); !errors.Is(err, row.wantErr) || !errors.Is(err, custody.ErrRollback) {
				t.Error(err)
			}
			if asked := ever - w.lies.Load(); asked != 3 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// under makes the lab's ledger anew, with the key of another.
func (l *lab) under(t *testing.T, other *lab) {
	t.Helper()
	bring(t, other.dir, l.dir, "skey")
	must(l.t, errors.Join(os.Remove(l.path("signer")), os.Remove(l.path("ledger.db"))))
	skey, err := os.ReadFile(l.path("skey"))
	must(l.t, err)
	signer, err := ledger.CreateSigner(l.path("signer"), string(skey))
	must(l.t, err)
	vkey := signer.Key().String()
	must(l.t, signer.Close())
	db, err := database.Create(l.ctx(), l.path("ledger.db"), database.Meta{Origin: origin, VerifierKey: vkey})
	must(l.t, err)
	must(l.t, db.Close())
}

// TestWitnessForgets: a witness that was rolled back is told of, and asked on.
func TestWitnessForgets(t *testing.T) {
	l := newLab(t)
	w := newOutside(t, l, "w.example")
	l.restartWith(w)
	within(t, "all is cosigned", func() bool { return w.size() == l.Stats().Entries })
	must(t, w.now.Close())
	must(t, os.Remove(filepath.Join(w.dir, witness.OriginHash(origin)+".checkpoint")))
	w.open()
	l.openCase()
	within(t, "all is cosigned again", func() bool { return w.size() == l.Stats().Entries })
	if !strings.Contains(l.logged.String(), "a witness has lost its state") {
		t.Error(l.logged.String())
	}
}
