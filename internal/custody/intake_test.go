package custody_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// set is three files and the list of them, with wrong hashes of some.
func set(t *testing.T, wrong ...int) (whole, list []byte) {
	t.Helper()
	for n, text := range []string{"first", "", "the third file"} {
		f := evidence.File{SHA256: sum([]byte(text)), Size: int64(len(text))}.Named("logs/" + string(rune('a'+n)))
		if slices.Contains(wrong, n) {
			f.SHA256 = sum([]byte("another"))
		}
		line, err := f.Line()
		must(t, err)
		whole, list = append(whole, text...), append(list, line...)
	}
	return whole, list
}

// TestSet takes in several files as one copy.
func TestSet(t *testing.T) {
	l := newLab(t)
	l.openCase()
	whole, list := set(t)
	declared := func() evidence.IntakeDeclared {
		d := declaration(whole)
		d.Files = 3
		l.record("examiner1", theCase, d)
		return d
	}
	complete := func(d evidence.IntakeDeclared) error {
		_, err := l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, whole))
		return err
	}

	t.Run("list first", func(t *testing.T) {
		d := declared()
		if err := complete(d); !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("complete without bytes: %v", err)
		}
		for name, bad := range map[string][]byte{
			"empty": nil, "malformed": []byte("a b c\n"), "no line break": list[:len(list)-1],
			"two files":    list[:bytes.LastIndexByte(list[:len(list)-1], '\n')+1],
			"a file twice": append(bytes.Clone(list), list[:bytes.IndexByte(list, '\n')+1]...),
		} {
			if _, err := l.attach(d.Intake, evidence.Files, bad); !errors.As(err, new(*evidence.FieldError)) {
				t.Errorf("%s: %v", name, err)
			}
		}
		cut := iotest.ErrReader(errCut)
		_, err := l.Attach(t.Context(), l.people["examiner1"], d.Intake, evidence.Files, int64(len(list)), cut)
		wantErr(t, err, errCut)
		o, err := l.attach(d.Intake, evidence.Files, list)
		must(t, err)
		if o.SHA256 != sum(list) || o.Role != evidence.Files {
			t.Errorf("the list's object is %+v", o)
		}
		l.upload(d.Intake, whole)
		must(t, complete(d))
		facts := l.await(d.Intake, custody.Ready).Facts
		l.record("examiner1", theCase, evidence.CopySealed{Facts: *facts})
	})
	t.Run("list last", func(t *testing.T) {
		d := declared()
		l.upload(d.Intake, whole)
		l.await(d.Intake, custody.Checked)
		if err := complete(d); !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("complete without the list: %v", err)
		}
		_, err := l.attach(d.Intake, evidence.Files, list)
		must(t, err)
		must(t, complete(d))
		facts := l.await(d.Intake, custody.Ready).Facts
		l.record("examiner1", theCase, evidence.CopySealed{Facts: *facts})
	})
	for n, row := range map[int]struct {
		wrong  []int
		strays []evidence.Stray
	}{
		1: {[]int{2}, []evidence.Stray{{Line: 3, SHA256: sum([]byte("the third file"))}}},
		2: {[]int{0, 1}, []evidence.Stray{{Line: 1, SHA256: sum([]byte("first"))}, {Line: 2, SHA256: sum(nil)}}},
	} {
		t.Run(fmt.Sprintf("%d wrong", n), func(t *testing.T) {
			_, list := set(t, row.wrong...)
			d := declared()
			_, err := l.attach(d.Intake, evidence.Files, list)
			must(t, err)
			l.upload(d.Intake, whole)
			must(t, complete(d))
			l.await(d.Intake, custody.Quarantined)
			b, ok := l.last().Body.(evidence.CopyQuarantined)
			if !ok || len(b.Differed) > 0 || b.Finding == 0 || !slices.Equal(b.Strays, row.strays) || b.StraysTotal != 0 {
				t.Errorf("the newest entry is %+v", l.last().Body)
			}
			if !l.copyOf(b.Number).Quarantined() {
				t.Errorf("%s is not quarantined", b.Number)
			}
		})
	}
	l.audit()
}

