package custody_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// eventually waits until something is so.
func (l *lab) eventually(what string, is func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: never; %+v; log:\n%s", what, l.Stats(), l.logged)
		}
	}
}

// put puts an object as somebody does who may write to the store and nothing else.
func (l *lab) put(key string, data []byte) {
	l.t.Helper()
	_, err := l.store.Directory.Put(l.ctx(), key, bytes.NewReader(data), int64(len(data)), l.clock.Now().AddDate(10, 0, 0))
	must(l.t, err)
}

// TestPublishAgain: a segment that was begun is tried again with the same bytes, whatever
// came meanwhile, and also by the next process. Nothing is put twice.
func TestPublishAgain(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.published()
	from := l.Stats().Entries
	l.store.setLedger(true)
	l.store.setFail(func(p point) bool { return p.Method == "Put" && p.N > 1 }) // payloads, and no segment
	add := func(n int) {
		l.record("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("X-%d", n))))
	}
	add(1)
	l.eventually("a try failed", func() bool { return l.Stats().PublishFailures > 0 })
	for n := range 12 {
		add(n + 2)
	}
	l.down()
	l.store = &store{partSize: l.store.partSize}
	must(t, l.open(l.files()))
	add(14)
	l.published()
	list := strings.Join(l.segmentKeys(), " ")
	if strings.Count(list, ledger.PayloadsKey(from, 1)) != 1 || strings.Count(list, ledger.SegmentKey(from, 1)) != 1 {
		t.Errorf("from %d on there lie %s", from, list)
	}
	l.audit()
}

// TestPublishForeign: what the ledger's key did not sign stops nothing, under whatever name
// of the ledger's it lies, and is told of.
func TestPublishForeign(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.published()
	at := l.Stats().Entries
	for n := range 20 { // more than payloads once had names
		l.put(ledger.PayloadsKey(at, n+1), []byte{byte(n)})
	}
	keys := l.segmentKeys()
	genuine, err := os.ReadFile(l.path("objects", "objects", keys[0]))
	must(t, err)
	l.put(ledger.SegmentKey(at, 1), []byte("x"))
	l.put(ledger.SegmentKey(at, 2), genuine)
	for _, key := range []string{ledger.PayloadsKey(at, 21), ledger.SegmentKey(at, 3)} { // nothing that can be read
		must(t, os.Mkdir(l.path("objects", "objects", key), 0o700))
	}
	l.put(ledger.SegmentKey(at+1, 1), nil)
	l.put(ledger.SegmentKey(at+1000, 1), genuine)
	l.record("custodian1", theCase, exhibit("E-002"))
	l.published()
	l.record("custodian1", theCase, exhibit("E-003"))
	l.published()
	if stats := l.Stats(); l.Alarm() != nil || stats.Foreign != 5 || !strings.Contains(l.logged.String(), "who can write to the store") {
		t.Errorf("alarm %v, %+v", l.Alarm(), stats)
	}
	size := l.Stats().Entries
	l.put(ledger.SegmentKey(size, 1), []byte("y"))
	l.down()
	last := bare(t, l.dir)

	// The next start goes on.
	must(t, l.open(l.files()))
	l.published()
	l.down()
	found := map[string]int{}
	for _, f := range (&vault{dir: l.dir}).audit(t, nil).Findings {
		found[string(f.Code)]++
	}
	if found[string(custody.CodeSegmentForeign)] != 25 || found[string(custody.CodeObjectUnreadable)] != 2 {
		t.Errorf("findings %v", found)
	}

	// And so does a rebuild, past what is a stranger's: at its end too.
	for _, again := range []*lab{last, bare(t, l.dir)} {
		r, err := again.rebuild(nil)
		must(t, err)
		if r.Entries < size || !strings.Contains(strings.Join(r.Notes, "\n"), ledger.SegmentKey(at, 2)) {
			t.Errorf("%+v", r)
		}
		again.up()
		again.record("custodian1", theCase, exhibit("E-004"))
		again.published()
		again.down()
	}
}

// TestPublishWithin: entries that come one after the other share a segment. The seal of an
// export does not wait for others.
func TestPublishWithin(t *testing.T) {
	l := emptyLab(t)
	cfg := l.files()
	cfg.PublishWithin = time.Hour
	must(t, l.open(cfg))
	l.enrolAll()
	l.openCase()
	if stats := l.Stats(); stats.Published != 0 || stats.PublishWithin != time.Hour {
		t.Errorf("%+v", stats)
	}
	_, err := l.Export(t.Context(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(t, err)
	l.published()
	sealed := l.Stats().Published
	l.record("custodian1", theCase, exhibit("E-002"))
	if keys := l.segmentKeys(); len(keys) != 2 || l.Stats().Published != sealed {
		t.Errorf("%d are published in %v", l.Stats().Published, keys)
	}
	l.down() // and so does the end
	if keys := func() []string { l.files(); defer l.closeFiles(); return l.segmentKeys() }(); len(keys) != 4 {
		t.Errorf("there lie %v", keys)
	}
}

// TestRetainPayloads: payloads are locked for as long as their segments, at least.
func TestRetainPayloads(t *testing.T) {
	l := emptyLab(t)
	cfg := l.files()
	cfg.LedgerRetainDays, cfg.PayloadRetainDays = 100, 99
	if err := l.open(cfg); err == nil {
		l.down()
		t.Fatal("payloads may go before their segments")
	}
}

// TestPublishAlarmed: what was signed before an alarm was acknowledged, so the store gets
// it all the same.
func TestPublishAlarmed(t *testing.T) {
	l := audited(t)
	soon(t, "no pass over what is whole", func() bool { return l.Stats().Audit.Passes > 0 })
	l.published()
	l.store.setLedger(true)
	l.store.setFail(func(p point) bool { return p.Method == "Put" })
	l.record("custodian1", theCase, exhibit("E-002"))
	l.insider("UPDATE people SET doc = replace(doc, 'Name of analyst1', 'Name of nobody__') WHERE principal = 'analyst1'")
	soon(t, "there is no alarm", func() bool { return l.Alarm() != nil })
	if l.Stats().Unpublished == 0 {
		t.Error("it was published though the store takes nothing")
	}
	l.store.setFail(nil)
	l.published()
}
