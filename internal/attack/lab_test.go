package attack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// programs is where TestMain builds custodyd and custody-cli.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "attack")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		calm(dir)
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	programs = filepath.Join(dir, "bin")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", programs+"/", "../../cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	template.dir = filepath.Join(dir, "lab")
	return m.Run()
}

// calm takes the immutable attribute, where root has set it, from what is below a folder.
func calm(dir string) {
	_ = exec.CommandContext(context.Background(), "chattr", "-R", "-f", "-i", dir).Run()
}

// A lab is a service with its people, all on one folder: data is the service's,
// people/NAME the configuration of each person's machine, keys the SSH keys.
type lab struct {
	t       *testing.T
	dir     string
	address string   // the service's, the same in every copy of a lab
	vkey    string   // the ledger's verifier key
	with    []string // further flags of the service
	env     []string // and variables
	service *daemon

	elsewhere []string // how the witness is started; STATE is its folder
}

// template is the lab that every attack begins with: two cases, of which 2026-0042 has
// a sealed image and a working copy, and its bundle case.zip.
var template lab

// begin copies the template, made for the first caller.
func begin(t *testing.T) *lab {
	t.Helper()
	if template.vkey == "" {
		establish(t, &template)
	}
	return template.copy(t)
}

func establish(t *testing.T, l *lab, with ...string) {
	t.Helper()
	l.t, l.with = t, with
	calm(l.dir)
	must(t, os.RemoveAll(l.dir)) // what an earlier attempt left
	must(t, os.MkdirAll(l.path("keys"), 0o700))
	l.address = free(t)
	for _, who := range []string{"examiner1", "analyst1"} {
		l.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", l.path("keys", who))
	}
	l.up("--origin", "lab.example/custody", "--retain-days", "1",
		"--admin-key", l.path("keys", "examiner1.pub"), "--admin-principal", "examiner1")
	l.vkey = regexp.MustCompile(`verifier +(\S+)`).FindStringSubmatch(l.service.said)[1]
	l.setup("examiner1")
	l.must("examiner1", "person", "enrol", "--principal", "analyst1", "--name", "Anton Analyst", "--role", "analyst", "--key", l.path("keys", "analyst1.pub"))
	l.setup("analyst1")
	for _, reference := range []string{"2026-0041", "2026-0042"} {
		l.must("examiner1", "case", "open", "--reference", reference, "--title", "Theft of trade secrets")
	}
	l.must("examiner1", "exhibit", "add", "--case", "2026-0042", "--label", "E-001", "--kind", "disk",
		"--found-by", "Erika Examiner", "--found-at", "Office 3.12", "--witness", "Wilhelm Witness")
	l.write("disk.dd", image(100_000))
	l.must("examiner1", "ingest", "--exhibit", "2026-0042/E-001", "--tool", "dc3dd 7.2.646", "--witness", "Wilhelm Witness", "--place", "Lab 2", l.path("disk.dd"))
	l.must("examiner1", "copy", "issue", "2026-0042/E-001", "--to", "analyst1", "--purpose", "search")
	l.must("examiner1", "export", "2026-0042", "-o", l.path("case.zip"))
	l.down()
}

// free is an address that nobody serves on.
func free(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	return listener.Addr().String()
}

// image is bytes that do not repeat.
func image(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*i>>8 ^ i)
	}
	return b
}

