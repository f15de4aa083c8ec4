package custody_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
)

// TestHangUp: a client that goes while the store begins its upload leaves one
// upload, the noted one.
func TestHangUp(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := content(small, 1)
	d := declaration(image)
	l.record("examiner1", theCase, d)
	ctx, cancel := context.WithCancel(t.Context())
	l.store.setFail(func(p point) bool {
		if p == (point{Method: "Begin", N: 1, After: true}) {
			cancel()
		}
		return false
	})
	u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
	must(t, err)
	if n, err := u.WriteFrom(ctx, 0, bytes.NewReader(image)); n != 0 || err == nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	l.upload(d.Intake, image)
	l.await(d.Intake, custody.Checked)
	l.nothingLeft()
	l.audit()
}

// partial gives the file of the one upload in the store.
func (l *lab) partial() string {
	l.t.Helper()
	files, err := filepath.Glob(l.path("objects", "partial", "*-*-*-*-*-*"))
	must(l.t, err)
	if len(files) != 1 {
		l.t.Fatalf("uploads in the store: %v", files)
	}
	return files[0]
}

// TestForgotten: an upload that the store does not know any more begins again,
// whether its parts are still coming or all there.
func TestForgotten(t *testing.T) {
	image := content(large, 1)
	for name, sent := range map[string]int{"while parts come": large / 2, "when all are there": large} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.openCase()
			l.store.partSize = 4 << 20
			d := declaration(image)
			l.record("examiner1", theCase, d)
			l.store.setFail(func(p point) bool { return p.Method == "Complete" })
			u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
			must(t, err)
			if n, _ := u.WriteFrom(t.Context(), 0, bytes.NewReader(image[:sent])); n == 0 { // it is cut
				t.Fatal("nothing was sent")
			}
			must(t, os.Remove(l.partial()))
			l.store.setFail(nil)
			if sent < large {
				u, err = l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
				must(t, err)
				_, err = u.WriteFrom(t.Context(), u.Offset(), bytes.NewReader(image[u.Offset():]))
				wantErr(t, err, custody.ErrUnavailable)
			}
			if status := l.await(d.Intake, custody.Receiving); status.Offset != 0 || status.Problem == "" {
				t.Errorf("%d bytes are durable, problem %q", status.Offset, status.Problem)
			}
			l.upload(d.Intake, image)
			if status := l.await(d.Intake, custody.Checked); status.Problem != "" {
				t.Errorf("problem %q", status.Problem)
			}
			_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
			must(t, err)
			l.record("examiner1", theCase, evidence.CopySealed{Facts: *l.await(d.Intake, custody.Ready).Facts})
			l.nothingLeft()
			l.audit()
		})
	}
}

// TestWorkDeleted: what the service remembers for itself may be deleted. Uploads
// begin again; one whose object is complete cannot, and can be abandoned.
func TestWorkDeleted(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := content(small, 1)
	l.seal(image)
	var ids []uuid.UUID
	for _, sent := range []int{small / 2, small, 0} { // of intakes to seal, to give up, to abandon
		d := declaration(image)
		l.record("examiner1", theCase, d)
		l.store.partSize = small/3 + 1
		u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
		must(t, err)
		_, _ = u.WriteFrom(t.Context(), 0, bytes.NewReader(image[:sent])) // it is cut
		ids = append(ids, d.Intake)
	}
	l.await(ids[1], custody.Checked)
	l.store.setFail(func(p point) bool { return p.Method == "Copy" })
	request := evidence.CopyRequested{Intake: newUUID(t), Exhibit: "E-001", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "search"}}
	l.record("examiner1", theCase, request)
	l.down()
	(&vault{dir: l.dir}).open(t, func(db *sql.DB) {
		for _, table := range []string{"upload_parts", "uploads", "sessions"} {
			_, err := db.ExecContext(t.Context(), "DELETE FROM "+table)
			must(t, err)
		}
	})
	l.store.setFail(nil)
	must(t, l.open(l.files()))
	l.audit()
	l.await(request.Intake, custody.Ready)
	if n := l.partials(); n != 0 {
		t.Errorf("%d uploads that nobody knows are in the store", n)
	}
	all, err := l.Intakes(t.Context(), l.people["examiner1"], theCase)
	must(t, err)
	if len(all) != 5 {
		t.Errorf("%d intakes", len(all))
	}
	l.upload(ids[0], image)
	l.await(ids[0], custody.Checked)

	u, err := l.OpenUpload(t.Context(), l.people["examiner1"], ids[1])
	must(t, err)
	for range 2 {
		var transition *evidence.TransitionError
		if _, err := u.WriteFrom(t.Context(), 0, bytes.NewReader(image)); !errors.As(err, &transition) {
			t.Errorf("the object is there: %v", err)
		}
	}
	if status := l.await(ids[1], custody.Receiving); status.Problem == "" {
		t.Error("nobody is told that it cannot go on")
	}
	for _, id := range ids[1:] {
		l.record("examiner1", theCase, evidence.IntakeAbandoned{Intake: id, Reason: "begun again"})
		l.await(id, custody.Abandoned)
	}
	l.restart()
	l.nothingLeft()
	l.audit()
}

// TestAbandonWhileWriting: the writer of an intake that is abandoned is ended, and
// nothing of its upload stays in the store.
func TestAbandonWhileWriting(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := content(small, 1)
	d := declaration(image)
	l.record("examiner1", theCase, d)
	u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
	must(t, err)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := u.WriteFrom(t.Context(), 0, r)
		ended <- err
	}()
	_, err = w.Write(image[:small/2])
	must(t, err)
	l.record("examiner1", theCase, evidence.IntakeAbandoned{Intake: d.Intake, Reason: "the wrong disk"})
	if err := <-ended; err == nil {
		t.Error("the writer came to an end")
	}
	l.await(d.Intake, custody.Abandoned)
	l.restart()
	l.nothingLeft()
	l.audit()
}
