package custody_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

var errCut = errors.New("the connection was cut")

// TestStory seals a disk image, proves it, and works only on a copy of it.
func TestStory(t *testing.T) {
	l := newLab(t)
	examiner, analyst := l.people["examiner1"], l.people["analyst1"]
	image := content(2*digest.Segment+12345, 1) // five parts, two midstates
	log := []byte("dc3dd 7.2.646 started\nsha256 " + hexSum(image) + "\n")

	l.openCase()
	declared := declaration(image)
	declared.Declared = hashes(t, image, digest.AlgMD5)
	declared.Acquisition.Log = &evidence.LogFile{Name: "dc3dd.log", Size: int64(len(log)), SHA256: sum(log)}
	l.record("examiner1", theCase, declared)
	id := declared.Intake

	l.uploadInPieces(id, image)
	if _, err := l.attach(id, evidence.ToolLog, log); err != nil {
		t.Fatal(err)
	}
	again, err := l.attach(id, evidence.ToolLog, log) // the answer was lost
	must(t, err)
	if again.SHA256 != sum(log) || again.Size != int64(len(log)) {
		t.Errorf("the log's object is %+v", again)
	}
	status, err := l.Complete(t.Context(), examiner, id, hashes(t, image))
	must(t, err)
	if status.Offset != int64(len(image)) {
		t.Errorf("%d bytes are durable, want %d", status.Offset, len(image))
	}
	facts := l.await(id, custody.Ready).Facts
	checkFacts(t, *facts, image, log)
	l.restart() // nothing is forgotten
	if again := l.await(id, custody.Ready).Facts; fmt.Sprint(*again) != fmt.Sprint(*facts) {
		t.Errorf("after a restart the facts are %+v, were %+v", *again, *facts)
	}
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *facts})
	if m := l.copyOf("M1"); m.State != evidence.Sealed || m.Quarantined() || m.Custodian != "examiner1" || m.Digests != facts.ReadBack {
		t.Errorf("the master is %+v", m)
	}

	working := l.issue("M1", "analyst1")
	if working.Number != "W1" || working.Declared != facts.ReadBack || working.ReadBack != facts.ReadBack || !working.Received.IsZero() {
		t.Errorf("the working copy's facts are %+v", working)
	}
	l.fetchWhole(image)

	l.record("analyst1", theCase, evidence.CopyReceived{Exhibit: "E-001", Number: "W1", Size: int64(len(image)), SHA256: sum(image)})
	got := sum(image)
	l.record("analyst1", theCase, evidence.CopyReturned{
		Exhibit: "E-001", Number: "W1", Outcome: evidence.Unchanged, Size: int64(len(image)), SHA256: &got,
	})
	if _, err := l.Fetch(t.Context(), analyst, at("W1"), 0, -1); err == nil {
		t.Error("a returned copy left again")
	}
	for _, number := range []evidence.Number{"M1", "W1"} {
		verdict := l.verify("legal1", number)
		if verdict.Err != nil || verdict.Verdict.Result != evidence.Match || verdict.Checked != int64(len(image)) {
			t.Errorf("%s: %+v", number, verdict)
		}
		l.ack(*verdict.Recorded, nil)
	}
	l.exported(log)
	l.audit()
	l.restart()
	l.audit()
}

// uploadInPieces sends content over connections that break, and restarts the
// service between two of them.
func (l *lab) uploadInPieces(id uuid.UUID, content []byte) {
	l.t.Helper()
	durable, cuts := int64(0), []int64{0, 1, 8<<20 - 1, 8 << 20, 8<<20 + 1, 17 << 20, int64(len(content)) - 1}
	for try, cut := range append(cuts, int64(len(content))) {
		u, err := l.OpenUpload(l.ctx(), l.people["examiner1"], id)
		must(l.t, err)
		if u.Size() != int64(len(content)) || u.Offset() != durable {
			l.t.Fatalf("try %d: the upload stands at %d of %d, want %d", try, u.Offset(), u.Size(), durable)
		}
		cut = max(cut, durable)
		r := io.MultiReader(iotest.HalfReader(bytes.NewReader(content[durable:cut])), iotest.ErrReader(errCut))
		if cut == int64(len(content)) {
			r = bytes.NewReader(content[durable:])
		}
		n, err := u.WriteFrom(l.ctx(), u.Offset(), r)
		if whole := cut == int64(len(content)); whole != (err == nil) || !whole && !errors.Is(err, errCut) {
			l.t.Fatalf("try %d: %v", try, err)
		}
		if _, err := u.WriteFrom(l.ctx(), durable+n+1, bytes.NewReader(nil)); err == nil && cut < int64(len(content)) {
			l.t.Errorf("try %d: bytes were taken at another offset", try)
		}
		if durable += n; durable/(8<<20)*(8<<20) != durable && durable != int64(len(content)) {
			l.t.Errorf("try %d: %d bytes are durable", try, durable)
		}
		if try == 4 {
			l.restart()
		}
	}
}

