package custody

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"runtime"
	"slices"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// The findings of an audit, beside those of package verify about entries, tree
// hashes and checkpoints. They stay for ever:
//
//	database-damaged    the database's pages, indexes, tables or triggers are not as they were made
//	store-damaged       the object store is not one that this program could have made
//	signer-state        the signer's record of what it signed is damaged or of another key
//	database-key        the database is for another ledger or key
//	row-missing         the entries made a noun of which there is no row
//	row-unknown         a row of a noun that no entry made
//	row-differs         a row says something else than the entries
//	row-damaged         a row that the service did not write: its columns are not its doc's
//	row-order           people do not stand in the order of their enrolment
//	object-missing      the store does not have the version that an entry names
//	object-bucket       it is in another bucket
//	object-size         it has another size
//	object-lock         it is locked less strictly than the entry says
//	object-retention    it is locked for less long than the entry says
//	object-unreadable   the store cannot tell what it is
//	object-unknown      an object that no intake explains
//	object-version      a version beside the one that the ledger names
//	object-marker       a delete marker hides an object
//	segment-foreign     an object with the name of a segment that the ledger's key did not sign
//	store-ahead         the store holds more of the ledger than the database
//	upload-unknown      an unfinished upload in the store that no intake under way explains
//	content-differs     bytes of a copy are not those of the entry (and, with the same
//	object-differs      meaning, of what lies beside a copy)
//	content-unreadable  not all bytes could be read
//	content-unstable    gave different bytes when read twice
//	midstates           the sealed list is not that of the sealed bytes
const (
	CodeDatabaseDamaged  verify.Code = "database-damaged"
	CodeStoreDamaged     verify.Code = "store-damaged"
	CodeSignerState      verify.Code = "signer-state"
	CodeDatabaseKey      verify.Code = "database-key"
	CodeRowMissing       verify.Code = "row-missing"
	CodeRowUnknown       verify.Code = "row-unknown"
	CodeRowDiffers       verify.Code = "row-differs"
	CodeRowDamaged       verify.Code = "row-damaged"
	CodeRowOrder         verify.Code = "row-order"
	CodeObjectMissing    verify.Code = verify.CodeObjectMissing
	CodeObjectBucket     verify.Code = "object-bucket"
	CodeObjectSize       verify.Code = "object-size"
	CodeObjectLock       verify.Code = "object-lock"
	CodeObjectRetention  verify.Code = "object-retention"
	CodeObjectUnreadable verify.Code = "object-unreadable"
	CodeObjectUnknown    verify.Code = verify.CodeObjectUnknown
	CodeObjectVersion    verify.Code = "object-version"
	CodeObjectMarker     verify.Code = "object-marker"
	CodeUploadUnknown    verify.Code = "upload-unknown"
	CodeSegmentForeign   verify.Code = "segment-foreign"
	CodeStoreAhead       verify.Code = "store-ahead"
)

// AuditStage says what an audit is at.
type AuditStage string

// The stages, in their order.
const (
	AuditEntries AuditStage = "entries" // counted in entries
	AuditObjects AuditStage = "objects" // counted in objects that the ledger names
	AuditBytes   AuditStage = "bytes"   // counted in bytes, when contents are read
)

// AuditConfig is what an audit looks at. It changes nothing.
type AuditConfig struct {
	Database *database.DB
	Objects  Objects            // nil, when StoreErr says why
	StoreErr error              // of opening the store
	Key      ledger.VerifierKey // of the ledger, not as the database has it
	Signed   ledger.Checkpoint  // what the key's signer signed last
	Workers  int                // cores to verify and hash on; 0: one for each
	Contents bool               // read and hash every object
	// Progress, if not nil, is told how far a stage has come, from any goroutine. A
	// total may be passed: damaged ranges are read twice.
	Progress func(stage AuditStage, done, total int64)
}

