package main

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
)

// startMinIO runs a real store until the test ends, and has the settings name it.
func startMinIO(t *testing.T) {
	t.Helper()
	tools := os.Getenv("CUSTODYD_TOOLS")
	if tools == "" {
		cache, err := os.UserCacheDir()
		must(t, err)
		tools = filepath.Join(cache, "custodyd", "bin")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	cmd := exec.CommandContext(t.Context(), filepath.Join(tools, "minio"), "server", "--address", address, t.TempDir())
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER=custody-test", "MINIO_ROOT_PASSWORD=custody-test-secret")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test be killed
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it is killed
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/minio/health/ready", nil)
		must(t, err)
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			must(t, answer.Body.Close())
			if answer.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("MinIO does not answer: %v", err)
		}
	}
	for name, value := range map[string]string{
		envAccessKey: "custody-test", envSecretKey: "custody-test-secret", "CUSTODYD_S3_ENDPOINT": address,
		"CUSTODYD_S3_BUCKET": "evidence", "CUSTODYD_S3_PLAIN_HTTP": "true", "CUSTODYD_S3_CREATE_BUCKET": "true",
	} {
		t.Setenv(name, value)
	}
}

// TestRebuildFromS3 loses everything but three files of keys and the bucket.
func TestRebuildFromS3(t *testing.T) {
	startMinIO(t)
	p := build(t)
	root := t.TempDir()
	old, fresh, again := filepath.Join(root, "old"), filepath.Join(root, "fresh"), filepath.Join(root, "again")
	p.serve(old)()
	code, _, stderr := p.run("backup", "--data", old, "--out", again)
	if code != exitOK {
		t.Fatalf("backup: exit %d: %s", code, stderr)
	}
	p.serve(old)()
	carry(t, old, fresh, keyFile, serviceFile, serviceFile+".pub")
	code, stdout, stderr := p.run("rebuild", "--from-store", "--signatures", "--data", fresh, "--json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var r custody.RebuildReport
	must(t, json.Unmarshal([]byte(stdout), &r))
	if r.Entries != 4 || len(r.Notes) != 0 {
		t.Errorf("rebuilt %+v", r)
	}
	if code, stdout, _ = p.run("audit", "--data", fresh, "--contents"); code != exitOK {
		t.Errorf("audit: exit %d: %s", code, stdout)
	}
	p.serve(fresh)()
	// Another bucket's name is told as that.
	t.Setenv("CUSTODYD_S3_CREATE_BUCKET", "false")
	for command, want := range map[string]string{"serve --listen 127.0.0.1:0": "--with-lock", "check": "--s3-create-bucket", "rebuild --from-store": "--s3-bucket"} {
		dir := filepath.Join(root, "none")
		carry(t, old, dir, keyFile, serviceFile)
		if !strings.HasPrefix(command, "rebuild") {
			dir = filepath.Join(root, "new")
		}
		args := append(strings.Fields(command), "--data", dir, "--s3-bucket", "nothing-here")
		code, stdout, stderr := p.run(args...)
		if said := stdout + stderr; code == exitOK || !strings.Contains(said, "the bucket does not exist") || !strings.Contains(said, want) {
			t.Errorf("%s: exit %d, want %q:\n%s", command, code, want, said)
		}
	}
	// The database that was lost comes back, and everything of it with it: the bucket is ahead.
	if code, _, stderr = p.run("serve", "--data", old, "--listen", "127.0.0.1:0"); code != exitFinding || !strings.Contains(stderr, "rebuild --from-store") {
		t.Errorf("the old one is served: exit %d: %s", code, cmp.Or(stderr, "nothing said"))
	}
	kept, err := filepath.Glob(filepath.Join(old, "conflict-*"))
	must(t, err)
	if len(kept) != 2 {
		t.Errorf("kept %q", kept)
	}
}
