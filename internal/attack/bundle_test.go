package attack

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// tamper gives the attacker the bundle's bag as files, and has its lists of hashes
// agree with what he makes of it.
func (l *lab) tamper(script string, args ...string) string {
	l.t.Helper()
	bag := l.unpack(l.path("case.zip"))
	l.run("sh", append([]string{"-euc", `cd "$0"; ` + script, filepath.Join(bag, "data")}, args...)...)
	l.mend(bag)
	return bag
}

// last is the number of the bundle's newest entry.
const lastOf = `last=$(tail -n 1 entries.jsonl | sed 's/.*"seq":\([0-9]*\),.*/\1/'); `

// pack makes a zip with these members, after those of the bundle.
func (l *lab) pack(name string, more ...member) string {
	l.t.Helper()
	old, err := zip.OpenReader(l.path("case.zip"))
	must(l.t, err)
	defer func() { must(l.t, old.Close()) }()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range old.File {
		must(l.t, w.Copy(f))
	}
	for _, m := range more {
		f, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Deflate})
		must(l.t, err)
		_, err = io.Copy(f, m.content)
		must(l.t, err)
	}
	must(l.t, w.Close())
	l.write(name, b.Bytes())
	return l.path(name)
}

type member struct {
	name    string
	content io.Reader
}

// zeros is a bomb: it packs a thousand to one.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var bundleRows = []row{
	{
		attacker: "a bundle", does: "changes a byte of what was said",
		caught: "`verify`, verify.py and the commands in its README.txt",
		not:    "its lists of hashes alone, which can be mended; by hand, what nothing rests on (bag-info.txt)",
		attack: func(l *lab) {
			l.verify(l.tamper(`sed -i 's/Office 3.12/Office 3.13/' payloads/6.json`), "payload-hash")
		},
	},
	{
		attacker: "a bundle", does: "leaves a payload out, as if it were withheld",
		caught: "the same: what is withheld stands in the seal, which the service has signed",
		attack: func(l *lab) { l.verify(l.tamper(`rm payloads/6.json`), "payload-missing") },
	},
	{
		attacker: "a bundle", does: "strips a signature",
		caught: "the same",
		attack: func(l *lab) { l.verify(l.tamper(`rm payloads/6.json.sig`), "signature-missing") },
	},
	{
		attacker: "a bundle", does: "replaces a signature by his own",
		caught: "the same",
		attack: func(l *lab) {
			l.verify(l.tamper(`rm payloads/6.json.sig; ssh-keygen -q -Y sign -n custody-event -f "$1" payloads/6.json`, l.path("keys", "analyst1")), "signature-hash", "signature")
		},
	},
	{
		attacker: "a bundle", does: "puts his own ledger key in and signs the checkpoint anew",
		caught: "`verify` with a policy; by hand and verify.py, whoever compares the key with one from elsewhere",
		not:    "a verifier without a policy: the verdict is incomplete (3), and names the key",
		attack: func(l *lab) {
			bag := l.foreignKey()
			l.verify(bag, "key-differs", "checkpoint-signature")
			l.judge("nobody", 3, bag)
		},
	},
	{
		attacker: "a bundle", does: "replays a signed payload elsewhere in the ledger",
		caught: "`verify`: it has the id of another entry, and its person had not seen what stands before it",
		attack: func(l *lab) {
			l.verify(l.tamper(lastOf+`cp payloads/6.json payloads/$last.json; cp payloads/6.json.sig payloads/$last.json.sig`), "payload-hash", "signature-hash", "payload-id")
		},
	},
	{
		attacker: "a bundle", does: "drops the newest entries of the case",
		caught: "`verify`, verify.py and by hand: no seal at the end, or the checkpoint does not end with it",
		not:    "an older bundle as a whole, which is a true one",
		attack: func(l *lab) {
			l.verify(l.tamper(lastOf+`sed -i '$d' entries.jsonl; rm payloads/$last.json payloads/$last.json.sig proofs/$last.tlog-proof`), "seal-missing")
		},
	},
	{
		attacker: "a bundle", does: "puts a zip bomb, a path that leads out, or a name twice into it",
		caught: "`verify`, which writes nothing and reads within bounds",
		attack: func(l *lab) {
			l.verify(l.pack("bomb.zip", member{"2026-0042/data/logs/E-001-M1.log", io.LimitReader(zeros{}, 1<<30)}), "file-size")
			l.verify(l.pack("out.zip", member{"2026-0042/../../out", strings.NewReader("x")}), "file-name")
			l.verify(l.pack("twice.zip", member{"2026-0042/data/checkpoint", strings.NewReader("x")}), "file-name")
			if _, err := os.Stat(filepath.Join(filepath.Dir(l.dir), "out")); err == nil {
				l.t.Error("a file was written outside")
			}
		},
	},
}
