package custody_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// say prints a receipt in one write: the reader gets the whole line or knows that
// it did not.
func say(receipt []byte) {
	_, _ = os.Stdout.WriteString("ack " + base64.StdEncoding.EncodeToString(receipt) + "\n")
}

// heard takes over the receipts that a child has said.
func (l *lab) heard(output string) (receipts int) {
	l.t.Helper()
	for line := range strings.Lines(output) {
		text, ok := strings.CutPrefix(line, "ack ")
		text, whole := strings.CutSuffix(text, "\n")
		if !ok || !whole {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		must(l.t, err)
		receipt, err := ledger.ParseReceipt(raw)
		must(l.t, err)
		envelope, err := ledger.ParseEnvelope(receipt.Envelope)
		must(l.t, err)
		l.ack(custody.Recorded{
			Seq: envelope.Seq, CaseSeq: envelope.CaseSeq, Leaf: digest.SHA256(ledger.LeafHash(receipt.Envelope)),
			Envelope: receipt.Envelope, Receipt: raw,
		}, nil)
		receipts++
	}
	return receipts
}

// load works until it is killed: people write, and one takes images in, first
// those that a child before has left unfinished.
func (l *lab) load(string) {
	l.clock.micro.Store(time.Now().UnixMicro())
	l.store.partSize = 256 << 10
	must(l.t, l.open(l.files()))
	for range 6 {
		go func() {
			for {
				e := l.event("custodian1", theCase, exhibit(evidence.Name("X-"+uuid.NewString())))
				payload, signature := l.sign(e)
				r, err := l.Record(l.ctx(), l.people["custodian1"], payload, signature)
				must(l.t, err)
				say(r.Receipt)
			}
		}()
	}
	for {
		must(l.t, l.takeInAll(say))
		d := declaration(nil)
		d.Size = 3 << 20
		l.record("examiner1", theCase, d)
	}
}

// takeInAll goes on with every intake under way, to its seal, and tells of each.
func (l *lab) takeInAll(tell func(receipt []byte)) error {
	all, err := l.Intakes(l.ctx(), l.people["examiner1"], theCase)
	if err != nil {
		return err
	}
	for _, status := range all {
		if status.Intake.State != evidence.Declared {
			continue
		}
		id := status.Intake.Intake
		image := content(int(status.Intake.Size), id[15])
		u, err := l.OpenUpload(l.ctx(), l.people["examiner1"], id)
		if err != nil {
			return err
		}
		if u.Offset() < u.Size() {
			if _, err := u.WriteFrom(l.ctx(), u.Offset(), bytes.NewReader(image[u.Offset():])); err != nil {
				return err
			}
		}
		if _, err := l.Complete(l.ctx(), l.people["examiner1"], id, hashes(l.t, image)); err != nil {
			return err
		}
		facts := l.await(id, custody.Ready).Facts
		if facts.ReadBack != hashes(l.t, image) {
			return fmt.Errorf("intake %s holds other bytes", id)
		}
		payload, signature := l.sign(l.event("examiner1", theCase, evidence.CopySealed{Facts: *facts}))
		r, err := l.Record(l.ctx(), l.people["examiner1"], payload, signature)
		if err != nil {
			return err
		}
		tell(r.Receipt)
	}
	return nil
}

// TestKill kills a working service at random moments, again and again.
func TestKill(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.openCase()
	l.down()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	acked := 0
	for round := range 15 {
		output := loadAndKill(t, l.dir, time.Duration(random.IntN(400))*time.Millisecond)
		must(t, l.open(l.files()))
		acked += l.heard(output)
		l.audit()
		if round == 14 {
			must(t, l.takeInAll(func([]byte) {}))
			l.audit()
		}
		l.down()
		if t.Failed() {
			t.Fatalf("round %d; the child said:\n%.2000s", round, output)
		}
	}
	if acked < 15 {
		t.Errorf("only %d entries were acknowledged", acked)
	}
	t.Logf("%d entries acknowledged", acked)
}

// loadAndKill kills a child some time after its first acknowledged entry, and
// gives what it said.
func loadAndKill(t *testing.T, dir string, after time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childKind+"=load", childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	r := bufio.NewReader(out)
	first, err := r.ReadString('\n')
	var rest bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&rest, r) }) // what comes with the end is cut
	if err == nil {
		time.Sleep(after)
		must(t, cmd.Process.Kill())
	}
	reading.Wait()
	if end := cmd.Wait(); !killed(cmd.ProcessState) {
		t.Fatalf("the child ended by itself: %v\n%s%s", end, first, rest.String())
	}
	return first + rest.String()
}

// fillDisk lets no file grow beyond the size that the write-ahead log has, and
// goes on until the service stops.
func (l *lab) fillDisk(string) {
	must(l.t, l.open(l.files()))
	l.openCase()
	d := declaration(content(9<<20, 1))
	r := l.record("examiner1", theCase, d)
	say(r.Receipt)
	info, err := os.Stat(l.path("ledger.db-wal"))
	must(l.t, err)
	limit := uint64(info.Size())
	must(l.t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}))
	u, err := l.OpenUpload(l.ctx(), l.people["examiner1"], d.Intake)
	must(l.t, err)
	n, err := u.WriteFrom(l.ctx(), 0, bytes.NewReader(content(9<<20, 1)))
	if n != 0 || err == nil {
		l.t.Fatalf("%d bytes are durable on a full disk, %v", n, err)
	}
	for n := range 1000 {
		e := l.event("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("X-%d", n))))
		payload, signature := l.sign(e)
		r, err := l.Record(l.ctx(), l.people["custodian1"], payload, signature)
		if err != nil {
			must(l.t, os.WriteFile(l.path("last.json"), payload, 0o600))
			must(l.t, os.WriteFile(l.path("last.sig"), signature, 0o600))
			wantErr(l.t, err, custody.ErrStopped)
			_, err = l.Record(l.ctx(), l.people["custodian1"], payload, signature)
			wantErr(l.t, err, custody.ErrStopped)
			_, err = l.Fetch(l.ctx(), l.people["analyst1"], at("M1"), 0, -1)
			wantErr(l.t, err, evidence.ErrNotFound) // it can still be read
			os.Exit(unsigned)
		}
		say(r.Receipt)
	}
	l.t.Fatal("the disk is never full")
}

// TestDiskFull has the medium refuse a commit.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.down()
	output, state := child(t, l.dir, "full")
	if state.ExitCode() != unsigned {
		t.Fatalf("the child ended with %v:\n%s", state, output)
	}
	must(t, l.open(l.files()))
	defer l.down()
	if l.heard(output) == 0 {
		t.Error("nothing was acknowledged")
	}
	l.audit()
	payload, err := os.ReadFile(l.path("last.json"))
	must(t, err)
	signature, err := os.ReadFile(l.path("last.sig"))
	must(t, err)
	r, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
	must(t, err)
	l.ack(r, payload)
	all, err := l.Intakes(t.Context(), l.people["examiner1"], theCase)
	must(t, err)
	image := content(9<<20, 1)
	l.upload(all[0].Intake.Intake, image)
	_, err = l.Complete(t.Context(), l.people["examiner1"], all[0].Intake.Intake, hashes(t, image))
	must(t, err)
	l.await(all[0].Intake.Intake, custody.Ready)
	l.audit()
}
