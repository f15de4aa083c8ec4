// Command custody-cli is how people work with a custody service: examiners who take
// evidence into custody, analysts who work on copies, lawyers who export and verify.
//
// It decides nothing about custody. It hashes what it sends and what arrives, signs
// what a person says, and believes of the service only what receipts prove
// (package operator). Results go to stdout, talk to stderr.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version is set by the linker.
var version string

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	root := newRoot(a)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return a.fail(err)
}

// fail says what went wrong, each thing in a line, then what to try next. It gives the
// exit code.
func (a *app) fail(err error) int {
	code, next := explain(err)
	for line := range strings.SplitSeq(err.Error()+"\n"+next, "\n") {
		if line != "" {
			a.warn("%s", line)
		}
	}
	return code
}
