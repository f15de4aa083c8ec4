package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrState says that what a witness kept cannot be relied on. Cosigning on could vouch
// for a fork, so a person has to decide.
var ErrState = errors.New("witness state is damaged")

const keyFile = "witness.key"

// Create makes the state of a new witness in a directory that is new or empty, and gives
// the key that verifies what it cosigns.
func Create(dir, name string, random io.Reader) (ledger.WitnessKey, error) {
	skey, vkey, err := ledger.GenerateWitnessKey(random, name)
	if err != nil {
		return ledger.WitnessKey{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ledger.WitnessKey{}, fmt.Errorf("create witness: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ledger.WitnessKey{}, fmt.Errorf("create witness: %w", err)
	}
	if len(entries) > 0 {
		return ledger.WitnessKey{}, fmt.Errorf("create witness: %s is not empty", dir)
	}
	if err := write(filepath.Join(dir, keyFile), []byte(skey+"\n")); err != nil {
		return ledger.WitnessKey{}, fmt.Errorf("create witness: %w", err)
	}
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return ledger.WitnessKey{}, fmt.Errorf("create witness: %w", err)
	}
	return ledger.ParseWitnessKey(vkey)
}

// Exists tells whether a witness was created in a directory.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// openKey reads the secret key and locks the state by it.
func openKey(dir string) (_ ledger.Cosigner, _ *os.File, err error) {
	f, err := os.OpenFile(filepath.Join(dir, keyFile), os.O_RDWR, 0)
	if err != nil {
		return ledger.Cosigner{}, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := lockFile(f); err != nil {
		return ledger.Cosigner{}, nil, fmt.Errorf("lock %s: %w; is the witness running already?", f.Name(), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return ledger.Cosigner{}, nil, err
	}
	c, err := ledger.NewCosigner(strings.TrimSuffix(string(text), "\n"))
	return c, f, err
}

// OriginHash names a ledger in paths.
//
// SPEC: "The origin hash is the SHA-256 hash of the log's origin, hex encoded, in
// lowercase." (C2SP tlog-witness)
func OriginHash(origin ledger.Origin) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// load reads the largest checkpoint cosigned of a ledger; without one the size is 0 and
// the note nil.
func load(path string, key ledger.VerifierKey, own ledger.WitnessKey) (ledger.Checkpoint, []byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ledger.Checkpoint{Origin: key.Origin()}, nil, nil
	}
	if err != nil {
		return ledger.Checkpoint{}, nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	note, err := io.ReadAll(io.LimitReader(f, maxBody))
	if err != nil {
		return ledger.Checkpoint{}, nil, err
	}
	c, err := ledger.OpenCheckpoint(note, key)
	if err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("%w: %s: %w", ErrState, path, err)
	}
	if _, err := own.Cosignature(note); err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("%w: %s: %w", ErrState, path, err)
	}
	return c, note, nil
}

// write puts a file in its place, whole and durable, or leaves what was there.
func write(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
