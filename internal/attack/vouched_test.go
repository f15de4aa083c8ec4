package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
)

// vouched is the template of a lab with a witness in another house, who has cosigned its
// newest checkpoint. The policy "witnessed" demands that.
var vouched lab

func beginVouched(t *testing.T) *lab {
	t.Helper()
	if vouched.vkey == "" {
		vouched.dir = filepath.Join(filepath.Dir(programs), "vouched")
		establish(t, &vouched)
		address := free(t)
		vouched.elsewhere = []string{
			"witness", "--state", "STATE", "--name", "w1.firm.example", "--listen", address, "--log", vouched.vkey,
		}
		w := vouched.witness()
		key := regexp.MustCompile(`witness +(\S+\+\S+)`).FindStringSubmatch(w.said)[1]
		vouched.with = []string{"--witness", key + " http://" + address, "--witness-every", "1s"}
		vouched.write("witnessed.policy", fmt.Appendf(nil, "origin lab.example/custody\nlog %s\nwitness w1 %s\nquorum w1\n", vouched.vkey, key))
		vouched.up()
		vouched.must("examiner1", "export", "2026-0042", "-o", vouched.path("witnessed.zip"))
		vouched.must("examiner1", "verify", "--policy", vouched.path("witnessed.policy"), vouched.path("witnessed.zip"))
		vouched.down()
		w.stop(t)
	}
	return vouched.copy(t)
}

// witness starts the witness.
func (l *lab) witness() *daemon {
	l.t.Helper()
	args := slices.Clone(l.elsewhere)
	args[slices.Index(args, "STATE")] = l.path("witness")
	d, err := l.start("log ", "custodyd", args...)
	must(l.t, err)
	return d
}

// forge is what somebody with the ledger's key does after he has rewritten the
// database: a signer without a memory, and a store without the ledger's copy in it.
func (l *lab) forge(change func([]kept) []kept) {
	l.t.Helper()
	l.recompute(change)
	l.insider(`DELETE FROM published`, `DELETE FROM cosigned`)
	skey, err := os.ReadFile(l.path("data", "ledger.key"))
	must(l.t, err)
	must(l.t, os.Remove(l.path("data", "ledger.state")))
	signer, err := ledger.CreateSigner(l.path("data", "ledger.state"), strings.TrimSpace(string(skey)))
	must(l.t, err)
	must(l.t, signer.Close())
	for _, words := range []string{"ledger-0", "payload-0", "witnessed-0", "anchor-0"} {
		for _, path := range l.objects(words) {
			calm(path)
			must(l.t, os.Remove(path))
		}
	}
}

// hide leaves the newest entry out, of which no row is made: that a bundle was exported.
func hide(all []kept) []kept { return all[:len(all)-1] }

var keyRows = []row{
	{
		attacker: "the ledger's key, the database and the store", does: "leaves out the newest entries, and goes on",
		caught: "any receipt, bundle or client's checkpoint from before; a witness, who refuses, and so whoever's policy demands one; an older time stamp",
		not:    "somebody who has nothing from before and demands no witness",
		attack: func(l *lab) {
			l.forge(hide)
			l.up()
			l.refused("examiner1", 1, "both signed notes are kept", "case", "list")
			l.setup("newcomer")
			l.must("newcomer", "export", "2026-0042", "-o", l.path("forged.zip"))
			l.down()
			l.audit()
			l.judge("newcomer", 0, l.path("forged.zip"))
		},
		vouched: func(l *lab) {
			l.forge(hide)
			w := l.witness()
			l.refuses("the witness w1.firm.example")
			w.stop(l.t)
			l.with = nil
			l.up()
			l.setup("newcomer")
			l.must("newcomer", "export", "2026-0042", "-o", l.path("forged.zip"))
			l.down()
			l.judge("newcomer", 0, l.path("forged.zip"))
			l.judge("newcomer", 1, l.path("forged.zip"), "witness-quorum", "--policy="+l.path("witnessed.policy"))
		},
	},
	{
		attacker: "the ledger's key, the database and the store", does: "changes what a person said, and recomputes all that follows",
		caught: "besides: that person's signature, which does not hold",
		attack: func(l *lab) {
			l.forge(lie)
			l.refuses("signature")
			l.audit("signature", "law")
		},
	},
}