func checkFacts(t *testing.T, facts evidence.Facts, image, log []byte) {
	t.Helper()
	want := hashes(t, image, digest.AlgMD5)
	if facts.Declared != want || facts.Received != want || facts.ReadBack != want || facts.Number != "M1" {
		t.Errorf("the three hashes of %s are %v, %v and %v, want %v", facts.Number, facts.Declared, facts.Received, facts.ReadBack, want)
	}
	if facts.ReadSource != "medium" && facts.ReadSource != "cache" {
		t.Errorf("read back from %q", facts.ReadSource)
	}
	var roles []evidence.Role
	for _, o := range facts.Objects {
		roles = append(roles, o.Role)
		if o.Lock != "directory" || o.RetainUntil == nil || o.Version == "" || o.Bucket == "" {
			t.Errorf("object %+v", o)
		}
	}
	if !slices.Equal(roles, []evidence.Role{evidence.Content, evidence.Midstates, evidence.ToolLog}) {
		t.Errorf("the objects are %v", roles)
	}
	if o := facts.Objects[2]; o.SHA256 != sum(log) {
		t.Errorf("the log is %+v", o)
	}
}

// fetchWhole reads the working copy in ranges; each is an entry before its bytes.
func (l *lab) fetchWhole(image []byte) {
	l.t.Helper()
	size := int64(len(image))
	for _, r := range []struct{ offset, length, want int64 }{
		{0, -1, size}, {0, size, size}, {5, 10, 10}, {size - 1, -1, 1}, {size, -1, 0}, {1 << 24, 4096, 4096},
	} {
		d, err := l.Fetch(l.ctx(), l.people["analyst1"], at("W1"), r.offset, r.length)
		must(l.t, err)
		read, ok := l.last().Body.(evidence.ContentRead)
		if !ok || read.Offset != r.offset || read.Length != r.want || read.Operation != evidence.Fetch {
			l.t.Errorf("before the first byte the newest entry is %+v", l.last())
		}
		if by := l.last().OnBehalfOf; by == nil || by.Principal != "analyst1" || by.Method != "session" {
			l.t.Errorf("the entry is for %+v", by)
		}
		l.ack(d.Recorded, nil)
		got, err := io.ReadAll(d)
		must(l.t, errors.Join(err, d.Close()))
		if !bytes.Equal(got, image[r.offset:r.offset+r.want]) {
			l.t.Errorf("range %v gave other bytes", r)
		}
	}
	for _, r := range []struct{ offset, length int64 }{{size + 1, -1}, {0, size + 1}, {-1, 5}, {0, -2}} {
		_, err := l.Fetch(l.ctx(), l.people["analyst1"], at("W1"), r.offset, r.length)
		if field := (&evidence.FieldError{}); !errors.As(err, &field) {
			l.t.Errorf("range %v: %v", r, err)
		}
	}
}

// exported takes bundles of the case and has them judged without the service.
func (l *lab) exported(log []byte) {
	l.t.Helper()
	e, err := l.Export(l.ctx(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(l.t, err)
	l.ack(e.Recorded, nil)
	path := filepath.Join(l.t.TempDir(), e.Name())
	f, err := os.Create(path)
	must(l.t, err)
	must(l.t, errors.Join(e.WriteTo(l.ctx(), f), f.Close()))
	report, b := l.judge(path)
	if report.Verdict != verify.Verified || len(report.Findings) > 0 {
		l.t.Errorf("the bundle is %s: %v; not checked: %v", report.Verdict, report.Findings, report.NotChecked)
	}
	if got, err := b.ReadFile("data/logs/E-001-M1.log"); err != nil || !bytes.Equal(got, log) {
		l.t.Errorf("the log in the bundle: %q, %v", got, err)
	}
	for _, file := range b.Files(nil) {
		if file.Kind == bundle.KindContent {
			l.t.Errorf("%s is in the bundle", file.Path)
		}
	}
}

// judge opens and verifies a bundle.
func (l *lab) judge(path string) (verify.Report, *bundle.Bundle) {
	l.t.Helper()
	data, err := os.ReadFile(path)
	must(l.t, err)
	b, err := bundle.Open(l.ctx(), bytes.NewReader(data), int64(len(data)))
	must(l.t, err)
	report, err := verify.Bundle(l.ctx(), b, verify.Options{Policy: &verify.Policy{Key: l.signer.Key()}, Workers: 2})
	must(l.t, err)
	return report, b
}
