package custody_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// journey is a client that takes an image in and works on a copy of it. It writes
// down what it signs before it sends it, and the receipts, so that after any
// interruption another one goes on where it stood.
type journey struct {
	*lab
	image, log []byte
}

// small and large are images of several parts; only a large one has midstates.
const (
	small = 150_000
	large = digest.Segment + 5
)

func newJourney(l *lab, size int) *journey {
	l.t.Helper()
	l.store.partSize = int64(size/3 + 1)
	if err := os.Mkdir(l.path("client"), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		l.t.Fatal(err)
	}
	return &journey{l, content(size, 7), []byte("the log")}
}

// run goes through all steps.
func (j *journey) run() error {
	for _, p := range []identity.Principal{"examiner1", "analyst1", "legal1", "auditor1"} {
		if err := j.enrol(p); err != nil {
			return err
		}
	}
	open := evidence.CaseOpened{Reference: theCase, Title: "A stolen laptop", RetainDays: 30}
	if _, err := j.say("case", "examiner1", "", func() (evidence.Body, error) { return open, nil }); err != nil {
		return err
	}
	if _, err := j.say("exhibit", "examiner1", theCase, func() (evidence.Body, error) { return exhibit("E-001"), nil }); err != nil {
		return err
	}
	if err := j.takeIn(); err != nil {
		return err
	}
	if err := j.makeCopy(); err != nil {
		return err
	}
	got, err := j.fetch("analyst1", "W1", 0, -1)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, j.image) {
		return errors.New("the working copy is another")
	}
	_, err = j.say("received", "analyst1", theCase, func() (evidence.Body, error) {
		return evidence.CopyReceived{Exhibit: "E-001", Number: "W1", Size: int64(len(got)), SHA256: sum(got)}, nil
	})
	if err != nil {
		return err
	}
	if _, err := j.Fetch(j.ctx(), j.people["analyst1"], at("M1"), 0, -1); !errors.As(err, new(*evidence.TransitionError)) {
		return fmt.Errorf("fetch of the master: %w", err)
	}
	id, err := j.StartCheck(j.ctx(), j.people["legal1"], at("M1"))
	if err != nil {
		return err
	}
	status, err := j.Check(j.ctx(), j.people["legal1"], id, time.Minute)
	if err != nil || status.Err != nil {
		return errors.Join(err, status.Err)
	}
	if status.Verdict.Result != evidence.Match {
		return fmt.Errorf("the master is a %s", status.Verdict.Result)
	}
	e, err := j.Export(j.ctx(), j.people["legal1"], theCase, custody.ExportOptions{})
	if err != nil {
		return err
	}
	return e.WriteTo(j.ctx(), io.Discard)
}

func (j *journey) enrol(p identity.Principal) error {
	_, err := j.say("enrol-"+string(p), "admin", "", func() (evidence.Body, error) {
		return evidence.PersonEnrolled{Principal: p, Name: "N", Roles: j.people[p].Roles, Key: j.key(p).PublicKey()}, nil
	})
	return err
}

func (j *journey) takeIn() error {
	d := declaration(j.image)
	d.Acquisition.Log = &evidence.LogFile{Name: "dc3dd.log", Size: int64(len(j.log)), SHA256: sum(j.log)}
	said, err := j.say("declared", "examiner1", theCase, func() (evidence.Body, error) { return d, nil })
	if err != nil {
		return err
	}
	id := said.Body.(evidence.IntakeDeclared).Intake
	return j.unlessDone(id, "sealed", func() error {
		if _, err := j.attach(id, evidence.ToolLog, j.log); err != nil {
			return err
		}
		u, err := j.OpenUpload(j.ctx(), j.people["examiner1"], id)
		if err != nil {
			return err
		}
		if u.Offset() < u.Size() { // what is durable is not sent again, and nobody has to say that it is all
			if _, err := u.WriteFrom(j.ctx(), u.Offset(), bytes.NewReader(j.image[u.Offset():])); err != nil {
				return err
			}
		}
		_, err = j.Complete(j.ctx(), j.people["examiner1"], id, hashes(j.t, j.image))
		return err
	}, func(f evidence.Facts) evidence.Body { return evidence.CopySealed{Facts: f} })
}

