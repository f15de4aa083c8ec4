package custody_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

const (
	origin  = "lab.example/custody"
	theCase = "2026-0042"
)

// staff are the people of the lab. The first one is enrolled by the service.
var staff = []struct {
	principal identity.Principal
	roles     identity.Roles
}{
	{"admin", identity.Roles{identity.RoleAdministrator}},
	{"examiner1", identity.Roles{identity.RoleExaminer}},
	{"examiner2", identity.Roles{identity.RoleExaminer}},
	{"custodian1", identity.Roles{identity.RoleCustodian}},
	{"analyst1", identity.Roles{identity.RoleAnalyst}},
	{"analyst2", identity.Roles{identity.RoleAnalyst}},
	{"legal1", identity.Roles{identity.RoleLegal}},
	{"auditor1", identity.Roles{identity.RoleAuditor}},
	{"screener1", identity.Roles{identity.RoleScreener}},
}

// clock moves by a millisecond each time somebody looks at it.
type clock struct {
	micro atomic.Int64
	look  atomic.Pointer[func()] // called at every look; may be nil
}

func newClock() *clock {
	c := &clock{}
	c.micro.Store(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) Now() time.Time {
	if look := c.look.Load(); look != nil {
		(*look)()
	}
	return time.UnixMicro(c.micro.Add(1000)).UTC()
}

// each has do called at every look.
func (c *clock) each(do func()) { c.look.Store(&do) }

func (c *clock) advance(d time.Duration) { c.micro.Add(d.Microseconds()) }

// lab is a service over a database, an object directory and a signer in one
// directory, and the people who work with it.
type lab struct {
	t      testing.TB
	dir    string
	clock  *clock
	store  *store
	db     *database.DB
	signer *ledger.Signer
	*custody.Service

	people map[identity.Principal]custody.Caller
	mu     sync.Mutex
	acked  []custody.Recorded // everything that was acknowledged
	logged *lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("error is %v, want %v", got, want)
	}
}

// labAt gives a lab on files that are there.
func labAt(t testing.TB, dir string) *lab {
	l := &lab{
		t: t, dir: dir, clock: newClock(), logged: &lines{},
		people: map[identity.Principal]custody.Caller{}, store: &store{partSize: 8 << 20},
	}
	for _, p := range staff {
		l.people[p.principal] = custody.Caller{Principal: p.principal, Roles: p.roles, Method: "session"}
	}
	return l
}

// newLab gives an open lab with all its staff.
func newLab(t testing.TB) *lab {
	t.Helper()
	l := emptyLab(t)
	l.up()
	l.enrolAll()
	return l
}

func (l *lab) enrolAll() {
	l.t.Helper()
	for _, p := range staff[1:] {
		l.record("admin", "", evidence.PersonEnrolled{
			Principal: p.principal, Name: "Name of " + string(p.principal), Roles: p.roles, Key: l.key(p.principal).PublicKey(),
		})
	}
}

func (l *lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.dir}, elements...)...)
}

func (l *lab) key(p identity.Principal) identity.Signer {
	l.t.Helper()
	key, err := identity.LoadKeyFile(l.path("keys", string(p)), nil)
	must(l.t, err)
	return key
}

// files opens what the service works with.
func (l *lab) files() custody.Config {
	l.t.Helper()
	skey, err := os.ReadFile(l.path("skey"))
	must(l.t, err)
	l.signer, err = ledger.OpenSigner(l.path("signer"), string(skey))
	must(l.t, err)
	l.db, err = database.Open(l.t.Context(), l.path("ledger.db"))
	must(l.t, err)
	l.store.Directory, err = objectstore.OpenDirectory(l.path("objects"), objectstore.Mutable())
	must(l.t, err)
	return custody.Config{
		Database: l.db, Objects: l.store, Ledger: l.signer, Key: l.key(identity.Service), Version: "test",
		Now: l.clock.Now, Random: rand.Reader, Logger: slog.New(slog.NewTextHandler(l.logged, nil)),
		Administrator: &evidence.PersonEnrolled{
			Principal: "admin", Name: "First Administrator", Roles: staff[0].roles, Key: l.key("admin").PublicKey(),
		},
		RetainDays: 30, Session: time.Hour, Workers: 2, PublishWithin: 1,
	}
}

// up opens the service; it ends with the test.
func (l *lab) up() {
	l.t.Helper()
	must(l.t, l.open(l.files()))
	l.t.Cleanup(func() {
		if l.Service != nil {
			l.down()
		}
	})
}

// open opens the service, or closes the files again.
func (l *lab) open(cfg custody.Config) error {
	l.t.Helper()
	s, err := custody.Open(l.t.Context(), cfg)
	if err != nil {
		l.closeFiles()
		return err
	}
	l.Service = s
	return nil
}

func (l *lab) down() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.Context()), 30*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		l.t.Errorf("close: %v", err)
	}
	l.Service = nil
	l.closeFiles()
}

func (l *lab) closeFiles() {
	l.t.Helper()
	if err := errors.Join(l.db.Close(), l.store.Directory.Close(), l.signer.Close()); err != nil {
		l.t.Errorf("close files: %v", err)
	}
}

