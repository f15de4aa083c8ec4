package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
)

// custodyd is the real service, built once.
var custodyd string

func TestMain(m *testing.M) {
	if os.Getenv("TESTSCRIPT_COMMAND") == "" {
		dir, err := os.MkdirTemp("", "custodyd")
		if err != nil {
			panic(err)
		}
		custodyd = filepath.Join(dir, "custodyd")
	}
	testscript.Main(cleaned{m, filepath.Dir(custodyd)}, map[string]func(){"custody-cli": main})
}

// cleaned removes the built service after the tests.
type cleaned struct {
	m   *testing.M
	dir string
}

func (c cleaned) Run() int {
	defer func() { _ = os.RemoveAll(c.dir) }()
	return c.m.Run()
}

var buildOnce = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-o", custodyd, "../custodyd").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build custodyd: %w: %s", err, out)
	}
	return nil
})

// TestScripts runs the scripts in testdata, as a user types them, against the real
// service. Commands beside those of testscript:
//
//	keys NAME...             make SSH key pairs keys/NAME
//	image FILE SIZE [SEED]   make a file of random bytes
//	flip FILE OFFSET         change a byte
//	sum FILE VAR ALG         hash a file with a stock tool into $VAR
//	serve DIR [FLAG...]      start the service, whose address is $SERVER, key $VERIFIER
//	crash                    kill -9 it
//	proxy                    a proxy before the service, whose address is $PROXY
//	cut N                    it cuts every connection after N more bytes from the client
//	garble up|down N         it turns one bit, after N more bytes to or from the service
//	pass                     it cuts and garbles no more, and counts from here
//	passed MIN MAX           so many bytes went through to the service
//	forgetful N              a server before the service, whose address is $FORGETFUL,
//	                         that forgets N checks
//	authority NAME           start a time-stamping authority, at $NAME_URL, with its root in
//	                         NAME.pem and its line of a policy in NAME.line
//	authority NAME down|up   it cannot be reached, or can again
//	as NAME                  from here on the machine of that person
//	exec $CUSTODYD ARG...    another command of the service's program
//	clone DIR TO             copy the directory of a service, with its immutable attributes
//	calm DIR                 take the immutable attribute from what lies below
func TestScripts(t *testing.T) {
	if err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			l := &lab{}
			e.Values["lab"] = l
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("SSH_AUTH_SOCK", "")
			e.Setenv("CUSTODYD", custodyd)
			e.Setenv("GORACE", "atexit_sleep_ms=10") // with the race detector every command would end a second later
			e.Defer(func() {
				l.stop()
				calm(e.WorkDir)
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"keys": cmdKeys, "image": cmdImage, "flip": cmdFlip, "sum": cmdSum, "serve": cmdServe, "crash": cmdCrash,
			"proxy": cmdProxy, "cut": cmdCut, "garble": cmdGarble, "pass": cmdPass, "passed": cmdPassed, "as": cmdAs,
			"forgetful": cmdForgetful, "clone": cmdClone, "authority": cmdAuthority(t),
			"calm": func(ts *testscript.TestScript, _ bool, args []string) { calm(ts.MkAbs(args[0])) },
		},
	})
}

// lab is what runs during a script.
type lab struct {
	service *exec.Cmd
	address string
	proxy   *proxy
	tsas    map[string]*authoritytest.Authority
}

func labOf(ts *testscript.TestScript) *lab {
	l, ok := ts.Value("lab").(*lab)
	if !ok {
		ts.Fatalf("no lab")
	}
	return l
}

func (l *lab) stop() {
	if l.service != nil {
		_ = l.service.Process.Kill()
		_ = l.service.Wait()
		l.service = nil
	}
	if l.proxy != nil {
		_ = l.proxy.listener.Close()
		l.proxy = nil
	}
}

// calm lets write-once objects be removed with the rest of a test.
func calm(dir string) {
	_ = exec.Command("chattr", "-R", "-f", "-i", dir).Run()
	_ = exec.Command("chmod", "-R", "u+w", dir).Run()
}

func cmdKeys(ts *testscript.TestScript, _ bool, names []string) {
	ts.Check(os.MkdirAll(ts.MkAbs("keys"), 0o700))
	for _, name := range names {
		ts.Check(ts.Exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", ts.MkAbs("keys/"+name)))
	}
}

func cmdImage(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	seed := sha256.Sum256([]byte(strings.Join(args[1:], " ")))
	file, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(file, rand.NewChaCha8(seed), size)
	ts.Check(err)
	ts.Check(file.Close())
}

func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	content[offset] ^= 1
	ts.Check(os.WriteFile(path, content, 0o600))
}

func cmdSum(ts *testscript.TestScript, _ bool, args []string) {
	out, err := exec.Command(args[2]+"sum", ts.MkAbs(args[0])).Output()
	ts.Check(err)
	ts.Setenv(args[1], strings.Fields(string(out))[0])
}

