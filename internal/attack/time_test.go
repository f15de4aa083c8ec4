package attack

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/ledger"
)

// stamped has the lab's checkpoints stamped by a time-stamping authority, whom the
// policy "stamped" believes and demands, and gives the bag of an export with its stamp.
func (l *lab) stamped(a *authoritytest.Authority) string {
	l.t.Helper()
	l.with = []string{"--authority", "tsa " + a.URL + " " + a.RootFile}
	l.write("stamped.policy", fmt.Appendf(nil, "origin lab.example/custody\nlog %s\nauthority tsa %s\nanchors 1\n",
		l.vkey, base64.StdEncoding.EncodeToString(a.Root.Raw)))
	l.up()
	l.must("examiner1", "export", "2026-0042", "-o", l.path("stamped.zip"))
	l.down()
	l.judge("examiner1", 0, l.path("stamped.zip"), "--policy="+l.path("stamped.policy"))
	return l.unpack(l.path("stamped.zip"))
}

// restamp puts another token over the bundle's checkpoint into the bag, and demands that
// who believes the authority finds that.
func (l *lab) restamp(bag string, by *authoritytest.Authority, does authoritytest.Behaviour, found string) {
	l.t.Helper()
	entries, err := os.ReadFile(filepath.Join(bag, "data", "entries.jsonl"))
	must(l.t, err)
	lines := bytes.Split(bytes.TrimSpace(entries), []byte("\n"))
	seal, err := ledger.ParseEnvelope(lines[len(lines)-1])
	must(l.t, err)
	stem := filepath.Join(bag, "data", "anchors", strconv.FormatInt(seal.Seq+1, 10))
	note, err := os.ReadFile(stem + ".checkpoint")
	must(l.t, err)
	must(l.t, os.WriteFile(stem+"-tsa.tsr", by.Stamp(l.t, note, nil, does), 0o600))
	l.mend(bag)
	l.judge("examiner1", 1, bag, found, "anchor-quorum", "--policy="+l.path("stamped.policy"))
}

// shift moves the times of entries.
func shift(t *testing.T, by time.Duration, entries []kept) {
	t.Helper()
	for i := range entries {
		e, err := ledger.ParseEnvelope(entries[i].envelope)
		must(t, err)
		e.Time += ledger.Time(by.Microseconds())
		entries[i].envelope = e.Bytes()
	}
}

var timeRows = []row{
	{
		attacker: "the ledger's key, the database and the store", does: "back-dates entries",
		caught: "nothing can be dated before the entry that it follows; whoever signed afterwards, for each has signed the hash of what stood before, its time included: `audit`, `verify`, the next start",
		not:    "anybody, until the next time stamp is over it: between two of them the times are the lab's own",
		attack: func(l *lab) {
			l.forge(func(all []kept) []kept {
				shift(l.t, -time.Hour, all[len(all)-1:])
				return all
			})
			l.audit("time")
			l.refuses(rewritten)
			l.forge(func(all []kept) []kept {
				shift(l.t, -365*24*time.Hour, all)
				return all
			})
			l.audit("law")
			l.refuses(rewritten)
		},
	},
	{
		attacker: "a bundle", does: "puts a time stamp of a rogue authority into it, or a back-dated one",
		caught: "`verify` with a policy that names the authority: no chain to its pinned root; a token that is older than what it covers",
		not:    "a verifier who pins no root: the token is told as unchecked",
		attack: func(l *lab) {
			a, rogue := authoritytest.New(l.t, "tsa"), authoritytest.New(l.t, "tsa")
			bag := l.stamped(a)
			l.restamp(bag, rogue, authoritytest.Behaviour{}, "anchor")
			l.restamp(bag, a, authoritytest.Behaviour{Imprint: true}, "anchor")
			l.restamp(bag, a, authoritytest.Behaviour{Now: func() time.Time { return time.Now().Add(-time.Hour) }}, "anchor-time")
			expired := authoritytest.New(l.t, "tsa", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
			l.restamp(bag, expired, authoritytest.Behaviour{}, "anchor")
		},
	},
	{
		attacker: "the ledger's key", does: "shows different ledgers to different people (split view)",
		caught: "any two of them who compare checkpoints (`gossip`, with a mirror where their sizes differ); a witness, who has seen only one",
		not:    "each of them alone",
		attack: func(l *lab) {
			l.run("cp", "-a", l.path("data"), l.path("other"))
			l.up()
			l.must("examiner1", "case", "open", "--reference", "2026-0050", "--title", "T")
			l.must("examiner1", "case", "open", "--reference", "2026-0051", "--title", "T")
			l.must("examiner1", "gossip", "--write", l.path("seen"))
			l.down()
			l.run("chattr", "-R", "-f", "-i", l.path("data"))
			l.run("rm", "-r", l.path("data"))
			l.run("mv", l.path("other"), l.path("data"))
			l.up()
			l.must("analyst1", "copy", "show", "2026-0042/E-001/W1")
			r := l.cli("analyst1", "gossip", "--json", l.path("seen"))
			if r.code != 1 || !strings.Contains(r.stdout, `"relation": "unproven"`) || !strings.Contains(r.stdout, `"kept": "`) {
				l.t.Fatalf("gossip: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			for range 4 { // each start is an entry: past the size that the others saw
				l.down()
				l.up()
			}
			l.must("analyst1", "mirror", l.path("mirror"))
			r = l.cli("analyst1", "gossip", "--json", "--mirror", l.path("mirror"), l.path("seen"))
			if r.code != 1 || !strings.Contains(r.stdout, `"relation": "split-view"`) || !strings.Contains(r.stdout, `"kept": "`) {
				l.t.Fatalf("gossip by a mirror: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		},
	},
}