func (l *lab) restart() {
	l.t.Helper()
	l.down()
	l.store = &store{partSize: l.store.partSize}
	must(l.t, l.open(l.files()))
}

func (l *lab) ctx() context.Context { return l.t.Context() }

// caseID gives the id of a case.
func (l *lab) caseID(ref evidence.Name) evidence.CaseID {
	l.t.Helper()
	p, err := l.Position(l.ctx(), l.people["admin"], ref)
	must(l.t, err)
	return p.Case
}

// event gives an event whose actor has seen everything. A case.opened gets a new
// case.
func (l *lab) event(p identity.Principal, ref evidence.Name, body evidence.Body) evidence.Event {
	l.t.Helper()
	e := evidence.Event{
		Actor: p, At: evidence.TimeOf(l.clock.Now()), Body: body, ID: uuid.Must(uuid.NewV7()), Log: origin, Tool: "test 1",
	}
	_, err := rand.Read(e.Salt[:])
	must(l.t, err)
	if _, opens := body.(evidence.CaseOpened); opens {
		_, err := rand.Read(e.Case[:])
		must(l.t, err)
		return e
	}
	at, err := l.Position(l.ctx(), l.people["admin"], ref)
	must(l.t, err)
	e.Case, e.Seen = at.Case, at.Seen
	return e
}

// sign gives the payload of an event and its actor's signature.
func (l *lab) sign(e evidence.Event) (payload, signature []byte) {
	l.t.Helper()
	return l.signAs(e, e.Actor)
}

func (l *lab) signAs(e evidence.Event, p identity.Principal) (payload, signature []byte) {
	l.t.Helper()
	payload, err := e.Encode()
	must(l.t, err)
	signature, err = l.key(p).Sign(context.WithoutCancel(l.ctx()), identity.NamespaceEvent, payload)
	must(l.t, err)
	return payload, signature
}

// try signs and records an event.
func (l *lab) try(p identity.Principal, ref evidence.Name, body evidence.Body) (custody.Recorded, error) {
	l.t.Helper()
	return l.send(l.event(p, ref, body))
}

// send records an event and, like a client, keeps the receipt.
func (l *lab) send(e evidence.Event) (custody.Recorded, error) {
	l.t.Helper()
	payload, signature := l.sign(e)
	r, err := l.Record(l.ctx(), l.people[e.Actor], payload, signature)
	if err == nil {
		l.ack(r, payload)
	}
	return r, err
}

// ack verifies a receipt and keeps it.
func (l *lab) ack(r custody.Recorded, payload []byte) {
	l.t.Helper()
	receipt, err := ledger.ParseReceipt(r.Receipt)
	must(l.t, err)
	envelope, _, err := receipt.Verify(l.signer.Key())
	must(l.t, err)
	if envelope.Seq != r.Seq || envelope.CaseSeq != r.CaseSeq || !bytes.Equal(receipt.Envelope, r.Envelope) ||
		ledger.LeafHash(r.Envelope) != ledger.Hash(r.Leaf) || payload != nil && envelope.Payload != sha256.Sum256(payload) {
		l.t.Fatalf("entry %d: the receipt is of another entry", r.Seq)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, r)
}

// record is try that has to succeed.
func (l *lab) record(p identity.Principal, ref evidence.Name, body evidence.Body) custody.Recorded {
	l.t.Helper()
	r, err := l.try(p, ref, body)
	if err != nil {
		l.t.Fatalf("%T by %s: %v", body, p, err)
	}
	return r
}

// openCase opens theCase with the exhibit E-001.
func (l *lab) openCase() {
	l.t.Helper()
	l.record("examiner1", "", evidence.CaseOpened{Reference: theCase, Title: "A stolen laptop", Jurisdictions: []string{"AT"}, RetainDays: 30})
	l.record("examiner1", theCase, exhibit("E-001"))
}

func exhibit(label evidence.Name) evidence.ExhibitAdded {
	return evidence.ExhibitAdded{Label: label, Kind: "disk", FoundBy: "examiner1", FoundAt: "desk", Witness: "legal1"}
}

// declaration announces content as a master copy of E-001.
func declaration(content []byte) evidence.IntakeDeclared {
	return evidence.IntakeDeclared{
		Intake: uuid.Must(uuid.NewV7()), Exhibit: "E-001", Title: "disk.dd", Size: int64(len(content)),
		Acquisition: evidence.Acquisition{Tool: "dc3dd 7.2.646", Witness: "legal1", Place: "lab"},
	}
}

// hashes gives the digests of content.
func hashes(t testing.TB, content []byte, algorithms ...digest.Algorithm) digest.Set {
	t.Helper()
	set, _, err := digest.Sum(context.Background(), bytes.NewReader(content), algorithms...)
	must(t, err)
	return set
}

func only(t testing.TB, a digest.Algorithm, value string) digest.Set {
	t.Helper()
	set, err := digest.Set{}.With(a, value)
	must(t, err)
	return set
}

