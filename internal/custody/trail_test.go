package custody_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/custodyd/custodyd/internal/custody"
)

// TestTrailsRest interrupts uploads and looks for what runs on. The one that goes on
// later is not read back from its beginning.
func TestTrailsRest(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.store.partSize = 4096
	image := content(3*4096, 6)
	l.seal(image)
	before := goleak.IgnoreCurrent()
	var last uuid.UUID
	var read int64
	for range 5 {
		read = l.Stats().ReadBack
		d := declaration(image)
		l.record("examiner1", theCase, d)
		u, err := l.OpenUpload(t.Context(), l.people["examiner1"], d.Intake)
		must(t, err)
		cut := io.MultiReader(bytes.NewReader(image[:2*4096+1]), iotest.ErrReader(errCut))
		if n, err := u.WriteFrom(t.Context(), 0, cut); n != 2*4096 || err == nil {
			t.Fatalf("%d bytes are durable: %v", n, err)
		}
		last = d.Intake
	}
	if err := goleak.Find(before); err != nil {
		t.Errorf("after uploads that were interrupted: %v", err)
	}
	l.upload(last, image)
	_, err := l.Complete(t.Context(), l.people["examiner1"], last, hashes(t, image))
	must(t, err)
	l.await(last, custody.Ready)
	if n := l.Stats().ReadBack - read; n > int64(len(image)) {
		t.Errorf("%d bytes were read back of %d", n, len(image))
	}
	for _, p := range l.store.steps() {
		if p.Method == "Open" {
			t.Error("the whole object was read back")
			break
		}
	}
	l.audit()
}
