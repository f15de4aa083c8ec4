package custody_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/verify"
)

// stamped is a lab with time-stamping authorities, which go by the lab's clock.
type stamped struct {
	*lab
	tsas  map[string]*authoritytest.Authority
	names []string
	every time.Duration
}

func newStamped(t *testing.T, names ...string) *stamped {
	t.Helper()
	s := &stamped{lab: emptyLab(t), tsas: map[string]*authoritytest.Authority{}, names: names, every: time.Minute}
	for _, name := range names {
		s.tsas[name] = authoritytest.New(t, name)
		s.behave(name, authoritytest.Behaviour{})
	}
	return s
}

func (s *stamped) behave(name string, b authoritytest.Behaviour) {
	if b.Now == nil {
		b.Now = s.clock.Now
	}
	s.tsas[name].Behave(b)
}

func (s *stamped) config() custody.Config {
	s.t.Helper()
	cfg := s.files()
	for _, name := range s.names {
		a, err := authority.New(name, s.tsas[name].URL, []*x509.Certificate{s.tsas[name].Root}, s.clock.Now)
		must(s.t, err)
		cfg.Authorities = append(cfg.Authorities, a)
	}
	cfg.AnchorEvery, cfg.ExportWait = s.every, 20*time.Second
	return cfg
}

// start opens the service; it ends with the test.
func (s *stamped) start() {
	s.t.Helper()
	must(s.t, s.open(s.config()))
	s.t.Cleanup(func() {
		if s.Service != nil {
			s.down()
		}
	})
}

func (s *stamped) again() {
	s.t.Helper()
	s.down()
	s.store = &store{partSize: s.store.partSize}
	must(s.t, s.open(s.config()))
}

// rounds gives what became of the rounds, the oldest first.
func (s *stamped) rounds() []custody.AnchorRound {
	s.t.Helper()
	all, err := s.Anchors(s.ctx(), s.people["screener1"], 0)
	must(s.t, err)
	slices.Reverse(all.Rounds)
	return all.Rounds
}

// until waits for the rounds to be as they should. The lab's clock goes on meanwhile.
func (s *stamped) until(what string, is func([]custody.AnchorRound) bool) []custody.AnchorRound {
	s.t.Helper()
	for range 3000 {
		rounds := s.rounds()
		if is(rounds) {
			return rounds
		}
		time.Sleep(10 * time.Millisecond)
		s.clock.advance(10 * time.Millisecond)
	}
	s.t.Fatalf("never %s: %+v\n%s", what, s.rounds(), s.logged)
	return nil
}

func brief(rounds []custody.AnchorRound) string {
	var words []string
	for _, r := range rounds {
		for _, st := range r.Stamps {
			words = append(words, fmt.Sprintf("%s %s", st.Authority, st.State))
		}
	}
	return strings.Join(words, ", ")
}

func told(r custody.AnchorRound) bool {
	for _, st := range r.Stamps {
		if st.State == database.AnchorAnchored && st.Entry == nil {
			return false
		}
	}
	return true
}

func TestAnchorRound(t *testing.T) {
	s := newStamped(t, "lab2", "notary")
	s.start()
	rounds := s.until("anchored", func(r []custody.AnchorRound) bool {
		return len(r) > 0 && brief(r[:1]) == "lab2 anchored, notary anchored" && told(r[0])
	})
	first := rounds[0]
	if first.Stamps[0].Time == nil || *first.Stamps[0].Entry != *first.Stamps[1].Entry || first.Stamps[0].Serial == "" {
		t.Errorf("%+v", first)
	}
	// An entry of the service of no case, and an object under lock.
	e := s.entryAt(*first.Stamps[0].Entry)
	b, ok := e.Body.(evidence.CheckpointAnchored)
	if !ok || b.Size != first.Size || len(b.Tokens) != 2 || b.Tokens[0].Serial != first.Stamps[0].Serial {
		t.Errorf("%+v", e)
	}
	s.awaitObjects(1)
	// That entry is no activity: nobody is asked because of it.
	asked := s.tsas["lab2"].Asked()
	s.clock.advance(10 * time.Minute)
	s.record("admin", "", evidence.PersonEnrolled{Principal: "x", Name: "X", Roles: staff[4].roles, Key: s.key("analyst1").PublicKey()})
	rounds = s.until("a second round", func(r []custody.AnchorRound) bool {
		return len(r) == 2 && brief(r[1:]) == "lab2 anchored, notary anchored" && told(r[1])
	})
	s.awaitObjects(2)
	if n := s.tsas["lab2"].Asked(); n != asked+1 || rounds[1].Size <= rounds[0].Size {
		t.Errorf("asked %d times, then %d; %+v", asked, n, rounds)
	}
	within(t, "counted", func() bool {
		st := s.Stats()
		return st.Anchored == rounds[1].Size && st.AnchoredAt != 0 && st.AnchorsPending == 0
	})
	s.audit()
}

