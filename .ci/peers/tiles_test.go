package peers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	tessera "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/mirror"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/server"
)

const origin = "lab.example/custody"

// patience is how long Tessera may take: it waits for ever on some corrupt logs.
const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// judge has Tessera check a whole log.
func judge(t *testing.T, from fsck.Fetcher, vkey string) error {
	t.Helper()
	verifier, err := note.NewVerifier(vkey)
	must(t, err)
	hash := func(bundle []byte) ([][]byte, error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		var leaves [][]byte
		for _, entry := range b.Entries {
			leaves = append(leaves, rfc6962.DefaultHasher.HashLeaf(entry))
		}
		return leaves, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	verdict := make(chan error, 1)
	go func() { verdict <- fsck.New(origin, verifier, from, hash, fsck.Opts{N: 2}).Check(ctx) }()
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// made is a ledger that was made without a service, as the source of a mirror.
type made struct {
	skey, vkey string
	size       int64
	tree       ledger.Tree
	hashes     []ledger.Hash
	lines      [][]byte
}

func makeLedger(t *testing.T, size int64) *made {
	t.Helper()
	m := &made{size: size}
	var err error
	m.skey, m.vkey, err = ledger.GenerateKey(rand.Reader, origin)
	must(t, err)
	var head ledger.Head
	var none ledger.CaseHead
	for range size {
		e := ledger.Next(head, none, ledger.Envelope{Log: origin, Type: ledger.Event, Time: ledger.TimeOf(time.Unix(1e9, 0))})
		line := e.Bytes()
		leaf := ledger.LeafHash(line)
		head, none = head.After(e, leaf), none.After(e, leaf)
		m.hashes, m.lines = m.tree.Append(m.hashes, leaf), append(m.lines, line)
	}
	return m
}

func (m *made) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	out := make([]ledger.Hash, len(indexes))
	for i, n := range indexes {
		out[i] = m.hashes[n]
	}
	return out, nil
}

func (m *made) Checkpoint(context.Context) ([]byte, error) {
	signer, err := note.NewSigner(m.skey)
	if err != nil {
		return nil, err
	}
	root, err := ledger.RootAt(m.size, m)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: string(ledger.Checkpoint{Origin: origin, Size: m.size, Root: root}.Body())}, signer)
}

func (m *made) Tile(_ context.Context, t ledger.Tile) (content []byte, err error) {
	if err := t.Within(m.size); err != nil {
		return nil, err
	}
	if !t.Entries {
		return ledger.ReadTile(t, m)
	}
	for i := range int64(t.Width) {
		if content, err = ledger.AppendToBundle(content, m.lines[t.Index*ledger.TileWidth+i]); err != nil {
			return nil, err
		}
	}
	return content, nil
}

// TestFiles: Tessera accepts a mirror of every size at which something about tiles
// changes, and refuses it after one bit of any kind of file was turned.
func TestFiles(t *testing.T) {
	m := makeLedger(t, 65536+300)
	key, err := ledger.ParseVerifierKey(m.vkey)
	must(t, err)
	grown := filepath.Join(t.TempDir(), "grown")
	for _, size := range []int64{1, 2, 255, 256, 257, 512, 65535, 65536, 65537, 65536 + 300} {
		m.size = size
		_, _, err := mirror.At(grown, key).Update(t.Context(), m)
		must(t, err)
		if err := judge(t, tessera.FileFetcher{Root: grown}, m.vkey); err != nil {
			t.Errorf("%d entries, refused: %v", size, err)
		}
	}
	for _, size := range []int64{1, 256, 257} {
		m.size = size
		dir := filepath.Join(t.TempDir(), "mirror")
		_, _, err := mirror.At(dir, key).Update(t.Context(), m)
		must(t, err)
		must(t, filepath.WalkDir(filepath.Join(dir, "tile"), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			refuses(t, dir, path, m.vkey)
			return nil
		}))
		if err := judge(t, tessera.FileFetcher{Root: dir}, m.vkey); err != nil {
			t.Errorf("%d entries, mended and refused: %v", size, err)
		}
	}
}

// refuses turns one bit in the middle of a file, for a while.
func refuses(t *testing.T, dir, path, vkey string) {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	content[len(content)/2] ^= 4
	must(t, os.WriteFile(path, content, 0o600))
	if err := judge(t, tessera.FileFetcher{Root: dir}, vkey); err == nil {
		t.Errorf("%s: accepted with a bit turned", path)
	}
	content[len(content)/2] ^= 4
	must(t, os.WriteFile(path, content, 0o600))
}