// TestLog attaches the imaging tool's log, and what is not it.
func TestLog(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image, log := []byte("a small image"), []byte("the log")
	d := declaration(image)
	d.Acquisition.Log = &evidence.LogFile{Name: "dc3dd.log", Size: int64(len(log)), SHA256: sum(log)}
	l.record("examiner1", theCase, d)
	l.upload(d.Intake, image)
	_, err := l.attach(d.Intake, evidence.ToolLog, []byte("the lag"))
	wantErr(t, err, evidence.ErrDigestsDiffer)
	for name, bad := range map[string]struct {
		role evidence.Role
		data string
	}{
		"longer": {evidence.ToolLog, "the log and more"}, "no list declared": {evidence.Files, ""},
		"content": {evidence.Content, "the log"}, "midstates": {evidence.Midstates, ""}, "no role": {"", ""},
	} {
		if _, err := l.attach(d.Intake, bad.role, []byte(bad.data)); !errors.As(err, new(*evidence.FieldError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
	if !errors.As(err, new(*evidence.TransitionError)) {
		t.Errorf("complete without the log: %v", err)
	}
	_, err = l.Attach(t.Context(), l.people["examiner2"], d.Intake, evidence.ToolLog, int64(len(log)), bytes.NewReader(log))
	wantErr(t, err, evidence.ErrForbidden)
	_, err = l.attach(d.Intake, evidence.ToolLog, log) // what was wrong before does not stand in the way
	must(t, err)
	_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
	must(t, err)
	facts := l.await(d.Intake, custody.Ready).Facts
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *facts})
	l.audit()
}

// TestSealRefused signs other facts than the server stated.
func TestSealRefused(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := []byte("a small image")
	d := declaration(image)
	l.record("examiner1", theCase, d)
	l.upload(d.Intake, image)
	_, err := l.Complete(t.Context(), l.people["examiner1"], d.Intake, digest.Set{})
	if !errors.As(err, new(*evidence.FieldError)) {
		t.Errorf("complete without a hash: %v", err)
	}
	_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
	must(t, err)
	facts := *l.await(d.Intake, custody.Ready).Facts
	_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
	must(t, err)
	_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, []byte("another")))
	wantErr(t, err, evidence.ErrExists)

	for name, change := range map[string]func(*evidence.Facts){
		"version": func(f *evidence.Facts) { f.Objects[0].Version = strings.Repeat("0", 32) },
		"key":     func(f *evidence.Facts) { f.Objects[0].Key += "-other" },
		"bucket":  func(f *evidence.Facts) { f.Objects[0].Bucket = "other" },
		"lock":    func(f *evidence.Facts) { f.Objects[0].Lock = "compliance" },
		"longer": func(f *evidence.Facts) {
			late := evidence.TimeOf(f.Objects[0].RetainUntil.Time().AddDate(1, 0, 0))
			f.Objects[0].RetainUntil = &late
		},
		"source": func(f *evidence.Facts) { f.ReadSource = "store" },
	} {
		changed := facts
		changed.Objects = append([]evidence.Object(nil), facts.Objects...)
		change(&changed)
		if _, err := l.try("examiner1", theCase, evidence.CopySealed{Facts: changed}); !errors.As(err, new(*evidence.FieldError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = l.try("examiner2", theCase, evidence.CopySealed{Facts: facts})
	if !errors.As(err, new(*evidence.TransitionError)) {
		t.Errorf("by another examiner: %v", err)
	}
	l.record("examiner1", theCase, evidence.CopySealed{Facts: facts})
	l.audit()
}

// TestTwoReady has two copies ready under the same number.
func TestTwoReady(t *testing.T) {
	l := newLab(t)
	l.openCase()
	var ids [2]evidence.IntakeDeclared
	for n := range ids {
		image := []byte{byte(n)}
		ids[n] = declaration(image)
		l.record("examiner1", theCase, ids[n])
		l.upload(ids[n].Intake, image)
		_, err := l.Complete(t.Context(), l.people["examiner1"], ids[n].Intake, hashes(t, image))
		must(t, err)
	}
	first := l.await(ids[0].Intake, custody.Ready).Facts
	second := l.await(ids[1].Intake, custody.Ready).Facts
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *second})
	_, err := l.try("examiner1", theCase, evidence.CopySealed{Facts: *first})
	wantErr(t, err, evidence.ErrStale)
	first = l.await(ids[0].Intake, custody.Ready).Facts
	if first.Number != "M2" {
		t.Errorf("the number is %s", first.Number)
	}
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *first})
	l.audit()
}

