package attack

import (
	"os"
	"path/filepath"
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
}