// copy gives the lab again, elsewhere: its service must be down.
func (l *lab) copy(t *testing.T) *lab {
	t.Helper()
	c := &lab{t: t, dir: filepath.Join(t.TempDir(), "lab"), address: l.address, vkey: l.vkey, with: l.with, elsewhere: l.elsewhere}
	t.Cleanup(func() { calm(c.dir) })
	c.run("cp", "-a", l.dir, c.dir)
	// cp does not take the immutable attribute along.
	held, err := exec.CommandContext(t.Context(), "lsattr", "-R", l.path("data")).Output()
	must(t, err)
	for line := range strings.Lines(string(held)) {
		attributes, path, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && strings.Contains(attributes, "i") {
			c.run("chattr", "+i", filepath.Join(c.dir, strings.TrimPrefix(path, l.dir)))
		}
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lab) path(names ...string) string {
	return filepath.Join(append([]string{l.dir}, names...)...)
}

func (l *lab) write(name string, content []byte) {
	l.t.Helper()
	must(l.t, os.WriteFile(l.path(name), content, 0o600))
}

// run runs a stock program, which must succeed, and gives what it printed.
func (l *lab) run(program string, args ...string) string {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), program, args...)
	cmd.Dir = filepath.Dir(l.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// result is what a program of ours came to.
type result struct {
	code           int
	stdout, stderr string
}

func (l *lab) program(env []string, name string, args ...string) result {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
	cmd.Dir, cmd.Env = l.dir, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// cli is custody-cli as somebody runs it, on a machine of that name.
func (l *lab) cli(who string, args ...string) result {
	l.t.Helper()
	return l.program([]string{"CUSTODY_CONFIG=" + l.path("people", who)}, "custody-cli", args...)
}

func (l *lab) must(who string, args ...string) string {
	l.t.Helper()
	r := l.cli(who, args...)
	if r.code != 0 {
		l.t.Fatalf("custody-cli %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// refused demands an exit code, and words on stderr.
func (l *lab) refused(who string, code int, words string, args ...string) {
	l.t.Helper()
	r := l.cli(who, args...)
	if r.code != code || !strings.Contains(r.stderr, words) {
		l.t.Fatalf("custody-cli %s: exit code %d, want %d and %q\n%s", strings.Join(args, " "), r.code, code, words, r.stderr)
	}
}

func (l *lab) setup(who string) {
	l.t.Helper()
	as := who
	if who == "newcomer" { // the examiner on a new machine
		as = "examiner1"
	}
	l.must(who, "setup", "--server", "http://"+l.address, "--principal", as, "--key", l.path("keys", as), "--verifier-key", l.vkey)
}

// daemon is a program of ours that serves.
type daemon struct {
	cmd   *exec.Cmd
	said  string     // what it printed when it was up
	ended chan error // tells how it ended, once
}

// start starts a program and waits until it has said a word. The error is how it ended
// instead.
func (l *lab) start(word, name string, args ...string) (*daemon, error) {
	l.t.Helper()
	d := &daemon{cmd: exec.CommandContext(context.WithoutCancel(l.t.Context()), filepath.Join(programs, name), args...), ended: make(chan error, 1)}
	d.cmd.Env = append(os.Environ(), l.env...)
	var stderr bytes.Buffer
	out, err := d.cmd.StdoutPipe()
	must(l.t, err)
	d.cmd.Stderr = &stderr
	must(l.t, d.cmd.Start())
	said := make(chan string, 1)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), word) {
				said <- text.String()
				break
			}
		}
		_, err := io.Copy(io.Discard, out)
		if err := errors.Join(err, d.cmd.Wait()); err != nil {
			d.ended <- fmt.Errorf("%w: %s", err, &stderr)
			return
		}
		d.ended <- fmt.Errorf("it ended: %s", &stderr)
	}()
	select {
	case d.said = <-said:
		return d, nil
	case err := <-d.ended:
		return nil, err
	case <-time.After(time.Minute):
		l.t.Fatalf("%s does not start", name)
		return nil, nil
	}
}

// stop stops a program as an operator does.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	must(t, d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case how := <-d.ended:
		t.Log("it ended:", strings.Count(how.Error(), "\n"), "lines of log")
	case <-time.After(time.Minute):
		t.Fatalf("%s does not end", d.cmd.Path)
	}
}

func (l *lab) serve(flags ...string) (*daemon, error) {
	l.t.Helper()
	return l.start("store ", "custodyd", slices.Concat([]string{"serve", "--data", l.path("data"), "--listen", l.address}, l.with, flags)...)
}

// up starts the service, which must succeed. It ends with the test at the latest.
func (l *lab) up(flags ...string) {
	l.t.Helper()
	d, err := l.serve(flags...)
	if err != nil {
		l.t.Fatalf("the service does not start: %v", err)
	}
	l.service = d
	l.t.Cleanup(func() {
		if l.service == d {
			l.down()
		}
	})
}

// refuses starts the service, which must end with these words.
func (l *lab) refuses(words string, flags ...string) {
	l.t.Helper()
	d, err := l.serve(flags...)
	if err == nil {
		d.stop(l.t)
		l.t.Fatalf("the service started, it should have said %q", words)
	}
	if !strings.Contains(err.Error(), words) {
		l.t.Fatalf("the service said %v, it should have said %q", err, words)
	}
}

func (l *lab) down() {
	l.t.Helper()
	l.service.stop(l.t)
	l.service = nil
}

