package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// The data directory. "custodyd" is written last when it is made: without it the
// directory is not one of ours, or not a finished one.
//
//	custodyd          what this is, and which store its ledger belongs to
//	ledger.db         the ledger (SQLite)
//	ledger.key        secret key that signs checkpoints, unless custodyd signer has it
//	ledger.state      what that key signed last, likewise
//	service_key       the service's SSH key, with service_key.pub
//	objects           the write-once directory, unless the objects are in S3
//	admin_key         the first person's key pair, unless --admin-key named one
const (
	markerFile  = "custodyd"
	dbFile      = "ledger.db"
	keyFile     = "ledger.key"
	stateFile   = "ledger.state"
	serviceFile = "service_key"
	objectsPath = "objects"
	adminFile   = "admin_key"
)

// dataDir is an open data directory.
type dataDir struct {
	path    string
	db      *database.DB
	signer  checkpointSigner
	service *identity.KeyFile
	fresh   bool   // made now
	damage  string // of the marker; where it is opened for looking only
}

// errNotOurs says what to do about a directory that is no data directory.
var errNotOurs = errors.New("is not empty and no custodyd data directory (or one whose making was interrupted): name another, or empty it; if it holds the keys of a ledger that was lost, custodyd rebuild --from-store makes that again")

// openOrCreate opens a data directory, or makes one where there is nothing.
func openOrCreate(ctx context.Context, s *settings) (*dataDir, error) {
	marker, err := os.ReadFile(filepath.Join(s.data, markerFile))
	switch {
	case err == nil:
		return open(ctx, s, marker, false)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	entries, err := os.ReadDir(s.data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s: %w", s.data, errNotOurs)
	}
	if err := create(ctx, s); err != nil {
		return nil, fmt.Errorf("make %s: %w", s.data, err)
	}
	d, err := open(ctx, s, []byte(markerText(s)), false)
	if err != nil {
		return nil, err
	}
	d.fresh = true
	return d, nil
}

// openExisting opens a data directory that must be there, for looking at it alone.
func openExisting(ctx context.Context, s *settings) (*dataDir, error) {
	marker, err := os.ReadFile(filepath.Join(s.data, markerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no custodyd data directory; custodyd serve makes one", s.data)
	}
	if err != nil {
		return nil, err
	}
	return open(ctx, s, marker, true)
}

// markerText names the store that the ledger belongs to: a service started
// without its S3 flags must not go on in an empty directory.
func markerText(s *settings) string {
	store := "directory"
	if s.s3.Endpoint != "" {
		store = "s3 " + s.s3.Bucket
	}
	return "custodyd data 1\nstore " + store + "\n"
}

func create(ctx context.Context, s *settings) (err error) {
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(filepath.Clean(s.data))); err != nil {
		return err
	}
	vkey, err := s.createSigner(ctx)
	if err != nil {
		return err
	}
	key, err := ledger.ParseVerifierKey(vkey)
	if err != nil {
		return err
	}
	if _, err := identity.GenerateKeyFile(filepath.Join(s.data, serviceFile), "custodyd "+key.Name(), rand.Reader); err != nil {
		return err
	}
	if s.adminKey == "" {
		if _, err := identity.GenerateKeyFile(filepath.Join(s.data, adminFile), s.admin, rand.Reader); err != nil {
			return err
		}
	}
	if s.s3.Endpoint == "" {
		objects, err := objectstore.CreateDirectory(filepath.Join(s.data, objectsPath))
		if err != nil {
			return err
		}
		if err := objects.Close(); err != nil {
			return err
		}
	}
	db, err := database.Create(ctx, filepath.Join(s.data, dbFile), database.Meta{Origin: key.Name(), VerifierKey: vkey})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return writeNew(filepath.Join(s.data, markerFile), []byte(markerText(s)), 0o600)
}

// originOf gives the name of a new ledger.
func originOf(s *settings) (ledger.Origin, error) {
	if s.origin != "" {
		origin, err := ledger.ParseOrigin(s.origin)
		if err != nil {
			return "", fmt.Errorf("--origin: %w", err)
		}
		return origin, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name the ledger: %w; give --origin", err)
	}
	host = strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	random := make([]byte, 4)
	if _, err := io.ReadFull(rand.Reader, random); err != nil {
		return "", err
	}
	return ledger.ParseOrigin(host[:min(len(host), 80)] + "/" + hex.EncodeToString(random))
}

// markerForm is what markerText writes.
var markerForm = regexp.MustCompile(`\Acustodyd data 1\nstore (directory|s3 [a-z0-9.-]+)\n\z`)

func open(ctx context.Context, s *settings, marker []byte, asIs bool) (d *dataDir, err error) {
	damage := ""
	if want := markerText(s); asIs && !markerForm.Match(marker) {
		damage = fmt.Sprintf("%q is not what the service wrote", oneLine(marker[:min(len(marker), 100)]))
	} else if string(marker) != want {
		return nil, fmt.Errorf("%s belongs to another store (%q, not %q): give the --s3 flags it was made with",
			s.data, oneLine(marker), oneLine([]byte(want)))
	}
	d = &dataDir{path: s.data, damage: damage}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
			d = nil
		}
	}()
	signer, err := s.openSigner(ctx)
	if err != nil {
		return d, err
	}
	d.signer = signer
	if d.service, err = s.serviceKey(); err != nil {
		return d, err
	}
	openDB := database.Open
	if asIs {
		openDB = database.OpenAsIs
	}
	d.db, err = openDB(ctx, filepath.Join(s.data, dbFile))
	return d, err
}

// serviceKey gives the key that the service signs its own entries with.
func (s *settings) serviceKey() (*identity.KeyFile, error) {
	return identity.LoadKeyFile(filepath.Join(s.data, serviceFile), func() ([]byte, error) {
		return nil, errors.New("the service's key has a passphrase")
	})
}

// lostLedger says what to do about a data directory whose ledger, or whose note of what
// was signed last, is missing or damaged; empty: something else is wrong.
func lostLedger(dir string, err error) string {
	lost := isAny(err, database.ErrDamaged, database.ErrFormat, ledger.ErrState)
	if missing, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(missing, fs.ErrNotExist) {
		name := filepath.Base(missing.Path)
		lost = lost || name == dbFile || name == stateFile
	}
	if !lost {
		return ""
	}
	return fmt.Sprintf("the object store holds the ledger too: move %s, %s* and %s, those that are there, out of %s (and keep them), "+
		"then run custodyd rebuild --from-store on it; to go on from a backup instead see custodyd backup --help", markerFile, dbFile, stateFile, dir)
}

func (d *dataDir) close() error {
	var errs []error
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	if d.signer != nil {
		errs = append(errs, d.signer.Close())
	}
	return errors.Join(errs...)
}

// writeNew writes a file that must not be there, durably.
func writeNew(path string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func oneLine(b []byte) string {
	return strings.Join(strings.Fields(string(b)), " ")
}