func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	l := labOf(ts)
	if l.service != nil {
		ts.Fatalf("the service runs already")
	}
	listen := l.address
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	out, err := os.Create(ts.MkAbs("serve.out"))
	ts.Check(err)
	log, err := os.OpenFile(ts.MkAbs("serve.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	flags := append([]string{"serve", "--data", ts.MkAbs(args[0]), "--listen", listen}, args[1:]...)
	for i, f := range flags {
		if strings.HasPrefix(f, "keys/") {
			flags[i] = ts.MkAbs(f)
		}
	}
	l.service = exec.Command(custodyd, flags...)
	l.service.Stdout, l.service.Stderr = out, log
	l.service.Env = append(os.Environ(), "HOME="+ts.MkAbs("."))
	ts.Check(l.service.Start())
	for range 200 {
		text, err := os.ReadFile(ts.MkAbs("serve.out"))
		ts.Check(err)
		found := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 2 {
				found[f[0]] = f[1]
			}
		}
		if found["address"] != "" && found["verifier"] != "" {
			l.address = strings.TrimPrefix(found["address"], "http://")
			ts.Setenv("SERVER", found["address"])
			ts.Setenv("VERIFIER", found["verifier"])
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("the service does not start: %s", ts.ReadFile("serve.log"))
}

func cmdCrash(ts *testscript.TestScript, _ bool, _ []string) {
	l := labOf(ts)
	ts.Check(l.service.Process.Kill())
	_ = l.service.Wait()
	l.service = nil
}

func cmdClone(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("cp", "-r", ts.MkAbs(args[0]), ts.MkAbs(args[1])))
	locked, err := filepath.Glob(filepath.Join(ts.MkAbs(args[1]), "objects", "objects", "*"))
	ts.Check(err)
	_ = exec.Command("chattr", append([]string{"-f", "+i"}, locked...)...).Run() // as far as the service itself may
}

func cmdAs(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("CUSTODY_CONFIG", ts.MkAbs("machines/"+args[0]))
}

// proxy stands between client and service, counts what the client sends, cuts and
// garbles.
type proxy struct {
	listener net.Listener
	left     atomic.Int64 // bytes until the cut
	sent     atomic.Int64
	up, down garbler
}

// garbler turns one bit of what passes, once.
type garbler struct{ left atomic.Int64 }

func (g *garbler) pass(b []byte) {
	after := g.left.Add(-int64(len(b)))
	if before := after + int64(len(b)); before >= 0 && after < 0 {
		b[before] ^= 0x10
	}
}

const never = 1 << 62

func cmdProxy(ts *testscript.TestScript, _ bool, _ []string) {
	l := labOf(ts)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	l.proxy = &proxy{listener: listener}
	for _, left := range []*atomic.Int64{&l.proxy.left, &l.proxy.up.left, &l.proxy.down.left} {
		left.Store(never)
	}
	ts.Setenv("PROXY", "http://"+listener.Addr().String())
	go l.proxy.run(l.address)
}

func (p *proxy) run(to string) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }() // it may be cut already
			server, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }() // likewise
			go func() {
				defer func() { _ = conn.Close() }() // likewise
				buf := make([]byte, 16<<10)
				for {
					n, err := server.Read(buf)
					p.down.pass(buf[:n])
					if _, writeErr := conn.Write(buf[:n]); err != nil || writeErr != nil {
						return
					}
				}
			}()
			buf := make([]byte, 16<<10)
			for {
				n, err := conn.Read(buf)
				if p.left.Add(-int64(n)) < 0 || err != nil {
					return
				}
				p.up.pass(buf[:n])
				if _, err := server.Write(buf[:n]); err != nil {
					return
				}
				p.sent.Add(int64(n))
			}
		}()
	}
}

func cmdCut(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	labOf(ts).proxy.left.Store(n)
}

func cmdGarble(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	p := labOf(ts).proxy
	map[string]*garbler{"up": &p.up, "down": &p.down}[args[0]].left.Store(n)
}

func cmdPass(ts *testscript.TestScript, _ bool, _ []string) {
	p := labOf(ts).proxy
	p.left.Store(never)
	p.up.left.Store(never)
	p.down.left.Store(never)
	p.sent.Store(0)
}

func cmdPassed(ts *testscript.TestScript, _ bool, args []string) {
	least, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	most, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if n := labOf(ts).proxy.sent.Load(); n < least || n > most {
		ts.Fatalf("%d bytes went through, want %d to %d", n, least, most)
	}
}

// TestLiveMeter: on a terminal progress is one line that is drawn again.
func TestLiveMeter(t *testing.T) {
	var b bytes.Buffer
	m := (&app{stderr: &b}).meter("uploaded", 100<<20)
	m.live, m.every = true, 0
	m.set(50 << 20)
	m.set(100 << 20)
	m.done()
	lines := strings.Split(b.String(), "\r\x1b[K")
	if len(lines) != 4 || lines[0] != "" || lines[3] != "" ||
		!strings.HasPrefix(lines[1], "[###############...............] uploaded 50.0 MiB of 100.0 MiB, ") ||
		!strings.HasPrefix(lines[2], "[##############################] uploaded 100.0 MiB of 100.0 MiB, ") {
		t.Errorf("%q", lines)
	}
}

// TestQuietMeter: without a terminal progress is lines, and quiet is silent.
func TestQuietMeter(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		var b bytes.Buffer
		a := &app{stderr: &b, quiet: quiet}
		m := a.meter("uploaded", 100<<20)
		m.said = m.said.Add(-time.Minute)
		m.set(10 << 20)
		m.done()
		if got := b.String(); (got == "") != quiet || !quiet && !strings.HasPrefix(got, "custody-cli: uploaded 10.0 MiB of 100.0 MiB") {
			t.Errorf("quiet %v: %q", quiet, got)
		}
	}
}