// AuditReport is what an audit came to. Lists are never nil, and in an order that
// depends on nothing but what was found.
type AuditReport struct {
	Origin      ledger.Origin    `json:"origin"` // empty, when the ledger could not be opened
	Entries     int64            `json:"entries"`
	Root        ledger.Hash      `json:"root"`
	Signed      int64            `json:"signed"` // entries under the newest checkpoint that holds
	Checkpoints int64            `json:"checkpoints"`
	Rows        int64            `json:"rows"`     // of nouns
	Objects     int64            `json:"objects"`  // in the store
	Contents    bool             `json:"contents"` // their bytes were read
	Findings    []verify.Finding `json:"findings"`
	Pending     []PendingIntake  `json:"pending"`
	Notes       []string         `json:"notes"`                // what is no finding and should be known
	Incomplete  string           `json:"incomplete,omitempty"` // why not everything was looked at
}

// PendingIntake is a copy on its way: no finding, but nothing proves it yet.
type PendingIntake struct {
	Intake   uuid.UUID          `json:"intake"`
	Case     evidence.Name      `json:"case"`
	Exhibit  evidence.Name      `json:"exhibit"`
	Class    evidence.Class     `json:"class"`
	Title    string             `json:"title"`
	Size     int64              `json:"size"`
	By       identity.Principal `json:"by"`
	Declared evidence.Time      `json:"declared"`
	Objects  int                `json:"objects"` // that are in the store already
}

// audit is one audit under way.
type audit struct {
	cfg   AuditConfig
	r     AuditReport
	state *evidence.Memory // as the entries make it
	noted map[uuid.UUID]objectstore.Upload
	publication
	witnessed keptObjects
	stamps    keptObjects
}

// Audit holds everything that a service keeps against its ledger, and the ledger
// against what was signed: every entry, every row of the projections in both
// directions, every object that an entry names, and every object of the store. The
// error means that it could not look at everything; what it found until then stands
// in the report beside it.
func Audit(ctx context.Context, cfg AuditConfig) (AuditReport, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(AuditStage, int64, int64) {}
	}
	a := &audit{cfg: cfg, r: AuditReport{
		Origin: cfg.Key.Origin(), Contents: cfg.Contents,
		Findings: []verify.Finding{}, Pending: []PendingIntake{}, Notes: []string{},
	}}
	if err := a.everything(ctx); err != nil {
		a.r.Incomplete = err.Error()
		return a.r, fmt.Errorf("audit: %w", err)
	}
	return a.r, nil
}

func (a *audit) everything(ctx context.Context) error {
	damage, err := a.cfg.Database.Damage(ctx)
	if err != nil {
		return err
	}
	for _, words := range damage {
		a.find(CodeDatabaseDamaged, "database", "%s", words)
	}
	err = a.cfg.Database.View(ctx, func(tx *database.Tx) error { // one moment of the ledger and its rows
		if err := a.ledger(ctx, tx); err != nil {
			return err
		}
		return errors.Join(a.rows(tx), a.work(tx), a.published(tx), a.cosigned(tx), a.anchored(tx))
	})
	switch {
	case err != nil:
		return err
	case a.cfg.Objects != nil:
		return a.objects(ctx)
	case errors.Is(a.cfg.StoreErr, objectstore.ErrFormat), errors.Is(a.cfg.StoreErr, fs.ErrNotExist):
		a.find(CodeStoreDamaged, "store", "%v", a.cfg.StoreErr)
		a.note("no object could be looked at")
		return nil
	}
	return a.cfg.StoreErr
}

func (a *audit) find(code verify.Code, subject, format string, args ...any) {
	a.r.Findings = append(a.r.Findings, finding(code, subject, format, args...))
}

func finding(code verify.Code, subject, format string, args ...any) verify.Finding {
	return verify.NewFinding(code, subject, format, args...)
}

// workers is how many cores there are to hash on.
func (a *audit) workers() int {
	if a.cfg.Workers > 0 {
		return a.cfg.Workers
	}
	return runtime.GOMAXPROCS(0)
}

func (a *audit) note(format string, args ...any) {
	a.r.Notes = append(a.r.Notes, fmt.Sprintf(format, args...))
}

