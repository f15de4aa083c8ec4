package custody

import (
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
)

// TestRowsMemory compares many rows, and looks at the heap meanwhile: a service does so
// again and again beside its work.
func TestRowsMemory(t *testing.T) {
	const exhibits, limit = 20_000, 300 // bytes each, beside the state
	id, state := evidence.CaseID(uuid.New()), evidence.NewMemory()
	fill := func() evidence.Changes {
		ch := evidence.Changes{Cases: []evidence.Case{{ID: id, Reference: "C-1", State: evidence.Open}}}
		for n := range exhibits {
			ch.Exhibits = append(ch.Exhibits, evidence.Exhibit{
				Case: id, State: evidence.Held, Numbers: map[evidence.Class]int{},
				ExhibitDescription: evidence.ExhibitDescription{Label: evidence.Name(fmt.Sprintf("E-%06d", n)), Kind: "disk", FoundAt: fmt.Sprint("place ", n)},
			})
		}
		return ch
	}
	state.Save(fill())
	db, err := database.Create(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), database.Meta{Origin: "example.org/memory", VerifierKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := db.Update(t.Context(), func(tx *database.Tx) error { return tx.Save(fill()) }); err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(5)) // what is garbage shall not count for much
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	base, peak := heap(), uint64(0)
	a, done := &audit{state: state}, make(chan error)
	go func() { done <- db.View(t.Context(), a.rows) }()
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		case <-time.After(time.Millisecond):
			now := heap()
			peak = max(peak, now-min(base, now))
		}
	}
	if err != nil || len(a.r.Findings) > 0 || a.r.Rows != exhibits+1 {
		t.Fatalf("%d rows, findings %v, %v", a.r.Rows, a.r.Findings, err)
	}
	t.Logf("%d bytes for an exhibit", peak/exhibits)
	if peak > exhibits*limit {
		t.Errorf("%d KiB of memory for %d rows", peak>>10, exhibits)
	}
}

// UnreadWaits has the self-audit try again after other times, until the test ends.
func UnreadWaits(t testing.TB, waits ...time.Duration) {
	before := unreadWaits
	unreadWaits = waits
	t.Cleanup(func() { unreadWaits = before })
}
