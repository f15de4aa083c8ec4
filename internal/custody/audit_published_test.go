package custody_test

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/custody"
)

// TestAuditPublished: whatever somebody does to what was published is found.
func TestAuditPublished(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	keys := l.segmentKeys()
	segment, payloads := keys[1], keys[len(keys)/2+1]
	for _, row := range []struct {
		name     string
		contents bool
		spoil    func(objects, retention string) error
		want     []string
	}{
		{"nothing", true, func(string, string) error { return nil }, []string{}},
		{"segment removed", false, func(o, _ string) error { return os.Remove(o + segment) }, []string{"object-missing"}},
		{"payloads removed", false, func(o, _ string) error { return os.Remove(o + payloads) }, []string{"object-missing"}},
		{"segment altered", true, func(o, _ string) error {
			return errors.Join(alter(o+segment, "example", "exbmple"), os.Chmod(o+segment, 0o400))
		}, []string{"object-differs"}},
		{"payload altered", true, func(o, _ string) error {
			return errors.Join(alter(o+payloads, "person", "pexson"), os.Chmod(o+payloads, 0o400))
		}, []string{"object-differs"}},
		{"unlocked", false, func(o, _ string) error { return os.Chmod(o+segment, 0o600) }, []string{"object-lock"}},
		{"another beside", false, func(o, _ string) error {
			data, err := os.ReadFile(o + segment)
			return errors.Join(err, os.WriteFile(o+"ledger-0000000000009999", data, 0o400))
		}, []string{"segment-foreign"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			victim := labAt(t, clone(t, l.dir))
			must(t, row.spoil(victim.path("objects", "objects")+"/", victim.path("objects", "retention")+"/"))
			r := (&vault{dir: victim.dir}).audit(t, func(c *custody.AuditConfig) { c.Contents = row.contents })
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%v", diff, r.Findings)
			}
		})
	}
}
