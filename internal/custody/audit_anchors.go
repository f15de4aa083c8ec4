package custody

import (
	"encoding/json"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
)

var keptAnchors = keptKind{
	names: anchorNames, what: "time stamps of entry", table: "anchor_stamps",
	reach: func(entry int64) int64 { return entry + 1 },
	note: func(data []byte) ([]byte, error) {
		d, err := parseAnchorDocument(data)
		return d.Note, err
	},
}

// anchored holds every time stamp against the entry that tells of it, and against the tree.
func (a *audit) anchored(tx *database.Tx) error {
	a.stamps = newKeptObjects(keptAnchors)
	for entry, err := range paged(tx.ToldAnchors, func(entry int64) (int64, int64) { return entry, entry }) {
		if err != nil {
			return err
		}
		stamps, err := tx.AnchorsTold(entry)
		if err != nil {
			return err
		}
		var data []byte
		d, err := documentOf(tx, stamps[0].Size, stamps)
		if err == nil {
			_, err = d.agrees(tx, a.cfg.Key)
		}
		if err == nil {
			data, err = json.Marshal(d)
		}
		if err != nil {
			a.find(CodeRowDamaged, rowName(keptAnchors.table, fmt.Sprint(entry)), "%v", err)
		}
		a.keep(&a.stamps, entry, stamps[0].Object, data)
	}
	return nil
}
