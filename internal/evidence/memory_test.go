package evidence_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/evidence"
)

// TestMemory holds a state of many exhibits to what is told of its size: the service
// keeps one while it audits itself.
func TestMemory(t *testing.T) {
	const exhibits, limit = 50_000, 700 // bytes each
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base := heap()
	state, c := evidence.NewMemory(), evidence.CaseID(uuid.New())
	for n := range exhibits {
		label := evidence.Name(fmt.Sprintf("E-%06d", n))
		state.Save(evidence.Changes{Exhibits: []evidence.Exhibit{{
			Case: c, ExhibitDescription: evidence.ExhibitDescription{
				Label: label, Kind: "disk", Make: fmt.Sprint("Maker of ", n), Serial: fmt.Sprint("S/N ", n),
				FoundBy: fmt.Sprint("custodian", n%8), FoundAt: fmt.Sprint("place ", n), Witness: fmt.Sprint("witness", n%8),
			},
			State: evidence.Held, Numbers: map[evidence.Class]int{},
		}}})
		state.Record(c, sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))), int64(n))
	}
	each := (heap() - base) / exhibits
	t.Logf("%d bytes for an entry and its exhibit", each)
	if each > limit {
		t.Errorf("more than %d", limit)
	}
	runtime.KeepAlive(state)
}
