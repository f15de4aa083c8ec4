package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/timestamp"
	"github.com/custodyd/custodyd/internal/witness"
)

// outsideEvery is how often those outside are asked: as often as custodyd serve lets one.
const outsideEvery = time.Second

// keyName is the file of a ledger's secret key: a witness has to know the ledger before
// the ledger is made.
const keyName = "ledger.key"

// outsiders are two witnesses and an authority, each a process of its own.
type outsiders struct {
	servers []*process
	texts   []string // who they are, as custodyd serve takes it
}

// What a witness and the authority say when they serve.
var (
	witnessGreeting   = regexp.MustCompile(`(?m)^ *address *(\S+)\n *witness *(\S+)\n`)
	authorityGreeting = regexp.MustCompile(`(?m)^(authority \S+ .+)\n`)
)

// newOutsiders starts those outside of the ledger whose secret key is in the directory.
func (b *bench) newOutsiders(ctx context.Context, dir string, key ledger.VerifierKey) (o *outsiders, err error) {
	o = &outsiders{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.stop())
		}
	}()
	// In a lab they are other machines, so here they take what the ledger leaves of the
	// processor. The disk they share.
	begin := func(name string, says *regexp.Regexp, argv ...string) ([]string, error) {
		p, err := b.start(ctx, name, filepath.Join(dir, name+".log"), nil, append([]string{"nice", "-n", "19"}, argv...)...)
		if err != nil {
			return nil, err
		}
		o.servers = append(o.servers, p)
		return p.says(ctx, says)
	}
	for _, name := range []string{"north", "south"} {
		said, err := begin(name, witnessGreeting, filepath.Join(b.bin, "custodyd"), "witness", "--state", filepath.Join(dir, name),
			"--name", name+".example/w", "--log", key.String(), "--listen", "127.0.0.1:0")
		if err != nil {
			return o, err
		}
		o.texts = append(o.texts, said[1]+" "+said[0])
	}
	said, err := begin("authority", authorityGreeting, b.self, "authority", dir)
	if err != nil {
		return o, err
	}
	o.texts = append(o.texts, said[0])
	return o, nil
}

// cpu is what they have spent so far.
func (o *outsiders) cpu() (sum time.Duration, err error) {
	for _, p := range o.servers {
		spent, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += spent
	}
	return sum, nil
}

func (o *outsiders) stop() (err error) {
	for _, p := range o.servers {
		err = errors.Join(err, p.stop())
	}
	return err
}

// outside is who a ledger asks; nobody, if zero.
type outside struct {
	witnesses   []witness.Endpoint
	authorities []*authority.Authority
}

// parseOutside reads a witness as "VKEY URL" and an authority as "NAME URL ROOTS.pem".
func parseOutside(texts []string) (outside, error) {
	var o outside
	for _, text := range texts {
		words := strings.SplitN(text, " ", 3)
		if len(words) != 3 {
			e, err := witness.ParseEndpoint(text)
			if err != nil {
				return outside{}, err
			}
			o.witnesses = append(o.witnesses, e)
			continue
		}
		pem, err := os.ReadFile(words[2]) //nolint:gosec // The table names it.
		if err != nil {
			return outside{}, err
		}
		roots, err := timestamp.ParseRoots(pem)
		if err != nil {
			return outside{}, err
		}
		a, err := authority.New(words[0], words[1], roots, time.Now)
		if err != nil {
			return outside{}, err
		}
		o.authorities = append(o.authorities, a)
	}
	return o, nil
}

// newLedgerKey makes the key of a ledger in a directory.
func newLedgerKey(dir string) (ledger.VerifierKey, error) {
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		return ledger.VerifierKey{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, keyName), []byte(skey), 0o600); err != nil {
		return ledger.VerifierKey{}, err
	}
	return ledger.ParseVerifierKey(vkey)
}

// stamps is a time-stamping authority with a root, an intermediate and revocation
// lists; the root's certificate is in the directory. It serves until it is told to end.
func stamps(ctx context.Context, args []string, out io.Writer) error {
	if err := arguments(args, "DIR"); err != nil {
		return err
	}
	p := &program{dir: args[0]}
	defer p.clean()
	a := authoritytest.New(p, "authority")
	if _, err := fmt.Fprintln(out, "authority", a.URL, a.RootFile); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// program is what an authority needs of a test, outside of tests.
type program struct {
	dir      string
	cleanups []func()
}

func (*program) Helper()            {}
func (*program) Fatal(args ...any)  { panic(fmt.Sprint(args...)) }
func (p *program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }
func (p *program) TempDir() string  { return p.dir }

func (p *program) clean() {
	for _, f := range p.cleanups {
		f()
	}
}
