package main

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
)

const (
	proofsOfEach = 20_000
	// appendedAtOnce is how many entries a transaction of the preparation has.
	appendedAtOnce = 10_000
)

// proofRows tell how long the service takes for a proof, in a transaction of its own.
// There is nothing to compare it with: the goal is a time.
func (b *bench) proofRows(ctx context.Context) ([]row, error) {
	dir := filepath.Join(b.dir, "proofs")
	_, out, err := b.command(ctx, nil, b.self, "proofs", dir, strconv.Itoa(b.entries))
	if err != nil {
		return nil, err
	}
	var inclusion, consistency float64
	if _, err := fmt.Sscanf(string(out), "inclusion %g consistency %g", &inclusion, &consistency); err != nil {
		return nil, fmt.Errorf("%q: %w", out, err)
	}
	g := atMost(150, " µs")
	made := func(kind string, micros float64) row {
		return row{
			work: fmt.Sprintf("ledger: %s proof in a tree of %s, from the database", kind, number(float64(b.entries))),
			ours: fmt.Sprintf("%.0f µs", micros), goal: g.String(), met: g.met(micros),
		}
	}
	return []row{made("inclusion", inclusion), made("consistency", consistency)}, b.remove(dir)
}

// proofs fills a database, makes proofs for random entries and sizes, checks each, and
// prints the medians of the times to make one, in microseconds.
func proofs(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "DIR", "ENTRIES"); err != nil {
		return err
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	db, err := filled(ctx, args[0], size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var root ledger.Hash
	err = db.View(ctx, func(tx *database.Tx) (err error) {
		root, err = ledger.RootAt(size, tx.Hashes())
		return err
	})
	if err != nil {
		return err
	}
	inclusion, err := timeProofs(ctx, db, size,
		func(n int64, r ledger.HashReader) ([]ledger.Hash, error) { return ledger.ProveInclusion(size, n, r) },
		func(tx *database.Tx, n int64, proof []ledger.Hash) error {
			e, err := tx.EntryAt(n)
			return errors.Join(err, ledger.CheckInclusion(proof, size, root, n, e.Leaf))
		})
	if err != nil {
		return err
	}
	consistency, err := timeProofs(ctx, db, size,
		func(n int64, r ledger.HashReader) ([]ledger.Hash, error) { return ledger.ProveConsistency(size, n, r) },
		func(tx *database.Tx, n int64, proof []ledger.Hash) error {
			old, err := ledger.RootAt(n, tx.Hashes())
			return errors.Join(err, ledger.CheckConsistency(proof, size, root, n, old))
		})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "inclusion %.1f consistency %.1f\n", inclusion, consistency)
	return err
}

func timeProofs(ctx context.Context, db *database.DB, size int64,
	prove func(int64, ledger.HashReader) ([]ledger.Hash, error), check func(*database.Tx, int64, []ledger.Hash) error,
) (float64, error) {
	random := rand.New(rand.NewPCG(1, uint64(size))) //nolint:gosec // the same proofs in every run of the bench
	took := make([]time.Duration, proofsOfEach)
	for i := range took {
		n := random.Int64N(size)
		var proof []ledger.Hash
		start := time.Now()
		err := db.View(ctx, func(tx *database.Tx) (err error) {
			proof, err = prove(n, tx.Hashes())
			return err
		})
		took[i] = time.Since(start)
		if err == nil {
			err = db.View(ctx, func(tx *database.Tx) error { return check(tx, n, proof) })
		}
		if err != nil {
			return 0, err
		}
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds()) / 1000, nil
}

// filled makes a database with so many entries of one case.
func filled(ctx context.Context, dir string, size int64) (*database.DB, error) {
	_, vkey, err := ledger.GenerateKey(cryptorand.Reader, origin)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil { //nolint:gosec // the caller names the directory
		return nil, err
	}
	db, err := database.Create(ctx, filepath.Join(dir, "ledger.db"), database.Meta{Origin: origin, VerifierKey: vkey})
	if err != nil {
		return nil, err
	}
	for from := int64(0); from < size; from += appendedAtOnce {
		err := db.Update(ctx, func(tx *database.Tx) error {
			for n := from; n < min(from+appendedAtOnce, size); n++ {
				if err := appendOne(tx, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func appendOne(tx *database.Tx, n int64) error {
	head, err := tx.Head()
	if err != nil {
		return err
	}
	of, err := tx.CaseHead(ledger.CaseID{1})
	if err != nil {
		return err
	}
	payload := []byte("payload")
	e := ledger.Next(head, of, ledger.Envelope{
		Case: ledger.CaseID{1}, Log: origin, Type: ledger.Event, Time: ledger.TimeOf(time.Unix(1e9, 0)),
		Payload: sha256.Sum256(payload), Sig: sha256.Sum256(payload),
	})
	line := e.Bytes()
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(n)) //nolint:gosec // n is not negative
	return tx.Append(database.Entry{
		Seq: e.Seq, Case: e.Case, CaseSeq: e.CaseSeq, EventID: id, Leaf: ledger.LeafHash(line),
		Envelope: line, Payload: payload, Signature: payload,
	})
}
