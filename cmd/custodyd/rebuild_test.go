package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
)

// carry copies files of a data directory into another.
func carry(t *testing.T, from, to string, names ...string) {
	t.Helper()
	must(t, os.MkdirAll(to, 0o700))
	for _, name := range names {
		out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(from, name), to+"/").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Cleanup(func() { unlock(to) })
}

// unlock lets a data directory be removed.
func unlock(dir string) { _ = exec.Command("chattr", "-R", "-i", dir).Run() }

// TestRebuildCommand loses a data directory but for its keys and objects.
func TestRebuildCommand(t *testing.T) {
	p := build(t)
	root := t.TempDir()
	old, fresh := filepath.Join(root, "old"), filepath.Join(root, "fresh")
	t.Cleanup(func() { unlock(old) })
	p.serve(old)()
	p.serve(old)()
	carry(t, old, fresh, keyFile, serviceFile, serviceFile+".pub", objectsPath)

	code, _, stderr := p.run("rebuild", "--data", fresh)
	if code != exitError || !strings.Contains(stderr, "--from-store") {
		t.Errorf("without --from-store: exit %d: %s", code, stderr)
	}
	code, _, stderr = p.run("rebuild", "--from-store", "--data", old)
	if code != exitError || !strings.Contains(stderr, "holds a ledger already") {
		t.Errorf("over a ledger: exit %d: %s", code, stderr)
	}
	must(t, os.WriteFile(filepath.Join(fresh, dbFile), nil, 0o600))
	code, _, stderr = p.run("rebuild", "--from-store", "--data", fresh)
	if code != exitError || !strings.Contains(stderr, "move them away") {
		t.Errorf("over a database: exit %d: %s", code, stderr)
	}
	must(t, os.Rename(filepath.Join(fresh, dbFile), filepath.Join(fresh, dbFile+".new"))) // as if it had been killed
	code, stdout, stderr := p.run("rebuild", "--from-store", "--data", fresh, "--json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var r custody.RebuildReport
	must(t, json.Unmarshal([]byte(stdout), &r))
	if r.Entries != 4 || r.Entries != entries(t, fresh) || r.Notes == nil {
		t.Errorf("rebuilt %+v", r)
	}
	if r.Unlocked > 0 { // the copy has lost the immutable attribute
		if code, stdout, _ = p.run("audit", "--data", fresh); code != exitFinding || !strings.Contains(stdout, "chattr +i") {
			t.Errorf("audit of a copy: exit %d: %s", code, stdout)
		}
		must(t, exec.CommandContext(t.Context(), "chattr", "-R", "+i", filepath.Join(fresh, objectsPath, "objects")).Run())
		must(t, exec.CommandContext(t.Context(), "chattr", "-i", filepath.Join(fresh, objectsPath, "objects")).Run())
	}
	if code, stdout, _ = p.run("audit", "--data", fresh, "--contents"); code != exitOK {
		t.Errorf("audit: exit %d: %s", code, stdout)
	}
	p.serve(fresh)()
	if n := entries(t, fresh); n != 5 {
		t.Errorf("%d entries after a start", n)
	}
}

// TestBackup copies a ledger while it is served, and tries to go on from the copy.
func TestBackup(t *testing.T) {
	p := build(t)
	root := t.TempDir()
	dir, copied := filepath.Join(root, "data"), filepath.Join(root, "backup")
	t.Cleanup(func() { unlock(dir) })
	stop := p.serve(dir)
	code, stdout, stderr := p.run("backup", "--data", dir, "--out", copied, "--json")
	stop()
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var r backupReport
	must(t, json.Unmarshal([]byte(stdout), &r))
	if r.Entries != 3 || r.Signed == 0 || r.Origin == "" {
		t.Errorf("copied %+v", r)
	}
	left, err := os.ReadDir(copied)
	must(t, err)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "custodyd ledger.db" {
		t.Errorf("the backup holds %s", got)
	}
	if code, _, stderr = p.run("backup", "--data", dir, "--out", copied); code != exitError || !strings.Contains(stderr, "exists") {
		t.Errorf("over a backup: exit %d: %s", code, stderr)
	}
	if code, _, _ = p.run("backup", "--data", copied+"/none", "--out", copied+"2"); code != exitError {
		t.Errorf("of nothing: exit %d", code)
	}
	if _, err := os.Lstat(copied + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup that failed left %v", err)
	}

	// What was recorded since is known to the signer, and to the store.
	p.serve(dir)()
	carry(t, dir, copied, keyFile, stateFile, serviceFile, serviceFile+".pub", objectsPath)
	if code, _, stderr = p.run("serve", "--data", copied, "--listen", "127.0.0.1:0"); code != exitFinding || !strings.Contains(stderr, "were signed") {
		t.Errorf("the signer lets it go on: exit %d: %s", code, stderr)
	}
	skey, err := os.ReadFile(filepath.Join(dir, keyFile))
	must(t, err)
	db, err := database.OpenAsIs(t.Context(), filepath.Join(copied, dbFile))
	must(t, err)
	var note []byte
	must(t, db.View(t.Context(), func(tx *database.Tx) (err error) {
		_, note, err = tx.LastCheckpoint()
		return err
	}))
	must(t, db.Close())
	must(t, os.Remove(filepath.Join(copied, stateFile)))
	signer, err := ledger.RestoreSigner(filepath.Join(copied, stateFile), strings.TrimSpace(string(skey)), note)
	must(t, err)
	must(t, signer.Close())
	for range 3 { // as often as a supervisor likes
		code, _, stderr = p.run("serve", "--data", copied, "--listen", "127.0.0.1:0")
		if code != exitFinding || !strings.Contains(stderr, "rebuild --from-store") || !strings.Contains(stderr, "is kept in") {
			t.Errorf("the store lets it go on: exit %d: %s", code, stderr)
		}
	}
	notes, err := filepath.Glob(filepath.Join(copied, "conflict-*"))
	must(t, err)
	if len(notes) != 2 {
		t.Errorf("kept %q", notes)
	}
	for _, path := range notes {
		text, err := os.ReadFile(path)
		must(t, err)
		if _, err := ledger.OpenCheckpoint(text, signer.Key()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestBackupWhileWriting copies a database again and again while entries are written:
// each copy is whole, and none keeps the writer waiting.
func TestBackupWhileWriting(t *testing.T) {
	p := build(t)
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	t.Cleanup(func() { unlock(dir) })
	stop := p.serve(dir)
	stop()
	db, err := database.Open(t.Context(), filepath.Join(dir, dbFile))
	must(t, err)
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			err := db.Update(t.Context(), func(tx *database.Tx) error {
				return tx.SaveSession(database.Session{Hash: [32]byte{byte(n), byte(n >> 8), byte(n >> 16)}, Principal: "admin", Method: "session", Expires: time.Now()})
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range 10 {
		b, err := database.Backup(t.Context(), filepath.Join(dir, dbFile), filepath.Join(root, string(rune('a'+n))+".db"))
		if err != nil || b.Entries != 3 {
			t.Errorf("copy %d: %+v, %v", n, b, err)
		}
	}
	close(done)
	writing.Wait()
	must(t, db.Close())
}
