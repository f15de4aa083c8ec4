package database

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
)

var errOurs = errors.New("ours")

func size(t testing.TB, db *DB) (n int64) {
	view(t, db, func(tx *Tx) error {
		head, err := tx.Head()
		n = head.Size
		return err
	})
	return n
}

func TestUpdateRollsBack(t *testing.T) {
	db := newDatabase(t)
	add := func(tx *Tx) error { return tx.Append(nextEntry(t, tx, caseA, 10)) }
	update(t, db, add)

	err := db.Update(t.Context(), func(tx *Tx) error { return errors.Join(add(tx), errOurs) })
	if !errors.Is(err, errOurs) || errors.Is(err, ErrCommit) {
		t.Errorf("error is %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "ours" {
				t.Errorf("panic is %v", p)
			}
		}()
		_ = db.Update(t.Context(), func(tx *Tx) error {
			if err := add(tx); err != nil {
				t.Error(err)
			}
			panic("ours")
		})
	}()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Update(done, add); !errors.Is(err, context.Canceled) {
		t.Errorf("update when it is too late: %v", err)
	}
	if n := size(t, db); n != 1 {
		t.Errorf("there are %d entries, want 1", n)
	}

	// Once begun, an update goes on to its end.
	later, cancel := context.WithCancel(t.Context())
	if err := db.Update(later, func(tx *Tx) error { cancel(); return add(tx) }); err != nil {
		t.Error(err)
	}
	if n := size(t, db); n != 2 {
		t.Errorf("there are %d entries, want 2", n)
	}
}

func TestViewCannotWrite(t *testing.T) {
	db := newDatabase(t)
	for name, write := range map[string]func(*Tx) error{
		"append":  func(tx *Tx) error { return tx.Append(nextEntry(t, tx, caseA, 10)) },
		"session": func(tx *Tx) error { return tx.exec("DELETE FROM sessions") },
		"pragma":  func(tx *Tx) error { return tx.exec("PRAGMA user_version = 1") },
	} {
		if err := db.View(t.Context(), write); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.View(done, func(*Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("view when it is too late: %v", err)
	}
}

// A commit of which nobody knows how it ended is the last thing this process does
// to the database. SQLite checks a deferred constraint when it commits.
func TestCommitFails(t *testing.T) {
	db, path := createDatabase(t)
	update(t, db, func(tx *Tx) error { return tx.Append(nextEntry(t, tx, caseA, 10)) })
	err := db.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(
			tx.Append(nextEntry(t, tx, caseA, 10)),
			tx.exec("PRAGMA defer_foreign_keys = ON"),
			tx.exec("INSERT INTO exhibits VALUES ("+blobOf("cc", 16)+", 'E-001', 0, '{}')"),
		)
	})
	if !errors.Is(err, ErrCommit) {
		t.Fatalf("error is %v, want %v", err, ErrCommit)
	}
	called := false
	err = db.Update(t.Context(), func(*Tx) error { called = true; return nil })
	if !errors.Is(err, ErrCommit) || called {
		t.Errorf("the next update: %v, called %v", err, called)
	}
	closeDB(t, db)
	db, err = Open(t.Context(), path)
	must(t, err)
	defer closeDB(t, db)
	update(t, db, func(tx *Tx) error { return tx.Append(nextEntry(t, tx, caseA, 10)) })
}

// Every view sees the whole of some moment, whatever is being written.
func TestReadersWhileWriting(t *testing.T) {
	db := newDatabase(t)
	const batches, batch = 40, 16
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 12 { // more than there are connections
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := db.View(context.Background(), func(tx *Tx) error {
					head, err := tx.Head()
					if err != nil {
						return err
					}
					if head.Size%batch != 0 {
						return fmt.Errorf("%d entries are no whole batches", head.Size)
					}
					entries, err := tx.Entries(0, batches*batch)
					if err != nil {
						return err
					}
					if int64(len(entries)) != head.Size {
						return fmt.Errorf("%d entries, and the head says %d", len(entries), head.Size)
					}
					var tree ledger.Tree
					for _, e := range entries {
						tree.Append(nil, e.Leaf)
					}
					root, err := ledger.RootAt(head.Size, tx.Hashes())
					if err != nil {
						return err
					}
					if root != tree.Root() {
						return fmt.Errorf("root of %d entries is another", head.Size)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for range batches / 4 {
				err := db.Update(context.Background(), func(tx *Tx) error {
					for range batch {
						if err := tx.Append(nextEntry(t, tx, ledger.CaseID{byte(w)}, 10)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if n := size(t, db); n != batches*batch {
		t.Errorf("there are %d entries, want %d", n, batches*batch)
	}
}

const crashingChild = "CUSTODYD_TEST_CRASHING_CHILD"

// appendForEver is the child of TestKill: it says how many entries there are as
// soon as Update has returned.
func appendForEver(path string) {
	die := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	db, err := Open(context.Background(), path)
	if err != nil {
		die(err)
	}
	for n := 1; ; n = n%7 + 1 {
		var head ledger.Head
		err := db.Update(context.Background(), func(tx *Tx) error {
			for range n {
				if err := tx.Append(nextEntry(nil, tx, caseA, 3000)); err != nil {
					return err
				}
			}
			var err error
			head, err = tx.Head()
			return err
		})
		if err != nil {
			die(err)
		}
		fmt.Println(head.Size)
	}
}

// Nothing that was acknowledged is lost when the process dies, and what is there
// is whole.
func TestKill(t *testing.T) {
	db, path := createDatabase(t)
	closeDB(t, db)
	self, err := os.Executable()
	must(t, err)
	var acknowledged int64
	for round := range 12 {
		child := exec.CommandContext(t.Context(), self)
		child.Env = append(os.Environ(), crashingChild+"="+path)
		var talk strings.Builder
		child.Stderr = &talk
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		lines := bufio.NewScanner(out)
		for range 1 + 5*round {
			if !lines.Scan() {
				break
			}
			acknowledged, err = strconv.ParseInt(lines.Text(), 10, 64)
			must(t, err)
		}
		must(t, child.Process.Kill())
		for lines.Scan() { // said before it died
			if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				acknowledged = n
			}
		}
		if err := child.Wait(); err == nil || talk.Len() > 0 {
			t.Fatalf("the child ended by itself: %v %s", err, talk.String())
		}

		db, err := Open(t.Context(), path)
		must(t, err)
		checker := ledger.NewChecker(ledger.Origin(lab.Origin))
		view(t, db, func(tx *Tx) error {
			entries, err := tx.Entries(0, 1<<20)
			if err != nil {
				return err
			}
			for _, e := range entries {
				if _, err := e.Check(); err != nil {
					t.Error(err)
				}
				if err := checker.Add(e.Envelope); err != nil {
					t.Error(err)
				}
			}
			root, err := ledger.RootAt(checker.Size(), tx.Hashes())
			if root != checker.Root() {
				t.Errorf("round %d: root is %s, want %s", round, root, checker.Root())
			}
			return err
		})
		if checker.Size() < acknowledged {
			t.Errorf("round %d: %d entries are there, %d were acknowledged", round, checker.Size(), acknowledged)
		}
		closeDB(t, db)
	}
}
