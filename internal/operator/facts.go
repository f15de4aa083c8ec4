package operator

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// ErrFacts: what the service states of a copy is not what this machine knows.
var ErrFacts = errors.New("the server states other facts than this machine knows; nothing was signed")

// Known is what this machine knows of a copy before the service states its facts.
type Known struct {
	Intake   uuid.UUID
	Exhibit  evidence.Name
	Class    evidence.Class
	Size     int64
	Digests  digest.Set    // own computation joined with what was declared; of a working copy, its master's
	Files    digest.SHA256 // of the list; zero: no list
	Log      digest.SHA256 // of the tool's log; zero: no log
	Until    time.Time     // objects are locked at least so long
	Received bool          // bytes were sent: the service has a hash of their arrival
}

// Agree compares facts with what is known. The error names everything that differs.
func (k Known) Agree(f evidence.Facts) error {
	var wrong []string
	say := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	say(f.Intake != k.Intake, "intake %s", f.Intake)
	say(f.Exhibit != k.Exhibit, "exhibit %s", f.Exhibit)
	say(f.Number.Class() != k.Class, "number %s", f.Number)
	say(f.Size != k.Size, "%d bytes, not %d", f.Size, k.Size)
	hashes := map[string]digest.Set{"declared": f.Declared, "read back": f.ReadBack}
	if k.Received {
		hashes["received"] = f.Received
	}
	for _, name := range []string{"declared", "received", "read back"} {
		set, stated := hashes[name]
		if !stated {
			continue
		}
		for _, a := range k.Digests.Algorithms() {
			want, _ := k.Digests.Get(a)
			got, ok := set.Get(a)
			say(!ok, "%s: no %s", name, a)
			say(ok && got != want, "%s: %s %s, not %s", name, a, got, want)
		}
	}
	say(len(f.Compare()) > 0, "hashes that differ: %v", f.Compare())
	k.objects(f, say)
	if len(wrong) == 0 {
		return nil
	}
	err := ErrFacts
	for _, w := range wrong {
		err = fmt.Errorf("%w: %s", err, w)
	}
	return err
}

func (k Known) objects(f evidence.Facts, say func(bool, string, ...any)) {
	content, _ := k.Digests.SHA256()
	type wanted struct {
		size   int64
		sha256 digest.SHA256
	}
	want := map[evidence.Role]wanted{evidence.Content: {k.Size, content}}
	if n := digest.MidstateCount(k.Size); n > 0 {
		want[evidence.Midstates] = wanted{size: 32 * n}
	}
	if k.Files != (digest.SHA256{}) {
		want[evidence.Files] = wanted{size: -1, sha256: k.Files}
	}
	if k.Log != (digest.SHA256{}) {
		want[evidence.ToolLog] = wanted{size: -1, sha256: k.Log}
	}
	var roles []evidence.Role
	for _, o := range f.Objects {
		w, ok := want[o.Role]
		say(!ok || slices.Contains(roles, o.Role), "an object with the role %s", o.Role)
		roles = append(roles, o.Role)
		say(ok && w.size >= 0 && o.Size != w.size, "%s: %d bytes, not %d", o.Role, o.Size, w.size)
		say(ok && w.sha256 != (digest.SHA256{}) && o.SHA256 != w.sha256, "%s: SHA-256 %s, not %s", o.Role, o.SHA256, w.sha256)
		locked := o.RetainUntil != nil && !o.RetainUntil.Time().Before(k.Until)
		say(o.Lock != "none" && !locked, "%s: not locked until %s", o.Role, k.Until.Format(time.DateOnly))
	}
	for _, role := range []evidence.Role{evidence.Content, evidence.Midstates, evidence.Files, evidence.ToolLog} {
		_, wanted := want[role]
		say(wanted && !slices.Contains(roles, role), "no object with the role %s", role)
	}
}
