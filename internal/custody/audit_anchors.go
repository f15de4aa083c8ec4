package custody

import (
	"encoding/json"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// anchorRows is what the database notes of time stamps.
type anchorRows struct {
	objects map[int64]evidence.Object // by the entry that tells of them; without a key where none is noted
	order   []*named
}

// anchored holds every time stamp against the entry that tells of it, and against the tree.
func (a *audit) anchored(tx *database.Tx) error {
	a.stamps = anchorRows{objects: map[int64]evidence.Object{}}
	for entry, err := range paged(tx.ToldAnchors, func(entry int64) (int64, int64) { return entry, entry }) {
		if err != nil {
			return err
		}
		stamps, err := tx.AnchorsTold(entry)
		if err != nil {
			return err
		}
		name := rowName("anchor_stamps", fmt.Sprint(entry))
		d, err := documentOf(tx, stamps[0].Size, stamps)
		if err == nil {
			_, err = d.agrees(tx, a.cfg.Key)
		}
		if err != nil {
			a.find(CodeRowDamaged, name, "%v", err)
		}
		var o evidence.Object
		if len(stamps[0].Object) > 0 {
			if err := json.Unmarshal(stamps[0].Object, &o); err != nil || o.Key != anchorKey(entry) {
				a.find(CodeRowDamaged, name, "does not name its object")
				o = evidence.Object{}
			} else {
				a.stamps.order = append(a.stamps.order, &named{Object: o, subject: fmt.Sprintf("time stamps of entry %d", entry)})
			}
		}
		a.stamps.objects[entry] = o
	}
	return nil
}

// explainAnchor tells what is wrong with an object of the store whose key is that of time
// stamps.
func (a *audit) explainAnchor(entry int64, o objectstore.Object, err error) (verify.Code, string) {
	noted, known := a.stamps.objects[entry]
	if code, detail := kept(o, err, known && noted.Key != "", noted.Version); known || code != "" {
		return code, detail
	}
	if entry >= a.r.Entries {
		return CodeStoreAhead, fmt.Sprintf("holds time stamps of entry %d, the database holds %d entries: it was rolled back", entry, a.r.Entries)
	}
	return CodeObjectUnknown, "no time stamps of that entry are noted"
}