// TestEmpty takes in nothing.
func TestEmpty(t *testing.T) {
	l := newLab(t)
	l.openCase()
	if facts := l.seal(nil); facts.Size != 0 || facts.ReadBack != hashes(t, nil) {
		t.Errorf("the facts are %+v", facts)
	}
	l.issue("M1", "analyst1")
	if got, err := l.fetch("analyst1", "W1", 0, -1); err != nil || len(got) != 0 {
		t.Errorf("fetched %q, %v", got, err)
	}
	l.audit()
}

// TestAbandon ends intakes at every phase.
func TestAbandon(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := content(9<<20, 5) // two parts
	abandon := func(d evidence.IntakeDeclared) {
		t.Helper()
		l.record("examiner1", theCase, evidence.IntakeAbandoned{Intake: d.Intake, Reason: "the disk was wanted back"})
		l.await(d.Intake, custody.Abandoned)
		_, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
		if !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("uploading to it: %v", err)
		}
		if _, err := l.attach(d.Intake, evidence.ToolLog, nil); !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("attaching to it: %v", err)
		}
	}
	declare := func() evidence.IntakeDeclared {
		d := declaration(image)
		l.record("examiner1", theCase, d)
		return d
	}
	t.Run("declared", func(*testing.T) { abandon(declare()) })
	t.Run("receiving", func(t *testing.T) {
		d := declare()
		u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
		must(t, err)
		n, err := u.WriteFrom(t.Context(), 0, io.MultiReader(bytes.NewReader(image[:8<<20+5]), iotest.ErrReader(errCut)))
		if n != 8<<20 {
			t.Fatalf("%d bytes are durable: %v", n, err)
		}
		abandon(d)
		if _, err := u.WriteFrom(t.Context(), n, bytes.NewReader(image[n:])); err == nil {
			t.Error("bytes of an abandoned intake were taken")
		}
	})
	t.Run("read back", func(t *testing.T) {
		d := declare()
		l.store.coarse = true // the whole object is opened to be read back
		reached, goOn := make(chan struct{}), make(chan struct{})
		l.store.setFail(func(p point) bool {
			if p.Method == "Open" && !p.After {
				close(reached)
				<-goOn
			}
			return false
		})
		l.upload(d.Intake, image)
		<-reached
		l.store.setFail(nil)
		abandon(d)
		close(goOn)
		l.store.coarse = false
	})
	t.Run("ready", func(t *testing.T) {
		d := declare()
		l.upload(d.Intake, image)
		_, err := l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
		must(t, err)
		facts := l.await(d.Intake, custody.Ready).Facts
		abandon(d)
		_, err = l.try("examiner1", theCase, evidence.CopySealed{Facts: *facts})
		if !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("sealing it: %v", err)
		}
	})
	// Nothing is left to be done for any of them.
	deadline := time.Now().Add(time.Minute)
	for l.uploads() > 0 || l.partials() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d uploads are remembered, %d are in the store; log:\n%s", l.uploads(), l.partials(), l.logged)
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.audit()
}

// partials counts the uploads that the store has not completed.
func (l *lab) partials() int {
	l.t.Helper()
	files, err := filepath.Glob(l.path("objects", "partial", "*-*-*-*-*-*")) // of intakes: segments come and go
	must(l.t, err)
	return len(files)
}

// TestTakeOver has a new connection take over from one that hangs.
func TestTakeOver(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := []byte("a small image")
	d := declaration(image)
	l.record("examiner1", theCase, d)
	hanging, w := io.Pipe()
	old := make(chan error, 1)
	u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
	must(t, err)
	go func() {
		_, err := u.WriteFrom(t.Context(), 0, hanging)
		old <- err
	}()
	_, err = w.Write(image[:3]) // now it is being written
	must(t, err)
	taken := make(chan error, 1)
	go func() {
		u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
		if err == nil {
			_, err = u.WriteFrom(t.Context(), 0, bytes.NewReader(image))
		}
		taken <- err
	}()
	if err := <-old; err == nil { // its read waited for ever: it was ended
		t.Error("the old connection wrote it all")
	}
	must(t, <-taken)
	l.await(d.Intake, custody.Checked)
	_, err = l.OpenUpload(t.Context(), l.people["examiner2"], d.Intake)
	wantErr(t, err, evidence.ErrForbidden)
	_, err = l.OpenUpload(t.Context(), l.people["analyst1"], d.Intake)
	wantErr(t, err, evidence.ErrForbidden)
	l.audit()
}