// TestService: Tessera accepts what a real service answers, as it grows, and so its
// mirror; and refuses what a proxy on the way has changed.
func TestService(t *testing.T) {
	l := newLab(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	key, err := ledger.ParseVerifierKey(l.vkey)
	must(t, err)
	plain, err := client.New(client.Config{Server: l.url})
	must(t, err)
	defer plain.Close()
	for _, size := range []int64{3, 255, 256, 257, 300} {
		l.grow(size)
		if err := judge(t, l.fetcher(""), l.vkey); err != nil {
			t.Errorf("%d entries, refused: %v", size, err)
		}
		_, now, err := mirror.At(dir, key).Update(t.Context(), client.Log{Client: plain})
		must(t, err)
		if now.Size != size {
			t.Errorf("%d entries mirrored, want %d", now.Size, size)
		}
		if err := judge(t, tessera.FileFetcher{Root: dir}, l.vkey); err != nil {
			t.Errorf("mirror of %d entries, refused: %v", size, err)
		}
	}
	for _, path := range []string{
		layout.TilePath(0, 0, 0), layout.TilePath(0, 1, 300-256), layout.TilePath(1, 0, 1), layout.EntriesPath(0, 0), layout.EntriesPath(1, 300-256), "checkpoint",
	} {
		if err := judge(t, l.fetcher("/v1/log/"+path), l.vkey); err == nil {
			t.Errorf("%s: accepted with a bit turned", path)
		}
	}
}

// lab is a service on a socket, and the person who works with it.
type lab struct {
	t    *testing.T
	url  string
	vkey string
	key  identity.Signer
	size func() int64
	c    *client.Client
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t}
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	must(t, err)
	l.vkey = vkey
	signer, err := ledger.CreateSigner(filepath.Join(dir, "signer"), skey)
	must(t, err)
	db, err := database.Create(t.Context(), filepath.Join(dir, "custody.db"), database.Meta{Origin: origin, VerifierKey: vkey})
	must(t, err)
	objects, err := objectstore.CreateDirectory(filepath.Join(dir, "objects"), objectstore.Mutable())
	must(t, err)
	roles, err := identity.NewRoles(identity.RoleAdministrator, identity.RoleCustodian, identity.RoleExaminer)
	must(t, err)
	l.key = newKey(t)
	log := slog.New(slog.DiscardHandler)
	service, err := custody.Open(t.Context(), custody.Config{
		Database: db, Objects: objects, Ledger: signer, Key: newKey(t), Version: "test", Now: time.Now,
		Random: rand.Reader, Logger: log, RetainDays: 1, Session: time.Hour, Workers: 2,
		Administrator: &evidence.PersonEnrolled{Principal: "examiner1", Name: "Eve", Roles: roles, Key: l.key.PublicKey()},
	})
	must(t, err)
	handler, err := server.New(server.Config{Custody: service, Logger: log, Metrics: prometheus.NewRegistry(), Version: "test"})
	must(t, err)
	listening := httptest.NewServer(handler)
	l.url = listening.URL
	l.size = func() int64 { return service.Stats().Entries }
	l.c, err = client.New(client.Config{Server: l.url, SignIn: l.signIn})
	must(t, err)
	t.Cleanup(func() {
		l.c.Close()
		listening.Close()
		must(t, service.Close(context.Background()))
		must(t, errors.Join(objects.Close(), db.Close(), signer.Close()))
	})
	return l
}

func newKey(t *testing.T) identity.Signer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	_, err := identity.GenerateKeyFile(path, "test", rand.Reader)
	must(t, err)
	key, err := identity.LoadKeyFile(path, nil)
	must(t, err)
	return key
}

func (l *lab) signIn(ctx context.Context) (identity.Token, error) {
	challenge, err := l.c.Challenge(ctx, "examiner1")
	if err != nil {
		return identity.Token{}, err
	}
	signature, err := l.key.Sign(ctx, identity.NamespaceSession, []byte(challenge))
	if err != nil {
		return identity.Token{}, err
	}
	session, err := l.c.SignIn(ctx, challenge, signature)
	return session.Token, err
}

// grow opens cases until the ledger has so many entries.
func (l *lab) grow(size int64) {
	l.t.Helper()
	for n := l.size(); n < size; n++ {
		var id evidence.CaseID
		var salt digest.SHA256
		_, err := rand.Read(id[:])
		must(l.t, err)
		_, err = rand.Read(salt[:])
		must(l.t, err)
		event, err := uuid.NewV7()
		must(l.t, err)
		payload, err := evidence.Event{
			Actor: "examiner1", At: evidence.TimeOf(time.Now()), Case: id, ID: event, Log: origin, Salt: salt, Tool: "test 1",
			Body: evidence.CaseOpened{Reference: evidence.Name(fmt.Sprintf("C-%d", n)), Title: "T", RetainDays: 1},
		}.Encode()
		must(l.t, err)
		signature, err := l.key.Sign(l.t.Context(), identity.NamespaceEvent, payload)
		must(l.t, err)
		_, err = l.c.Record(l.t.Context(), payload, signature)
		must(l.t, err)
	}
	if got := l.size(); got != size {
		l.t.Fatalf("the ledger has %d entries, want %d", got, size)
	}
}

// fetcher reads the service's log as Tessera does, with one bit of one resource turned
// on the way.
func (l *lab) fetcher(turned string) fsck.Fetcher {
	l.t.Helper()
	root, err := url.Parse(l.url + "/v1/log/")
	must(l.t, err)
	f, err := tessera.NewHTTPFetcher(root, &http.Client{Timeout: patience, Transport: turning(turned)})
	must(l.t, err)
	return f
}

// turning turns a bit in the answer about one path.
type turning string

func (path turning) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.URL.Path == string(path) {
		resp.Body = &turned{ReadCloser: resp.Body}
	}
	return resp, err
}

type turned struct {
	io.ReadCloser
	done bool
}

func (b *turned) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 20 && !b.done {
		p[20] ^= 4
		b.done = true
	}
	return n, err
}
