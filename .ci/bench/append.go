package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

const (
	origin    = "bench.example/custody"
	principal = "examiner1"
)

// appends records events that writers have signed beforehand, each writer in a
// case of its own, and tells how long that took. Then it checks every receipt.
func appends(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "DIR", "ENTRIES", "WRITERS"); err != nil {
		return err
	}
	count, errCount := strconv.Atoi(args[1])
	writers, errWriters := strconv.Atoi(args[2])
	if err := errors.Join(errCount, errWriters); err != nil {
		return err
	}
	l, err := newLedger(ctx, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	queues := make([][]signed, writers)
	for i := range queues {
		if queues[i], err = l.prepare(ctx, i, count/writers); err != nil {
			return err
		}
	}

	receipts := make([][][]byte, writers)
	var group errgroup.Group
	start := time.Now()
	for i, queue := range queues {
		group.Go(func() error {
			for _, s := range queue {
				recorded, err := l.service.Record(ctx, l.caller, s.payload, s.signature)
				if err != nil {
					return err
				}
				receipts[i] = append(receipts[i], recorded.Receipt)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	elapsed := time.Since(start)

	for _, of := range receipts {
		for _, text := range of {
			receipt, err := ledger.ParseReceipt(text)
			if err != nil {
				return err
			}
			if _, _, err := receipt.Verify(l.signer.Key()); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintf(out, "seconds %f\n", elapsed.Seconds())
	return err
}

// signed is an event ready to be recorded.
type signed struct{ payload, signature []byte }

// oneLedger is a custody service on an empty directory, and its one person.
type oneLedger struct {
	db      *database.DB
	service *custody.Service
	signer  *ledger.Signer
	caller  custody.Caller
	key     identity.Signer
	closers []func() error
}

// newLedger makes a service that nobody outside knows.
func newLedger(ctx context.Context, dir string) (*oneLedger, error) {
	skey, _, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	return newLedgerWith(ctx, dir, skey, outside{})
}

// newLedgerWith makes a service with that secret key, which asks those outside.
func newLedgerWith(ctx context.Context, dir, skey string, others outside) (l *oneLedger, err error) {
	l = &oneLedger{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.signer, err = ledger.CreateSigner(filepath.Join(dir, "state"), skey); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.signer.Close)
	l.db, err = database.Create(ctx, filepath.Join(dir, "ledger.db"), database.Meta{Origin: origin, VerifierKey: l.signer.Key().String()})
	if err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.db.Close)
	objects, err := objectstore.CreateDirectory(filepath.Join(dir, "objects"), objectstore.Mutable())
	if err != nil {
		return l, err
	}
	l.closers = append(l.closers, objects.Close)
	service, err := newKey(filepath.Join(dir, "service_key"))
	if err != nil {
		return l, err
	}
	if l.key, err = newKey(filepath.Join(dir, "key")); err != nil {
		return l, err
	}
	roles, err := identity.NewRoles(identity.RoleAdministrator, identity.RoleCustodian, identity.RoleExaminer)
	if err != nil {
		return l, err
	}
	l.caller = custody.Caller{Principal: principal, Roles: roles, Method: "session"}
	l.service, err = custody.Open(ctx, custody.Config{
		Database: l.db, Objects: objects, Ledger: l.signer, Key: service, Version: "bench", Now: time.Now, Random: rand.Reader,
		Logger: slog.New(slog.DiscardHandler), RetainDays: 1, Session: time.Hour, Workers: 2,
		Administrator: &evidence.PersonEnrolled{Principal: principal, Name: "Erika Examiner", Roles: roles, Key: l.key.PublicKey()},
		Witnesses:     others.witnesses, WitnessEvery: outsideEvery, Authorities: others.authorities, AnchorEvery: outsideEvery,
	})
	if err != nil {
		return l, err
	}
	l.closers = append(l.closers, func() error { return l.service.Close(context.WithoutCancel(ctx)) })
	return l, nil
}

// close ends in reverse order of opening.
func (l *oneLedger) close() (err error) {
	for i := len(l.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, l.closers[i]())
	}
	return err
}

func newKey(path string) (identity.Signer, error) {
	if _, err := identity.GenerateKeyFile(path, principal, rand.Reader); err != nil {
		return nil, err
	}
	return identity.LoadKeyFile(path, nil)
}

// prepare opens a writer's case and signs the exhibits that it is going to add.
func (l *oneLedger) prepare(ctx context.Context, writer, count int) ([]signed, error) {
	var of evidence.CaseID
	if _, err := io.ReadFull(rand.Reader, of[:]); err != nil {
		return nil, err
	}
	reference := evidence.Name(fmt.Sprintf("2026-%04d", writer))
	open, err := l.sign(ctx, of, digest.SHA256{}, evidence.CaseOpened{Reference: reference, Title: "Appends of one writer", RetainDays: 1})
	if err != nil {
		return nil, err
	}
	opened, err := l.service.Record(ctx, l.caller, open.payload, open.signature)
	if err != nil {
		return nil, err
	}
	queue := make([]signed, count)
	for i := range queue {
		queue[i], err = l.sign(ctx, of, opened.Leaf, evidence.ExhibitAdded{
			Label: evidence.Name(fmt.Sprintf("E-%04d", i)), Kind: "disk", Make: "Samsung", Model: "870 EVO",
			FoundBy: "Erika Examiner", FoundAt: "Office 3.12", Witness: "Wilhelm Witness",
		})
		if err != nil {
			return nil, err
		}
	}
	return queue, nil
}

func (l *oneLedger) sign(ctx context.Context, of evidence.CaseID, seen digest.SHA256, body evidence.Body) (s signed, err error) {
	return l.signAs(ctx, principal, of, seen, body)
}

func (l *oneLedger) signAs(ctx context.Context, actor identity.Principal, of evidence.CaseID, seen digest.SHA256, body evidence.Body) (s signed, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return signed{}, err
	}
	event := evidence.Event{
		Actor: actor, At: evidence.TimeOf(time.Now()), Body: body, Case: of, ID: id, Log: origin, Seen: seen, Tool: "bench 1",
	}
	if _, err := io.ReadFull(rand.Reader, event.Salt[:]); err != nil {
		return signed{}, err
	}
	if s.payload, err = event.Encode(); err != nil {
		return signed{}, err
	}
	s.signature, err = l.key.Sign(ctx, identity.NamespaceEvent, s.payload)
	return s, err
}
