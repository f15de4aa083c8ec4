package custody

import (
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

var keptCosigned = keptKind{
	names: witnessedNames, what: "cosigned checkpoint", table: "cosigned",
	reach: func(size int64) int64 { return size },
	note:  func(data []byte) ([]byte, error) { return data, nil },
}

// cosigned holds every cosigned checkpoint against the tree.
func (a *audit) cosigned(tx *database.Tx) error {
	a.witnessed = newKeptObjects(keptCosigned)
	for row, err := range paged(tx.CosignedFrom, func(row database.Cosigned) (database.Cosigned, int64) { return row, row.Size }) {
		if err != nil {
			return err
		}
		name := rowName(keptCosigned.table, fmt.Sprint(row.Size))
		c, err := ledger.OpenCheckpoint(row.Note, a.cfg.Key)
		if err != nil {
			a.find(CodeRowDamaged, name, "%v", err)
		} else if root, err := ledger.RootAt(row.Size, tx.Hashes()); err != nil || c.Size != row.Size || c.Root != root {
			a.find(verify.CodeRoot, name, "the root %s at %d entries was cosigned, the database's is %s", c.Root, c.Size, root)
		}
		final := row.Note
		if !row.Kept {
			final = nil // more witnesses may have signed since
		}
		a.keep(&a.witnessed, row.Size, row.Object, final)
	}
	return nil
}