// entryAt reads an entry of the ledger.
func (s *stamped) entryAt(seq int64) evidence.Event {
	s.t.Helper()
	var event evidence.Event
	must(s.t, s.db.View(s.ctx(), func(tx *database.Tx) error {
		e, err := tx.EntryAt(seq)
		if err != nil {
			return err
		}
		event, err = evidence.Parse(e.Payload)
		return err
	}))
	return event
}

// anchorObjects gives what the store has of time stamps.
func (s *stamped) anchorObjects() map[string][]byte {
	s.t.Helper()
	all := map[string][]byte{}
	for o, err := range s.store.List(s.ctx(), "anchor-") {
		must(s.t, err)
		content, err := s.store.Open(s.ctx(), o, false)
		must(s.t, err)
		var b bytes.Buffer
		r, err := content.Range(s.ctx(), 0, o.Size)
		must(s.t, err)
		_, err = b.ReadFrom(r)
		must(s.t, err)
		must(s.t, r.Close())
		must(s.t, content.Close())
		if o.RetainUntil.Before(s.clock.Now().AddDate(0, 0, 29)) {
			s.t.Errorf("%s is locked until %s", o.Key, o.RetainUntil)
		}
		all[o.Key] = b.Bytes()
	}
	return all
}

// awaitObjects waits until the store has so many objects of time stamps, and the
// database knows it.
func (s *stamped) awaitObjects(n int) {
	s.t.Helper()
	for range 1000 {
		var untold []database.Anchor
		must(s.t, s.db.View(s.ctx(), func(tx *database.Tx) (err error) {
			untold, err = tx.UntoldAnchors()
			return err
		}))
		if len(untold) == 0 && len(s.anchorObjects()) == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("there are not %d objects but %d", n, len(s.anchorObjects()))
}

// Who is down is pending, through a restart, and is anchored later by an entry of its own;
// who lies or refuses is failed.
func TestAnchorLater(t *testing.T) {
	s := newStamped(t, "down", "good", "liar", "nonsense")
	s.every = time.Second
	s.behave("down", authoritytest.Behaviour{Down: true})
	s.behave("liar", authoritytest.Behaviour{Nonce: true})
	s.behave("nonsense", authoritytest.Behaviour{Garbage: true})
	s.start()
	first := s.until("decided", func(r []custody.AnchorRound) bool {
		return len(r) > 0 && brief(r[:1]) == "down pending, good anchored, liar failed, nonsense failed" && told(r[0])
	})[0]
	if st := first.Stamps[0]; st.Tries == 0 || st.Problem == "" || st.Due == nil {
		t.Errorf("%+v", st)
	}
	if st := first.Stamps[2]; st.Tries != 1 || !strings.Contains(st.Problem, "another request") {
		t.Errorf("%+v", st)
	}
	if st := first.Stamps[3]; st.Tries != 5 {
		t.Errorf("%+v", st)
	}
	if n := s.Stats(); n.Anchored == 0 {
		t.Errorf("%+v", n)
	}
	s.again()
	s.behave("down", authoritytest.Behaviour{})
	later := s.until("anchored later", func(r []custody.AnchorRound) bool {
		return r[0].Size == first.Size && brief(r[:1]) == "down anchored, good anchored, liar failed, nonsense failed" && told(r[0])
	})[0]
	if *later.Stamps[0].Entry == *later.Stamps[1].Entry {
		t.Errorf("%+v", later)
	}
	s.down()
	s.names = []string{"good"} // whoever is not configured is not waited for
	must(t, s.open(s.config()))
	s.until("given up", func(r []custody.AnchorRound) bool { return !strings.Contains(brief(r), "down pending") })
}

// An export has its own checkpoint stamped, waits for that, and its bundle verifies by
// a policy that demands both authorities; early stamps come along.
func TestExportAnchored(t *testing.T) {
	s := newStamped(t, "lab2", "notary")
	s.every = time.Second
	s.start()
	s.enrolAll()
	s.openCase()
	s.until("anchored", func(r []custody.AnchorRound) bool {
		return len(r) > 1 && brief(r[len(r)-1:]) == "lab2 anchored, notary anchored" && told(r[len(r)-1])
	})
	report, bag := s.exported(2)
	if report.Verdict != verify.Verified || len(report.Anchors) != 4 || !report.Anchors[2].Whole {
		t.Errorf("%s: %v %+v", report.Verdict, report.Findings, report.Anchors)
	}
	_ = bag
	// An export while one is down says so, and is whole without it.
	s.behave("notary", authoritytest.Behaviour{Status: http.StatusServiceUnavailable})
	report, _ = s.exported(2)
	var codes []verify.Code
	for _, f := range report.Findings {
		codes = append(codes, f.Code)
	}
	if diff := cmp.Diff([]verify.Code{verify.CodeAnchorQuorum}, codes); diff != "" {
		t.Error(diff)
	}
	if report, _ = s.exported(1); report.Verdict != verify.Verified {
		t.Error(report.Findings)
	}
}

// exported gives the verdict on a new export by a policy that demands so many authorities.
func (s *stamped) exported(k int) (verify.Report, []byte) {
	s.t.Helper()
	e, err := s.Export(s.ctx(), s.people["examiner1"], theCase, custody.ExportOptions{})
	must(s.t, err)
	var b bytes.Buffer
	must(s.t, e.WriteTo(s.ctx(), &b))
	opened, err := bundle.Open(s.ctx(), bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(s.t, err)
	policy := verify.Policy{Key: s.signer.Key(), Anchors: k}
	for _, name := range s.names {
		policy.Authorities = append(policy.Authorities, verify.Authority{Name: name, Root: s.tsas[name].Root})
	}
	report, err := verify.Bundle(s.ctx(), opened, verify.Options{Policy: &policy})
	must(s.t, err)
	return report, b.Bytes()
}

// Nothing of an export, or of anything else, waits for an authority that never answers.
// TestAnchorClock: a clock that is set back, to before the newest round or from a day that
// was stamped by mistake, puts no round off.
func TestAnchorClock(t *testing.T) {
	t.Parallel()
	s := newStamped(t, "lab2")
	s.every = time.Second
	s.start()
	keys := []identity.Principal{"analyst1", "custodian1", "legal1", "stranger"} // of people who are not enrolled
	for n, by := range []time.Duration{0, -1000 * time.Hour, 5_000 * time.Hour, -5_000 * time.Hour} {
		s.clock.advance(by)
		before := len(s.rounds())
		p := identity.Principal(fmt.Sprintf("x%d", n))
		s.record("admin", "", evidence.PersonEnrolled{Principal: p, Name: string(p), Roles: staff[4].roles, Key: s.key(keys[n]).PublicKey()})
		s.until(string(p), func(r []custody.AnchorRound) bool {
			return len(r) > before && brief(r[len(r)-1:]) == "lab2 anchored" && told(r[len(r)-1])
		})
	}
}

func TestSlowAuthority(t *testing.T) {
	for _, wait := range []time.Duration{time.Millisecond, 0, -time.Second} {
		s := newStamped(t, "slow")
		never := make(chan struct{})
		s.behave("slow", authoritytest.Behaviour{Wait: never})
		cfg := s.config()
		cfg.ExportWait = wait
		must(t, s.open(cfg))
		s.enrolAll()
		s.openCase()
		report, _ := s.exported(0)
		if report.Verdict != verify.Verified || len(report.Anchors) != 0 || !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, "none had answered") }) {
			t.Errorf("%s: %+v", wait, report)
		}
		s.down()
	}
}