// TestLazyStore: a store that says it has a part which it never read is not believed.
func TestLazyStore(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.store.lazy = true
	image := []byte("a small image")
	d := declaration(image)
	l.record("examiner1", theCase, d)
	u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
	must(t, err)
	n, err := u.WriteFrom(t.Context(), 0, bytes.NewReader(image))
	wantErr(t, err, objectstore.ErrPart)
	if n != 0 {
		t.Errorf("%d bytes are durable", n)
	}
	l.store.lazy = false
	l.upload(d.Intake, image)
	l.audit()
}

// TestCloseWaits closes the service while somebody writes whose read cannot be
// ended from outside.
func TestCloseWaits(t *testing.T) {
	l := newLab(t)
	l.openCase()
	wrote, w := l.hang(func(r io.Reader, _ io.Closer) io.Reader { return r })
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	wantErr(t, l.Close(soon), context.DeadlineExceeded)
	must(t, w.CloseWithError(errCut))
	if err := <-wrote; err == nil {
		t.Error("it was written")
	}
	must(t, l.Close(t.Context()))
}

// TestCloseEnds closes the service while somebody waits for bytes that never come.
func TestCloseEnds(t *testing.T) {
	l := newLab(t)
	l.openCase()
	wrote, _ := l.hang(func(r io.Reader, c io.Closer) io.Reader {
		return struct {
			io.Reader
			io.Closer
		}{r, c}
	})
	must(t, l.Close(t.Context()))
	if err := <-wrote; err == nil {
		t.Error("it was written")
	}
}

// hang writes a part of an image and leaves the connection open.
func (l *lab) hang(reader func(io.Reader, io.Closer) io.Reader) (wrote chan error, w *io.PipeWriter) {
	l.t.Helper()
	d := declaration([]byte("a small image"))
	l.record("examiner1", theCase, d)
	u, err := l.OpenUpload(l.t.Context(), l.people["examiner1"], d.Intake)
	must(l.t, err)
	r, w := io.Pipe()
	wrote = make(chan error, 1)
	again := make(chan struct{}, 64)
	go func() {
		_, err := u.WriteFrom(l.t.Context(), 0, reader(asking{r, again}, r))
		wrote <- err
	}()
	<-again
	_, err = w.Write([]byte("a sm"))
	must(l.t, err)
	<-again // it waits for what never comes
	return wrote, w
}

// asking tells of every read before it begins.
type asking struct {
	io.Reader
	reads chan<- struct{}
}

func (a asking) Read(p []byte) (int, error) {
	a.reads <- struct{}{}
	return a.Reader.Read(p)
}

// TestLongPoll waits for an intake to move.
func TestLongPoll(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := []byte("a small image")
	d := declaration(image)
	l.record("examiner1", theCase, d)
	got := make(chan custody.IntakeStatus, 1)
	go func() {
		status, err := l.Intake(t.Context(), l.people["examiner1"], d.Intake, time.Minute)
		if err != nil {
			t.Errorf("long poll: %v", err)
		}
		got <- status
	}()
	l.upload(d.Intake, image)
	if status := <-got; status.Phase == custody.Receiving {
		t.Errorf("it answered %+v", status)
	}
	status, err := l.Intake(t.Context(), l.people["examiner1"], d.Intake, -time.Second)
	must(t, err)
	if status.Offset != int64(len(image)) {
		t.Errorf("it answered %+v", status)
	}
	_, err = l.Intake(t.Context(), l.people["examiner1"], newUUID(t), time.Minute)
	wantErr(t, err, evidence.ErrNotFound)
}

// What is written long after it was declared is locked for the case's days all the same.
func TestRetentionOfALateUpload(t *testing.T) {
	l := newLab(t)
	l.openCase()
	content := content(digest.Segment+1, 4)
	d := declaration(content)
	l.record("examiner1", theCase, d)
	l.clock.advance(100 * 24 * time.Hour)
	began := l.clock.Now()
	l.upload(d.Intake, content)
	_, err := l.Complete(l.ctx(), l.people["examiner1"], d.Intake, hashes(t, content))
	must(t, err)
	facts := l.await(d.Intake, custody.Ready).Facts
	for _, o := range facts.Objects {
		if until := o.RetainUntil.Time(); until.Before(began.Add(30 * 24 * time.Hour)) {
			t.Errorf("%s, written at %s, is locked until %s", o.Role, began, until)
		}
	}
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *facts})
	l.audit()
}