func sum(content []byte) digest.SHA256 { return sha256.Sum256(content) }

func hexSum(content []byte) string {
	s := sum(content)
	return hex.EncodeToString(s[:])
}

// content gives bytes that look random and are the same each time.
func content(size int, seed byte) []byte {
	b := make([]byte, size)
	_, _ = mathrand.NewChaCha8([32]byte{seed}).Read(b) // never fails, see its documentation
	return b
}

// await polls an intake until it is in the phase.
func (l *lab) await(id uuid.UUID, phase custody.Phase) custody.IntakeStatus {
	l.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		status, err := l.Intake(l.ctx(), l.people["examiner1"], id, time.Second)
		must(l.t, err)
		if status.Phase == phase {
			return status
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("intake is %s (%s), want %s; log:\n%s", status.Phase, status.Problem, phase, l.logged)
		}
		time.Sleep(time.Millisecond)
	}
}

// upload sends what the service does not have of an intake's content.
func (l *lab) upload(id uuid.UUID, content []byte) {
	l.t.Helper()
	u, err := l.OpenUpload(l.ctx(), l.people["examiner1"], id)
	must(l.t, err)
	n, err := u.WriteFrom(l.ctx(), u.Offset(), bytes.NewReader(content[u.Offset():]))
	must(l.t, err)
	if u.Offset()+n != int64(len(content)) {
		l.t.Fatalf("%d bytes from %d on are durable, want %d", n, u.Offset(), len(content))
	}
}

// attach stores an object beside the content.
func (l *lab) attach(id uuid.UUID, role evidence.Role, data []byte) (evidence.Object, error) {
	l.t.Helper()
	return l.Attach(l.ctx(), l.people["examiner1"], id, role, int64(len(data)), bytes.NewReader(data))
}

// seal takes content in as the next master of E-001.
func (l *lab) seal(content []byte) evidence.Facts {
	l.t.Helper()
	return l.sealLogged(content, nil)
}

// sealLogged does so with the log of the imaging tool, if there is one.
func (l *lab) sealLogged(content, log []byte) evidence.Facts {
	l.t.Helper()
	d := declaration(content)
	if log != nil {
		d.Acquisition.Log = &evidence.LogFile{Name: "dc3dd.log", Size: int64(len(log)), SHA256: sum(log)}
	}
	l.record("examiner1", theCase, d)
	if log != nil {
		_, err := l.attach(d.Intake, evidence.ToolLog, log)
		must(l.t, err)
	}
	l.upload(d.Intake, content)
	_, err := l.Complete(l.ctx(), l.people["examiner1"], d.Intake, hashes(l.t, content))
	must(l.t, err)
	facts := l.await(d.Intake, custody.Ready).Facts
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *facts})
	return *facts
}

// issue makes a working copy of a master for somebody.
func (l *lab) issue(of evidence.Number, to identity.Principal) evidence.Facts {
	l.t.Helper()
	binding := evidence.Binding{Of: of, To: to, Purpose: "search for invoices"}
	request := evidence.CopyRequested{Intake: uuid.Must(uuid.NewV7()), Exhibit: "E-001", Binding: binding}
	l.record("examiner1", theCase, request)
	facts := l.await(request.Intake, custody.Ready).Facts
	l.record("examiner1", theCase, evidence.CopyIssued{Facts: *facts, Binding: binding})
	return *facts
}

func at(number evidence.Number) evidence.Path {
	return evidence.Path{Case: theCase, Exhibit: "E-001", Copy: number}
}

// verify runs a fixity check to its end.
func (l *lab) verify(p identity.Principal, number evidence.Number) custody.CheckStatus {
	l.t.Helper()
	id, err := l.StartCheck(l.ctx(), l.people[p], at(number))
	must(l.t, err)
	status, err := l.Check(l.ctx(), l.people[p], id, time.Minute)
	must(l.t, err)
	if !status.Done {
		l.t.Fatal("the check is not done")
	}
	return status
}

// fetch reads all of a download.
func (l *lab) fetch(p identity.Principal, number evidence.Number, offset, length int64) ([]byte, error) {
	l.t.Helper()
	d, err := l.Fetch(l.ctx(), l.people[p], at(number), offset, length)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(d)
	return data, errors.Join(err, d.Close())
}

// history gives the events of a case, newest last.
func (l *lab) history(p evidence.Path) []evidence.Event {
	l.t.Helper()
	var events []evidence.Event
	entries, err := l.History(l.ctx(), l.people["auditor1"], p, -1, 0)
	must(l.t, err)
	for _, e := range entries {
		event, err := evidence.Parse(e.Payload)
		must(l.t, err)
		events = append(events, event)
	}
	return events
}

// last gives the newest event of theCase.
func (l *lab) last() evidence.Event {
	l.t.Helper()
	events := l.history(evidence.Path{Case: theCase})
	return events[len(events)-1]
}

func (l *lab) copyOf(number evidence.Number) evidence.Copy {
	l.t.Helper()
	c, err := l.Copy(l.ctx(), l.people["examiner1"], at(number))
	must(l.t, err)
	return c
}