// From the bucket alone the time stamps come back, and are not asked for again.
// TestAnchorRubbish: who may write to the store puts something under every name that the
// coming time stamps have there. They take their next names, a rebuild brings them back,
// and the audit finds the rubbish, also where it cannot know yet which object is theirs.
func TestAnchorRubbish(t *testing.T) {
	s := newStamped(t, "lab2")
	must(t, s.open(s.files()))
	next := s.Stats().Entries
	for n := next; n < next+20; n++ {
		s.put(fmt.Sprintf("anchor-%016d", n), []byte("x"))
	}
	s.down()
	before, err := os.ReadFile(s.path("ledger.db"))
	must(t, err)
	s.store = &store{partSize: s.store.partSize}
	s.start()
	rounds := s.until("anchored", func(r []custody.AnchorRound) bool {
		return len(r) > 0 && brief(r[:1]) == "lab2 anchored" && told(r[0])
	})
	key := fmt.Sprintf("anchor-%016d", *rounds[0].Stamps[0].Entry)
	s.eventually("it has another name", func() bool { return len(s.anchorObjects()[key+"-2"]) > 1 })
	within(t, "it is told of", func() bool {
		return s.Stats().Foreign == 1 && strings.Contains(s.logged.String(), "who can write to the store")
	})
	s.awaitObjects(21)
	s.down()
	v := &vault{dir: s.dir}
	found := func(want int) {
		t.Helper()
		r := v.audit(t, nil)
		codes := map[verify.Code]int{}
		for _, f := range r.Findings {
			codes[f.Code]++
		}
		if codes[custody.CodeObjectUnknown] != want || len(codes) != 1 {
			t.Errorf("the audit finds %v", r.Findings)
		}
	}
	found(20)
	v.sql(t, "UPDATE anchor_stamps SET object = ''") // as a crash leaves it
	found(20)
	r, err := bare(t, s.dir).rebuild(nil)
	must(t, err)
	if r.Anchored != 1 || len(r.Notes) != 20 {
		t.Errorf("%+v", r)
	}

	// Beside a database that was put back they are ahead, and rubbish is rubbish.
	must(t, os.WriteFile(s.path("ledger.db"), before, 0o600))
	ahead := 0
	for _, f := range v.audit(t, nil).Findings {
		if f.Code == custody.CodeStoreAhead && strings.HasPrefix(f.Subject, "object anchor-") {
			ahead++
			if !strings.HasPrefix(f.Subject, "object "+key+"-2 ") {
				t.Errorf("%+v", f)
			}
		}
	}
	if ahead != 1 {
		t.Errorf("%d objects of time stamps are ahead", ahead)
	}
}

