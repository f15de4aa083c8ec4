package attack

import (
	"slices"
	"testing"
)

// row is one row of the threat table: what somebody has and does with it, who catches
// it, and who does not.
type row struct {
	attacker, does, caught, not string
	attack                      func(*lab)
	vouched                     func(*lab)       // the same where an outside witness is asked
	bucket                      func(*testing.T) // the same on a real S3 server
}

var table = slices.Concat(bundleRows, ledgerRows, storeRows, keyRows, timeRows, peopleRows)

func TestAttacks(t *testing.T) {
	for _, r := range table {
		t.Run(r.attacker+" "+r.does, func(t *testing.T) { r.attack(begin(t)) })
		if r.bucket != nil {
			t.Run(r.attacker+" "+r.does+", in a bucket", r.bucket)
		}
		if r.vouched != nil {
			t.Run(r.attacker+" "+r.does+", witnessed", func(t *testing.T) { r.vouched(beginVouched(t)) })
		}
	}
}

// TestNoAttack is what every attack begins with, unharmed.
func TestNoAttack(t *testing.T) {
	l := begin(t)
	l.audit()
	l.verify(l.path("case.zip"))
	l.up()
	l.must("examiner1", "case", "list")
	l.down()
	l.audit()
}
