package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/operator"
)

// killSeed chooses the moments of an earlier run again; the rest is the machine's.
var killSeed = flag.Uint64("kill.seed", 0, "seed of TestKill; 0: a new one")

const kills = 16

// TestKill kills the real service again and again while people work with it over
// HTTP, and starts it again on the same data. Nothing that anybody was told may
// be lost: each receipt's entry stands in the ledger as it is in the receipt,
// each checkpoint is one of this ledger, what was said to be durable is not asked
// for again, every image is sealed in the end, and the audit finds nothing.
func TestKill(t *testing.T) {
	seed := cmp.Or(*killSeed, uint64(time.Now().UnixNano()))
	t.Logf("go test -run '^TestKill$' ./cmd/custodyd -kill.seed=%d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	s := &service{t: t, program: build(t), dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(s.clear)
	s.up(ctx)
	lab := newLab(ctx, t, s)
	t.Cleanup(func() { cancel(); lab.people.Wait() })
	lab.work(ctx, cancel)
	s.kill()

	for round := range kills {
		switch round % 4 {
		case 1: // it has just started, or is about to
			s.start(ctx)
			lab.must(operator.Pause(ctx, upTo(200*time.Millisecond)))
		case 3: // it has said that the first part of an image is durable
			s.up(ctx)
			lab.must(lab.firstPart(ctx))
			lab.must(operator.Pause(ctx, upTo(100*time.Millisecond)))
		default:
			s.up(ctx)
			lab.must(operator.Pause(ctx, upTo(1500*time.Millisecond)))
		}
		s.kill()
		if round%5 == 4 { // else the next start finds it as it was left
			s.audit()
		}
	}
	s.up(ctx)
	close(lab.stop)
	lab.people.Wait()
	lab.must(lab.complete(ctx))
	s.kill()
	s.audit("--contents")
	lab.judge(ctx)
}

// service is the real custodyd on one data directory and, from its first start
// on, one address.
type service struct {
	t *testing.T
	program
	dir     string
	signer  string // socket of a separate one; may be empty
	address string // host:port
	life    atomic.Pointer[life]
}

// life is one process of the service.
type life struct {
	cmd     *exec.Cmd
	greeted greeting
	talk    bytes.Buffer  // until gone: exec's
	gone    chan struct{} // closed when the process has ended
}

// greeting looks for the address in what the service says on stdout.
type greeting struct {
	said    []byte
	address chan string // one
}

func (g *greeting) Write(p []byte) (int, error) {
	g.said = append(g.said, p...)
	for line := range strings.Lines(string(g.said)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "address" && strings.HasSuffix(line, "\n") {
			select {
			case g.address <- strings.TrimPrefix(f[1], "http://"):
			default: // known
			}
		}
	}
	return len(p), nil
}

func (s *service) start(ctx context.Context) *life {
	s.t.Helper()
	l := &life{greeted: greeting{address: make(chan string, 1)}, gone: make(chan struct{})}
	l.cmd = exec.CommandContext(ctx, s.path, "serve", "--data", s.dir, "--listen", cmp.Or(s.address, "127.0.0.1:0"))
	if s.signer != "" {
		l.cmd.Args = append(l.cmd.Args, "--signer", s.signer)
	}
	l.cmd.Stdout, l.cmd.Stderr = &l.greeted, &l.talk
	if err := l.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.life.Store(l)
	go func() {
		defer close(l.gone)
		_ = l.cmd.Wait() // how it ended is seen by who asks
	}()
	return l
}

// taken tells whether the process ended because somebody else got its address
// while it was dead. That is the machine's doing, and passes.
func (l *life) taken() bool {
	return strings.Contains(l.talk.String(), "address already in use")
}

// up starts the service and waits until it says where it is.
func (s *service) up(ctx context.Context) {
	s.t.Helper()
	for {
		l := s.start(ctx)
		select {
		case s.address = <-l.greeted.address:
			return
		case <-l.gone:
		}
		if !l.taken() {
			s.t.Fatalf("the service does not start: %v\n%s", l.cmd.ProcessState, &l.talk)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// kill ends the service as a power cut would end it.
func (s *service) kill() {
	s.t.Helper()
	l := s.life.Load()
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
	<-l.gone
	end, _ := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if (!end.Signaled() || end.Signal() != syscall.SIGKILL) && !l.taken() {
		s.t.Fatalf("the service ended by itself: %v\n%s", l.cmd.ProcessState, &l.talk)
	}
}

// end ends the service as an operator does.
func (s *service) end() {
	s.t.Helper()
	l := s.life.Load()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	<-l.gone
	if code := l.cmd.ProcessState.ExitCode(); code != exitOK {
		s.t.Fatalf("the service ended with %d\n%s", code, &l.talk)
	}
}

func (s *service) audit(flags ...string) {
	s.t.Helper()
	if code, stdout, stderr := s.run(append([]string{"audit", "--data", s.dir}, flags...)...); code != exitOK {
		s.t.Fatalf("audit: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// clear takes from the objects what keeps them from being removed with the test.
func (s *service) clear() {
	if l := s.life.Load(); l != nil {
		<-l.gone // the test's context has ended, and it with it
		if s.t.Failed() {
			s.t.Logf("the service said last:\n%s", &l.talk)
		}
	}
	_ = exec.Command("chattr", "-R", "-f", "-i", s.dir).Run() // not every file system knows it
}

// lab is what happens around the service.
type lab struct {
	t        *testing.T
	service  *service
	machines string // directory
	key      ledger.VerifierKey
	desk     *operator.Operator // where the test itself looks
	people   sync.WaitGroup
	stop     chan struct{} // closed: finish what was begun, then go home
	large    atomic.Pointer[image]
	resumed  atomic.Int64 // uploads that went on behind their first byte
}

func newLab(ctx context.Context, t *testing.T, s *service) *lab {
	t.Helper()
	l := &lab{t: t, service: s, machines: t.TempDir(), stop: make(chan struct{})}
	l.desk = l.machine(ctx, "desk")
	l.key = l.desk.VerifierKey
	l.must(record(ctx, l.desk, evidence.CaseOpened{Reference: theCase, Title: "Theft of trade secrets", RetainDays: 1}))
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// work sets people to work. What goes wrong with one ends all.
func (l *lab) work(ctx context.Context, cancel func()) {
	start := func(name string, work func(context.Context, *operator.Operator, evidence.Name) error) {
		op := l.machine(ctx, name)
		l.people.Go(func() {
			if err := work(ctx, op, evidence.Name(name)); err != nil {
				l.t.Errorf("%s: %v", name, err)
				cancel()
			}
		})
	}
	for _, name := range []string{"ann", "bob", "cho"} {
		start(name, l.addExhibits)
	}
	start("dan", l.takeInSmall)
	start("eve", l.takeInLarge)
}

// complete demands that every image that was declared is sealed.
func (l *lab) complete(ctx context.Context) error {
	all, err := l.desk.Intakes(ctx, theCase)
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Intake.State != evidence.Sealed {
			l.t.Errorf("intake %s of %d bytes is %s", i.Intake.Intake, i.Intake.Size, i.Intake.State)
		}
	}
	l.t.Logf("%d images sealed, %d uploads resumed", len(all), l.resumed.Load())
	if len(all) == 0 || l.resumed.Load() == 0 {
		l.t.Error("that is too little for a test")
	}
	return nil
}

// judge holds every receipt that any machine has kept against the ledger.
func (l *lab) judge(ctx context.Context) {
	l.t.Helper()
	envelopes, roots, last := l.ledger(ctx)
	receipts, err := filepath.Glob(filepath.Join(l.machines, "*", "receipts", "*"))
	l.must(err)
	for _, path := range receipts {
		text, err := os.ReadFile(path)
		l.must(err)
		receipt, err := ledger.ParseReceipt(text)
		l.must(err)
		e, c, err := receipt.Verify(l.key)
		l.must(err)
		if e.Seq >= int64(len(envelopes)) || !bytes.Equal(envelopes[e.Seq], receipt.Envelope) {
			l.t.Errorf("entry %d of %s is not in the ledger", e.Seq, path)
		}
		if c.Size > last.Size || roots[c.Size-1] != c.Root {
			l.t.Errorf("the checkpoint of %d entries in %s is not of this ledger", c.Size, path)
		}
	}
	l.t.Logf("%d entries acknowledged, of %d", len(receipts), len(envelopes))
	if len(receipts) < kills {
		l.t.Error("that is too little for a test")
	}
}

// ledger gives every envelope that the dead service has left, the root of the tree
// with each as the last one, and the newest checkpoint.
func (l *lab) ledger(ctx context.Context) (envelopes [][]byte, roots []ledger.Hash, last ledger.Checkpoint) {
	l.t.Helper()
	data, err := openExisting(ctx, &settings{
		data: l.service.dir, signer: l.service.signer, signerWait: time.Second, logFormat: "text", logLevel: "error",
	})
	l.must(err)
	last = data.signer.Last()
	checker := ledger.NewChecker(l.key.Origin())
	l.must(data.db.View(ctx, func(tx *database.Tx) error {
		for {
			entries, err := tx.Entries(checker.Size(), 1000)
			if err != nil || len(entries) == 0 {
				return err
			}
			for _, e := range entries {
				if err := checker.Add(e.Envelope); err != nil {
					return err
				}
				envelopes, roots = append(envelopes, e.Envelope), append(roots, checker.Root())
			}
		}
	}))
	l.must(data.close())
	if last.Size > checker.Size() || roots[last.Size-1] != last.Root {
		l.t.Fatalf("the newest checkpoint, of %d entries, is not of this ledger", last.Size)
	}
	return envelopes, roots, last
}