func TestRebuildAnchored(t *testing.T) {
	s := newStamped(t, "lab2", "notary")
	s.start()
	want := s.until("anchored", func(r []custody.AnchorRound) bool {
		return len(r) > 0 && brief(r[:1]) == "lab2 anchored, notary anchored" && told(r[0])
	})
	s.awaitObjects(1)
	s.down()
	s.lab = bare(t, s.dir)
	r, err := s.rebuild(nil)
	must(t, err)
	if r.Anchored != 1 || len(r.Notes) != 0 {
		t.Errorf("%+v", r)
	}
	s.up()
	got := s.rounds()
	if diff := cmp.Diff(want[0], got[0], cmp.Comparer(func(a, b evidence.Time) bool { return a.Time().Equal(b.Time()) })); diff != "" {
		t.Error(diff)
	}
	s.audit()
	s.down()
	// An object that is not what the ledger tells of is not taken back.
	s.lab = bare(t, s.dir)
	for _, name := range []string{"ledger.db", "signer"} {
		_ = os.Remove(s.path(name))
	}
	entry := *want[0].Stamps[0].Entry
	path := s.path("objects", "objects", fmt.Sprintf("anchor-%016d", entry))
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, bytes.Replace(data, []byte(`"authority":"lab2"`), []byte(`"authority":"lab3"`), 1), 0o600))
	if r, err := s.rebuild(nil); err == nil && len(r.Notes) == 0 {
		t.Errorf("restored %+v", r)
	}
}
