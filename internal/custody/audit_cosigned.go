package custody

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// cosignedRows is what the database notes of cosigned checkpoints.
type cosignedRows struct {
	objects map[int64]evidence.Object // by size; without a key, but with the sum, where none is noted
	order   []*named
}

// cosigned holds every cosigned checkpoint against the tree.
func (a *audit) cosigned(tx *database.Tx) error {
	a.witnessed = cosignedRows{objects: map[int64]evidence.Object{}}
	for row, err := range paged(tx.CosignedFrom, func(row database.Cosigned) (database.Cosigned, int64) { return row, row.Size }) {
		if err != nil {
			return err
		}
		name := rowName("cosigned", fmt.Sprint(row.Size))
		c, err := ledger.OpenCheckpoint(row.Note, a.cfg.Key)
		if err != nil {
			a.find(CodeRowDamaged, name, "%v", err)
		} else if root, err := ledger.RootAt(row.Size, tx.Hashes()); err != nil || c.Size != row.Size || c.Root != root {
			a.find(verify.CodeRoot, name, "the root %s at %d entries was cosigned, the database's is %s", c.Root, c.Size, root)
		}
		var o evidence.Object
		if len(row.Object) > 0 {
			err := json.Unmarshal(row.Object, &o)
			if size, _, ok := parseWitnessedKey(o.Key); err != nil || !ok || size != row.Size {
				a.find(CodeRowDamaged, name, "does not name its object")
			} else {
				a.witnessed.order = append(a.witnessed.order, &named{Object: o, subject: fmt.Sprintf("cosigned checkpoint %d", row.Size)})
			}
		} else {
			o.SHA256 = sha256.Sum256(row.Note)
		}
		a.witnessed.objects[row.Size] = o
	}
	return nil
}

// explainWitnessed tells what is wrong with an object of the store whose key is that of
// a cosigned checkpoint.
func (a *audit) explainWitnessed(ctx context.Context, size int64, o objectstore.Object, err error) (verify.Code, string) {
	noted, known := a.witnessed.objects[size]
	put := known && noted.Key != ""
	if put && noted.Key != o.Key && !o.Marker {
		return CodeObjectUnknown, "the cosigned checkpoint of that size is " + noted.Key
	}
	if code, detail := kept(o, err, put, noted.Version); put || code != "" {
		return code, detail
	}
	if !known && size <= a.r.Entries {
		return CodeObjectUnknown, "no cosigned checkpoint of that size is noted"
	}
	s := &Service{objects: a.cfg.Objects} // for its way of reading objects alone
	note, err := s.readSmall(ctx, o)
	if err != nil {
		return CodeObjectUnreadable, err.Error()
	}
	if known {
		if sha256.Sum256(note) != noted.SHA256 {
			return CodeObjectUnknown, "is not the cosigned checkpoint of that size, which waits to be put"
		}
		return "", "" // an interruption came before it was noted
	}
	if _, err := ledger.OpenCheckpoint(note, a.cfg.Key); err != nil {
		return CodeObjectUnknown, err.Error()
	}
	return CodeStoreAhead, fmt.Sprintf("witnesses have cosigned %d entries, the database holds %d: it was rolled back", size, a.r.Entries)
}
