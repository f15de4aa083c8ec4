package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

const origin = "lab.example/custody"

// lab is a service on an empty directory, behind a server on a real socket.
type lab struct {
	t       *testing.T
	service *custody.Service
	server  *Server
	url     string
	log     *logged
	keys    map[identity.Principal]identity.Signer
}

// logged is the server's log, as written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newLab starts a service whose first person, examiner1, is administrator,
// custodian and examiner.
func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t, log: &logged{}, keys: map[identity.Principal]identity.Signer{}}
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	must(t, err)
	signer, err := ledger.CreateSigner(filepath.Join(dir, "signer"), skey)
	must(t, err)
	db, err := database.Create(t.Context(), filepath.Join(dir, "custody.db"), database.Meta{Origin: origin, VerifierKey: vkey})
	must(t, err)
	objects, err := objectstore.CreateDirectory(filepath.Join(dir, "objects"), objectstore.Mutable())
	must(t, err)
	log := slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	roles, err := identity.NewRoles(identity.RoleAdministrator, identity.RoleCustodian, identity.RoleExaminer)
	must(t, err)
	l.service, err = custody.Open(t.Context(), custody.Config{
		Database: db, Objects: objects, Ledger: signer, Key: l.key(identity.Service), Version: "test", Now: time.Now,
		Random: rand.Reader, Logger: log, RetainDays: 1, Session: time.Hour, Workers: 2,
		Administrator: &evidence.PersonEnrolled{Principal: "examiner1", Name: "Eve Examiner", Roles: roles, Key: l.key("examiner1").PublicKey()},
	})
	must(t, err)
	l.server, err = New(Config{Custody: l.service, Logger: log, Metrics: prometheus.NewRegistry(), Version: "test"})
	must(t, err)

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	l.url = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, l.server, 5*time.Second) }()
	t.Cleanup(func() {
		stop()
		must(t, <-served)
		must(t, l.service.Close(context.Background()))
		must(t, objects.Close())
		must(t, db.Close())
		must(t, signer.Close())
	})
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// key gives the key of a principal, made on first use.
func (l *lab) key(p identity.Principal) identity.Signer {
	l.t.Helper()
	if l.keys[p] == nil {
		path := filepath.Join(l.t.TempDir(), "key")
		_, err := identity.GenerateKeyFile(path, string(p), rand.Reader)
		must(l.t, err)
		l.keys[p], err = identity.LoadKeyFile(path, nil)
		must(l.t, err)
	}
	return l.keys[p]
}

// as gives a client that signs in as p when it has to.
func (l *lab) as(p identity.Principal) *client.Client {
	l.t.Helper()
	var c *client.Client
	c, err := client.New(client.Config{Server: l.url, Agent: "test", SignIn: func(ctx context.Context) (identity.Token, error) {
		challenge, err := c.Challenge(ctx, p)
		if err != nil {
			return identity.Token{}, err
		}
		signature, err := l.key(p).Sign(ctx, identity.NamespaceSession, []byte(challenge))
		if err != nil {
			return identity.Token{}, err
		}
		session, err := c.SignIn(ctx, challenge, signature)
		return session.Token, err
	}})
	must(l.t, err)
	l.t.Cleanup(c.Close)
	return c
}

// sign gives a payload of p about a case, having seen its newest entry.
func (l *lab) sign(c *client.Client, p identity.Principal, of evidence.CaseID, ref evidence.Name, body evidence.Body) (payload, signature []byte) {
	l.t.Helper()
	var seen digest.SHA256
	if _, opens := body.(evidence.CaseOpened); !opens {
		at, err := c.Position(l.t.Context(), ref)
		must(l.t, err)
		seen = at.Seen
	}
	var salt digest.SHA256
	_, err := rand.Read(salt[:])
	must(l.t, err)
	e := evidence.Event{
		Actor: p, At: evidence.TimeOf(time.Now()), Body: body, Case: of, ID: newID(l.t),
		Log: origin, Salt: salt, Seen: seen, Tool: "test 1",
	}
	payload, err = e.Encode()
	must(l.t, err)
	signature, err = l.key(p).Sign(l.t.Context(), identity.NamespaceEvent, payload)
	must(l.t, err)
	return payload, signature
}

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	must(t, err)
	return id
}

// record has p sign and record.
func (l *lab) record(p identity.Principal, of evidence.CaseID, ref evidence.Name, body evidence.Body) {
	l.t.Helper()
	c := l.as(p)
	payload, signature := l.sign(c, p, of, ref, body)
	_, err := c.Record(l.t.Context(), payload, signature)
	must(l.t, err)
}

// enrol makes a person known.
func (l *lab) enrol(p identity.Principal, roles ...identity.Role) {
	l.t.Helper()
	held, err := identity.NewRoles(roles...)
	must(l.t, err)
	l.record("examiner1", evidence.CaseID{}, "", evidence.PersonEnrolled{
		Principal: p, Name: "Name of " + string(p), Roles: held, Key: l.key(p).PublicKey(),
	})
}

// open opens the case 2026-0042 with the exhibit E-001.
func (l *lab) open() evidence.CaseID {
	l.t.Helper()
	var id evidence.CaseID
	_, err := rand.Read(id[:])
	must(l.t, err)
	l.record("examiner1", id, "", evidence.CaseOpened{Reference: "2026-0042", Title: "Secret title", RetainDays: 1})
	l.record("examiner1", id, "2026-0042", evidence.ExhibitAdded{
		Label: "E-001", Kind: "disk", FoundBy: "Eve", FoundAt: "Room 1", Witness: "Will",
	})
	return id
}

// declare announces an upload.
func (l *lab) declare(of evidence.CaseID, title string, size int64, log *evidence.LogFile) uuid.UUID {
	l.t.Helper()
	id := newID(l.t)
	l.record("examiner1", of, "2026-0042", evidence.IntakeDeclared{
		Intake: id, Exhibit: "E-001", Title: title, Size: size,
		Acquisition: evidence.Acquisition{Tool: "dd 9.1", Witness: "Will", Place: "Lab", Log: log},
	})
	return id
}

// ingest uploads and seals content as the next master.
func (l *lab) ingest(of evidence.CaseID, title string, content []byte) {
	l.t.Helper()
	c := l.as("examiner1")
	id := l.declare(of, title, int64(len(content)), nil)
	n, err := c.Upload(l.t.Context(), id, int64(len(content)), from(content))
	if err != nil || n != int64(len(content)) {
		l.t.Fatalf("upload: %d, %v", n, err)
	}
	_, err = c.Complete(l.t.Context(), id, sha256Of(l.t, content))
	must(l.t, err)
	facts := l.facts(c, id)
	l.record("examiner1", of, "2026-0042", evidence.CopySealed{Facts: facts})
}

// facts waits until an intake can be signed.
func (l *lab) facts(c *client.Client, id uuid.UUID) evidence.Facts {
	l.t.Helper()
	for {
		status, err := c.Intake(l.t.Context(), id, 30*time.Second)
		must(l.t, err)
		switch {
		case status.Facts != nil:
			return *status.Facts
		case status.Problem != "":
			l.t.Fatalf("intake: %s", status.Problem)
		}
	}
}

func from(content []byte) func(int64) (io.Reader, error) {
	return func(offset int64) (io.Reader, error) { return bytes.NewReader(content[offset:]), nil }
}

func sha256Of(t *testing.T, content []byte) digest.Set {
	t.Helper()
	sum := sha256.Sum256(content)
	set, err := digest.Set{}.With(digest.AlgSHA256, hex.EncodeToString(sum[:]))
	must(t, err)
	return set
}
