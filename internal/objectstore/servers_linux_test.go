package objectstore

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	testAccess = "custody-test"
	testSecret = "custody-test-secret"
)

// tool finds a server program that the build fetched.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("CUSTODYD_TOOLS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "custodyd", "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make tools", err)
	}
	return path
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // of no consequence
	return l.Addr().String()
}

// serve runs a server until the test ends and waits until url answers 200.
func serve(t *testing.T, cmd *exec.Cmd, url string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = t.TempDir()
	// A server does not outlive a test that was killed or timed out.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		defer close(exited)
		runtime.LockOSThread() // the signal comes when this thread ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		_ = log.Close()
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Close = true
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-exited:
			t.Fatalf("%s ended: %s", cmd.Path, readLog(log.Name()))
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not answer: %s", cmd.Path, readLog(log.Name()))
}

func readLog(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[:min(len(text), 4000)])
}

func startMinIO(t *testing.T) Config {
	t.Helper()
	addr := freePort(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), tool(t, "minio"), "server", "--quiet", "--address", addr, t.TempDir())
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+testAccess, "MINIO_ROOT_PASSWORD="+testSecret, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME="+t.TempDir())
	serve(t, cmd, fmt.Sprintf("http://%s/minio/health/ready", addr))
	return newBucket(t, addr)
}

func startVersity(t *testing.T) Config {
	t.Helper()
	addr := freePort(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), tool(t, "versitygw"), "--port", addr, "--health", "/health", "--quiet",
		"posix", "--versioning-dir", t.TempDir(), t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+testAccess, "ROOT_SECRET_KEY="+testSecret)
	serve(t, cmd, fmt.Sprintf("http://%s/health", addr))
	return newBucket(t, addr)
}

func newBucket(t *testing.T, addr string) Config {
	t.Helper()
	c := Config{Endpoint: addr, Bucket: "evidence", AccessKey: testAccess, SecretKey: testSecret}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := CreateBucket(t.Context(), c)
		if err == nil {
			return c
		}
		// MinIO says it is ready a moment before it is.
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "not initialized") {
			t.Fatal(err)
		}
	}
}
