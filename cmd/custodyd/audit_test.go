package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	_ "github.com/mattn/go-sqlite3" // the hand behind the service's back

	"github.com/custodyd/custodyd/internal/custody"
)

// program is the command as it is installed.
type program struct {
	t    *testing.T
	path string
}

func build(t *testing.T) program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "custodyd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program{t, path}
}

// run runs the program to its end.
func (p program) run(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	var out, talk bytes.Buffer
	cmd := exec.CommandContext(p.t.Context(), p.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), talk.String()
}

// serve starts the service and waits until it says where it is. stop ends it.
func (p program) serve(dir string) (stop func()) {
	p.t.Helper()
	p.t.Cleanup(func() { // what keeps the objects from being removed with the test
		_ = exec.Command("chattr", "-R", "-f", "-i", dir).Run()
	})
	cmd := exec.CommandContext(p.t.Context(), p.path, "serve", "--data", dir, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			p.t.Fatalf("serve ended: %v, %v", err, cmd.Wait())
		}
		if strings.Contains(line, "address") {
			break
		}
	}
	return func() {
		p.t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			p.t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, lines); err != nil {
			p.t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			p.t.Fatalf("serve: %v", err)
		}
	}
}

// TestAudit: the exit codes, and what is said with them.
func TestAudit(t *testing.T) {
	p := build(t)
	dir := filepath.Join(t.TempDir(), "data")
	want := func(code int, in string, args ...string) (stdout string) {
		t.Helper()
		got, stdout, stderr := p.run(append([]string{"audit", "--data", dir}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, in) {
			t.Fatalf("exit %d, want %d and %q:\n%s%s", got, code, in, stdout, stderr)
		}
		return stdout
	}
	want(exitError, "no custodyd data directory")
	stop := p.serve(dir)
	want(exitError, "the service is running")
	stop()
	before := snapshot(t, dir)
	want(exitOK, "findings: 0\n", "--contents")
	if after := snapshot(t, dir); after != before {
		t.Errorf("the audit changed something, before:\n%s\nafter:\n%s", before, after)
	}

	var r custody.AuditReport
	if err := json.Unmarshal([]byte(want(exitOK, "", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Entries != 3 || r.Signed != 3 || r.Findings == nil || len(r.Findings) > 0 || r.Contents {
		t.Errorf("report %+v", r)
	}

	object := filepath.Join(dir, "objects", "objects", "holiday.jpg")
	if err := os.WriteFile(object, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(exitFinding, "WRONG  object holiday.jpg: object-unknown: ")
	if err := os.Remove(object); err != nil {
		t.Fatal(err)
	}
	tamper(t, dir, "UPDATE people SET doc = replace(doc, '\"name\":\"admin\"', '\"name\":\"nobody\"')")
	if err := json.Unmarshal([]byte(want(exitFinding, "", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 1 || r.Findings[0].Code != custody.CodeRowDiffers || r.Findings[0].Subject != "table people, row admin" {
		t.Errorf("findings %v", r.Findings)
	}
	tamper(t, dir, "DROP TRIGGER entries_delete")
	want(exitFinding, "WRONG  database: database-damaged: ")
	want(exitError, "unknown flag", "--mend")

	objects := filepath.Join(dir, "objects", "objects")
	for _, row := range []struct{ path, in string }{
		{filepath.Join(dir, "objects", "custodyd-objects"), "WRONG  store: store-damaged: "},
		{filepath.Join(dir, markerFile), "WRONG  file custodyd: data-damaged: "},
		{filepath.Join(dir, dbFile), "WRONG  database: database-damaged: "},
	} {
		text, err := os.ReadFile(row.path)
		if err == nil {
			err = os.WriteFile(row.path, make([]byte, len(text)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		want(exitFinding, row.in)
		if err := os.WriteFile(row.path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	want(exitFinding, "WRONG  store: store-damaged: ")
}

// snapshot tells of every file and folder when it was changed.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir || strings.HasPrefix(path, filepath.Join(dir, dbFile)+"-") {
			return err // SQLite makes files beside the database while it reads
		}
		info, err := d.Info()
		if err == nil {
			_, _ = fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tamper(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