func (j *journey) makeCopy() error {
	binding := evidence.Binding{Of: "M1", To: "analyst1", Purpose: "search"}
	said, err := j.say("requested", "examiner1", theCase, func() (evidence.Body, error) {
		return evidence.CopyRequested{Intake: uuid.Must(uuid.NewV7()), Exhibit: "E-001", Binding: binding}, nil
	})
	if err != nil {
		return err
	}
	return j.unlessDone(said.Body.(evidence.CopyRequested).Intake, "issued", func() error { return nil },
		func(f evidence.Facts) evidence.Body { return evidence.CopyIssued{Facts: f, Binding: binding} })
}

// unlessDone does the work on an intake, waits for its facts and signs them;
// unless that was signed already, then it is sent again.
func (j *journey) unlessDone(id uuid.UUID, name string, work func() error, body func(evidence.Facts) evidence.Body) error {
	_, err := j.say(name, "examiner1", theCase, func() (evidence.Body, error) {
		if err := work(); err != nil {
			return nil, err
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			status, err := j.Intake(j.ctx(), j.people["examiner1"], id, time.Second)
			if err != nil {
				return nil, err
			}
			if status.Phase == custody.Ready {
				if status.Facts.ReadBack != hashes(j.t, j.image) {
					return nil, errors.New("the facts are not those of the image")
				}
				return body(*status.Facts), nil
			}
		}
		return nil, fmt.Errorf("intake %s is never ready; log:\n%s", id, j.logged)
	})
	return err
}

// say records a statement: the one that was written down, or a new one.
func (j *journey) say(name string, p identity.Principal, ref evidence.Name, make func() (evidence.Body, error)) (evidence.Event, error) {
	path := j.path("client", name)
	payload, err := os.ReadFile(path + ".json")
	if errors.Is(err, os.ErrNotExist) {
		body, err := make()
		if err != nil {
			return evidence.Event{}, err
		}
		payload, signature := j.sign(j.event(p, ref, body))
		must(j.t, errors.Join(writeWhole(path+".sig", signature), writeWhole(path+".json", payload)))
		return j.say(name, p, ref, make)
	}
	must(j.t, err)
	signature, err := os.ReadFile(path + ".sig")
	must(j.t, err)
	r, err := j.Record(j.ctx(), j.people[p], payload, signature)
	if err != nil {
		return evidence.Event{}, err
	}
	j.ack(r, payload)
	must(j.t, writeWhole(path+".receipt", r.Receipt))
	return evidence.Parse(payload)
}

// writeWhole writes a file that is there whole or not at all, whenever the process
// is killed.
func writeWhole(path string, data []byte) error {
	return errors.Join(os.WriteFile(path+".new", data, 0o600), os.Rename(path+".new", path))
}

// remember takes over the receipts that a client before has written down.
func (l *lab) remember() {
	l.t.Helper()
	files, err := filepath.Glob(l.path("client", "*.receipt"))
	must(l.t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(l.t, err)
		payload, err := os.ReadFile(strings.TrimSuffix(f, ".receipt") + ".json")
		must(l.t, err)
		receipt, err := ledger.ParseReceipt(text)
		must(l.t, err)
		envelope, err := ledger.ParseEnvelope(receipt.Envelope)
		must(l.t, err)
		l.ack(custody.Recorded{
			Seq: envelope.Seq, CaseSeq: envelope.CaseSeq, Leaf: digest.SHA256(ledger.LeafHash(receipt.Envelope)),
			Envelope: receipt.Envelope, Receipt: text,
		}, payload)
	}
}
