package custody

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// keptKind is what the store keeps beside the ledger: cosigned checkpoints, time stamps.
type keptKind struct {
	names naming
	what  string // such as "cosigned checkpoint", before the number
	table string
	// reach is how many entries a ledger has, at least, in which that number is kept.
	reach func(number int64) int64
	// note gives the signed checkpoint that an object brings.
	note func(data []byte) ([]byte, error)
}

// keptObjects is what the database notes of the objects of a kind, by number.
type keptObjects struct {
	kind  keptKind
	noted map[int64]evidence.Object // where none is noted without a key, but with the sum it is to have, if that is known
	order []*named
}

func newKeptObjects(kind keptKind) keptObjects {
	return keptObjects{kind: kind, noted: map[int64]evidence.Object{}}
}

// keep takes up a number, with what its row says of the object that has those bytes; nil,
// where they are not final.
func (a *audit) keep(k *keptObjects, number int64, row, data []byte) {
	var o evidence.Object
	if data != nil {
		o.SHA256 = sha256.Sum256(data)
	}
	if len(row) > 0 {
		var noted evidence.Object
		err := json.Unmarshal(row, &noted)
		if of, _, ok := k.kind.names.parse(noted.Key); err != nil || !ok || of != number {
			a.find(CodeRowDamaged, rowName(k.kind.table, fmt.Sprint(number)), "does not name its object")
		} else {
			o = noted
			k.order = append(k.order, &named{Object: o, subject: fmt.Sprintf("%s %d", k.kind.what, number)})
		}
	}
	k.noted[number] = o
}

// explainKept tells what is wrong with an object of the store whose key is one of the
// kind's, for that number.
func (a *audit) explainKept(ctx context.Context, k keptObjects, number int64, o objectstore.Object, err error) (verify.Code, string) {
	noted, known := k.noted[number]
	put := noted.Key != ""
	if put && noted.Key != o.Key && !o.Marker {
		return CodeObjectUnknown, fmt.Sprintf("the object of %s %d is %s", k.kind.what, number, noted.Key)
	}
	if code, detail := kept(o, err, put, noted.Version); put || code != "" {
		return code, detail
	}
	reach := k.kind.reach(number)
	if !known && reach <= a.r.Entries {
		return CodeObjectUnknown, fmt.Sprintf("nothing is noted of %s %d", k.kind.what, number)
	}
	s := &Service{objects: a.cfg.Objects} // for its way of reading objects alone
	data, err := s.readSmall(ctx, o)
	if err != nil {
		return CodeObjectUnreadable, err.Error()
	}
	if known && noted.SHA256 != (digest.SHA256{}) {
		if sha256.Sum256(data) != noted.SHA256 {
			return CodeObjectUnknown, fmt.Sprintf("does not hold %s %d, whose object is still to be put", k.kind.what, number)
		}
		return "", "" // an interruption came before it was noted
	}
	note, err := k.kind.note(data)
	if err == nil {
		_, err = ledger.OpenCheckpoint(note, a.cfg.Key)
	}
	if err != nil {
		return CodeObjectUnknown, err.Error()
	}
	if known { // a database of before it was final
		return "", ""
	}
	return CodeStoreAhead, fmt.Sprintf("holds %s %d of a ledger of at least %d entries; the database holds %d: it was rolled back", k.kind.what, number, reach, a.r.Entries)
}