// alarmed demands that the running service finds this by itself, writes nothing more,
// and goes on to answer.
func (l *lab) alarmed(code string) {
	l.t.Helper()
	var said string
	for range 300 {
		said = l.get("/readyz")
		if strings.Contains(said, code) {
			l.refused("examiner1", 7, "stopped", "case", "open", "--reference", "2026-0060", "--title", "T")
			l.must("examiner1", "case", "list")
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.t.Fatalf("no alarm about %s: %s", code, said)
}

// get is what the service answers anybody.
func (l *lab) get(path string) string {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://"+l.address+path, nil)
	must(l.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(l.t, err)
	body, err := io.ReadAll(resp.Body)
	must(l.t, errors.Join(err, resp.Body.Close()))
	return string(body)
}

// codes are the findings in a report as JSON, sorted, each once.
func codes(t *testing.T, report string) []string {
	t.Helper()
	var r struct {
		Findings []struct {
			Code string `json:"code"`
		} `json:"findings"`
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatalf("%v in %s", err, report)
	}
	var found []string
	for _, f := range r.Findings {
		found = append(found, f.Code)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// audit demands that custodyd audit --contents finds these, and perhaps what follows
// from them; without any, that it finds nothing.
func (l *lab) audit(want ...string) {
	l.t.Helper()
	args := []string{"audit", "--data", l.path("data"), "--contents", "--json"}
	if i := slices.Index(l.with, "--s3-endpoint"); i >= 0 {
		args = append(args, l.with[i:i+5]...) // those of the store
	}
	r := l.program(l.env, "custodyd", args...)
	found := codes(l.t, r.stdout)
	if missing(found, want) {
		l.t.Fatalf("the audit found %v, want %v\n%s\n%s", found, want, r.stdout, r.stderr)
	}
	if wantCode := min(len(want), 1); r.code != wantCode {
		l.t.Fatalf("the audit's exit code is %d, want %d\n%s", r.code, wantCode, r.stderr)
	}
}

// missing tells whether a finding that was wanted is not there, or one where none was.
func missing(found, want []string) bool {
	return len(want) == 0 && len(found) > 0 ||
		slices.ContainsFunc(want, func(code string) bool { return !slices.Contains(found, code) })
}

// verify demands that custody-cli verify finds these in a bundle, on the examiner's
// machine with its policy, and the exit code that belongs to them; without any, that
// it finds nothing.
func (l *lab) verify(bundle string, want ...string) {
	l.t.Helper()
	l.judge("examiner1", min(len(want), 1), bundle, want...)
}

func (l *lab) judge(who string, code int, bundle string, want ...string) {
	l.t.Helper()
	args := []string{"verify", "--json", bundle}
	var codesWanted []string
	for _, w := range want {
		if strings.HasPrefix(w, "--") {
			args = append(args, w)
		} else {
			codesWanted = append(codesWanted, w)
		}
	}
	want = codesWanted
	r := l.cli(who, args...)
	if found := codes(l.t, r.stdout); missing(found, want) || r.code != code {
		l.t.Fatalf("verify found %v with exit code %d, want %v with %d\n%s\n%s", found, r.code, want, code, r.stdout, r.stderr)
	}
}

// unpack gives the folder of a bundle's bag.
func (l *lab) unpack(bundle string) string {
	l.t.Helper()
	dir := bundle + ".unpacked"
	l.run("unzip", "-q", bundle, "-d", dir)
	return filepath.Join(dir, "2026-0042")
}

// mend makes the lists of hashes of a bag agree with its files again.
func (l *lab) mend(bag string) {
	l.t.Helper()
	l.run("sh", "-c", `cd "$1" && find data -type f | LC_ALL=C sort | xargs sha256sum > manifest-sha256.txt &&
		bytes=$(find data -type f -printf '%s\n' | awk '{ n += $1 } END { print n }') && files=$(find data -type f | wc -l) &&
		sed -i "s/^Payload-Oxum: .*/Payload-Oxum: $bytes.$files/" bag-info.txt &&
		sha256sum bag-info.txt bagit.txt manifest-sha256.txt > tagmanifest-sha256.txt`, "mend", bag)
}

// objects are the files of the store whose names have these words in them.
func (l *lab) objects(words string) []string {
	l.t.Helper()
	var found []string
	must(l.t, filepath.WalkDir(l.path("data", "objects"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), words) {
			found = append(found, path)
		}
		return err
	}))
	return found
}