// ledger judges the entries, the tree's hashes and the checkpoints.
func (a *audit) ledger(ctx context.Context, tx *database.Tx) error {
	meta := a.cfg.Database.Meta()
	if meta.Origin != string(a.r.Origin) || meta.VerifierKey != a.cfg.Key.String() {
		a.find(CodeDatabaseKey, "database", "is for %s with the key %s, the key is %s", meta.Origin, meta.VerifierKey, a.cfg.Key)
	}
	report, state, err := verify.Ledger(ctx, verify.LedgerSource{
		Key: a.cfg.Key, Last: a.cfg.Signed, Entries: a.entries(tx), Hashes: hashesOf(tx), Checkpoints: checkpointsOf(tx),
	}, a.workers())
	a.r.Entries, a.r.Root, a.r.Signed, a.r.Checkpoints = report.Entries, report.Root, report.Signed, report.Checkpoints
	a.r.Findings = append(a.r.Findings, report.Findings...)
	for _, code := range slices.Sorted(maps.Keys(report.More)) {
		a.find(code, "ledger", "%d more of this kind", report.More[code])
	}
	if err != nil {
		return err
	}
	if report.Erased > 0 {
		a.note("%d payloads were erased: what their signatures were made over is gone, and they cannot be checked", report.Erased)
	}
	if unsigned := report.Entries - report.Signed; unsigned > 0 {
		a.note("no checkpoint covers the newest %d entries: the service signs them when it starts", unsigned)
	}
	a.state = state
	return nil
}

// auditPage is how many rows are read at once.
const auditPage = 256

func (a *audit) entries(tx *database.Tx) iter.Seq2[verify.Record, error] {
	var total int64 // not known where the newest entry is damaged
	if head, err := tx.Head(); err == nil {
		total = head.Size
	}
	var done int64
	return paged(tx.Entries, func(e database.Entry) (verify.Record, int64) {
		if done++; done%auditPage == 0 || done == total {
			a.cfg.Progress(AuditEntries, done, total)
		}
		return recordOf(e)
	})
}

// recordOf gives an entry as the judge takes it.
func recordOf(e database.Entry) (verify.Record, int64) {
	return verify.Record{
		Seq: e.Seq, Case: e.Case, CaseSeq: e.CaseSeq, EventID: e.EventID, Leaf: e.Leaf,
		Envelope: e.Envelope, Payload: e.Payload, Signature: e.Signature, Erased: e.Erased,
	}, e.Seq
}

func hashesOf(tx *database.Tx) iter.Seq2[verify.TreeHash, error] {
	return paged(tx.TreeHashes, treeHashOf)
}

func treeHashOf(h database.TreeHash) (verify.TreeHash, int64) { return verify.TreeHash(h), h.Index }

func checkpointsOf(tx *database.Tx) iter.Seq2[verify.KeptCheckpoint, error] {
	return paged(tx.Checkpoints, checkpointOf)
}

func checkpointOf(c database.Checkpoint) (verify.KeptCheckpoint, int64) {
	return verify.KeptCheckpoint(c), c.Size
}

// paged reads rows in the order of a number that each of them has, a page at a time.
func paged[R, T any](read func(from int64, limit int) ([]R, error), item func(R) (T, int64)) iter.Seq2[T, error] {
	return pagedFrom(0, read, item)
}

func pagedFrom[R, T any](from int64, read func(from int64, limit int) ([]R, error), item func(R) (T, int64)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for from := from; ; {
			page, err := read(from, auditPage)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, row := range page {
				t, number := item(row)
				if from = number + 1; !yield(t, nil) {
					return
				}
			}
			if len(page) < auditPage {
				return
			}
		}
	}
}

// AuditDamage is the report of an audit that ends before it can begin: the ledger
// cannot be opened because it is damaged. It is false for any other error.
func AuditDamage(err error) (AuditReport, bool) {
	r := AuditReport{Findings: []verify.Finding{}, Pending: []PendingIntake{}, Notes: []string{}}
	switch {
	case errors.Is(err, database.ErrDamaged), errors.Is(err, database.ErrFormat):
		r.Findings = append(r.Findings, finding(CodeDatabaseDamaged, "database", "%v", err))
	case errors.Is(err, ledger.ErrState):
		r.Findings = append(r.Findings, finding(CodeSignerState, "signer", "%v", err))
	default:
		return AuditReport{}, false
	}
	r.Notes = append(r.Notes, "nothing else could be looked at")
	return r, true
}
