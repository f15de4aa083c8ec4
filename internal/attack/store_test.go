package attack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var storeRows = []row{
	{
		attacker: "the store", does: "changes or swaps an object",
		caught: "in a bucket nobody: the ledger names versions, and `audit` tells of others; in a directory `verify` online and every whole fetch: a finding blocks the copy; `audit --contents`",
		not:    "anybody, until then",
		attack: func(l *lab) {
			calm(l.path("data"))
			for _, path := range l.objects("-content") {
				info, err := os.Stat(path)
				must(l.t, err)
				if info.Size() != 100_000 {
					continue
				}
				must(l.t, os.Chmod(path, 0o600))
				must(l.t, os.WriteFile(path, make([]byte, 100_000), 0o400))
			}
			l.audit("content-differs")
			l.up()
			l.refused("examiner1", 1, "there are findings", "verify", "2026-0042/E-001/M1")
			l.refused("analyst1", 1, "finding", "copy", "fetch", "2026-0042/E-001/W1", "-o", l.path("w.dd"))
			l.refused("analyst1", 6, "finding", "copy", "fetch", "2026-0042/E-001/W1", "-o", l.path("w.dd"))
		},
		bucket: swapVersions,
	},
	{
		attacker: "the store", does: "deletes an object, or a version of one",
		caught: "a compliance lock refuses; where it is weaker, whoever reads, and `audit`",
		not:    "anybody, until then",
		attack: func(l *lab) {
			calm(l.path("data"))
			for _, path := range l.objects("-content") {
				must(l.t, os.Chmod(filepath.Dir(path), 0o700))
				must(l.t, os.Remove(path))
			}
			l.audit("object-missing")
			l.up()
			l.refused("examiner1", 1, "there are findings", "verify", "2026-0042/E-001/M1")
		},
		bucket: deleteVersions,
	},
	{
		attacker: "the store's write access only", does: "puts rubbish where the ledger's next copy will go",
		caught: "the service, which logs and counts it and takes the next name; `audit`. Rebuilding passes over it",
		not:    "-",
		attack: func(l *lab) {
			kept := filepath.Dir(l.objects("ledger-")[0])
			for n := range 200 {
				for _, form := range []string{"ledger-%016d", "payload-%016d"} {
					if path := filepath.Join(kept, fmt.Sprintf(form, n)); errors.Is(access(path), fs.ErrNotExist) {
						must(l.t, os.WriteFile(path, []byte("x"), 0o400))
					}
				}
			}
			l.up()
			l.must("examiner1", "case", "open", "--reference", "2026-0043", "--title", "Another")
			l.down()
			l.audit("segment-foreign")
			l.rebuilt("2026-0043")
		},
		bucket: rubbishAhead,
	},
}

func access(path string) error {
	_, err := os.Lstat(path)
	return err
}

// rebuilt loses all but the keys and the store, and makes the ledger again: the case has
// to be in it.
func (l *lab) rebuilt(reference string) {
	l.t.Helper()
	left, err := os.ReadDir(l.path("data"))
	must(l.t, err)
	for _, e := range left {
		if !slices.Contains([]string{"ledger.key", "service_key", "service_key.pub", "objects"}, e.Name()) {
			must(l.t, os.RemoveAll(l.path("data", e.Name())))
		}
	}
	args := []string{"rebuild", "--from-store", "--data", l.path("data")}
	if i := slices.Index(l.with, "--s3-endpoint"); i >= 0 {
		args = append(args, l.with[i:i+5]...) // those of the store
	}
	if r := l.program(l.env, "custodyd", args...); r.code != 0 {
		l.t.Fatalf("rebuild: exit code %d\n%s", r.code, r.stderr)
	}
	l.up()
	if list := l.must("examiner1", "case", "list"); !strings.Contains(list, reference) {
		l.t.Fatalf("case %s is not in\n%s", reference, list)
	}
}
