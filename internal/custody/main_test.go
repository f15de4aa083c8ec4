package custody_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets more tests run at once than there are cores, as they mostly wait
// for the disk, and looks at the end for what is still running.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(blank.dir); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// TestLeak opens and closes a service that has worked.
func TestLeak(t *testing.T) {
	before := goleak.IgnoreCurrent()
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	l.issue("M1", "analyst1")
	l.verify("legal1", "M1")
	for range 3 {
		l.restart()
	}
	l.down()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
