package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// casesPerRound is how many cases of a published ledger grow side by side.
const casesPerRound = 64

// published makes what is left of a service that lost its ledger: its keys, and a store
// with that many entries in full segments, each signed by a person. It is what
// custodyd rebuild begins with.
func published(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "DIR", "ENTRIES"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	p, err := newPublishing(args[0])
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, p.objects.Close(), p.signer.Close(), os.Remove(filepath.Join(p.dir, "signer"))) //nolint:gosec // the caller names the directory
	}()
	if err := p.fill(ctx, count); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d entries, root %s\n", p.head.Size, p.tree.Root())
	return err
}

// publishing is a ledger on its way into a store.
type publishing struct {
	dir     string
	objects *objectstore.Directory
	signer  *ledger.Signer
	service identity.Signer
	person  identity.Signer

	head     ledger.Head
	heads    map[ledger.CaseID]ledger.CaseHead
	tree     ledger.Tree
	hashes   hashList
	signed   int64 // entries under the last checkpoint
	segment  ledger.Segment
	payloads [][]byte
}

type hashList []ledger.Hash

// ReadHashes implements [ledger.HashReader].
func (l hashList) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	hashes := make([]ledger.Hash, len(indexes))
	for i, n := range indexes {
		hashes[i] = l[n]
	}
	return hashes, nil
}

func newPublishing(dir string) (*publishing, error) {
	if err := os.Mkdir(dir, 0o700); err != nil { //nolint:gosec // the caller names the directory
		return nil, err
	}
	p := &publishing{dir: dir, heads: map[ledger.CaseID]ledger.CaseHead{}}
	skey, _, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "ledger.key"), []byte(skey+"\n"), 0o600); err != nil { //nolint:gosec // the same
		return nil, err
	}
	if p.service, err = newKey(filepath.Join(dir, "service_key")); err != nil {
		return nil, err
	}
	if p.person, err = newKey(filepath.Join(dir, "key")); err != nil {
		return nil, err
	}
	if p.signer, err = ledger.CreateSigner(filepath.Join(dir, "signer"), skey); err != nil {
		return nil, err
	}
	p.objects, err = objectstore.CreateDirectory(filepath.Join(dir, "objects"), objectstore.Mutable())
	return p, err
}

// fill makes entries: people, and exhibits of cases.
func (p *publishing) fill(ctx context.Context, count int) error {
	roles, err := identity.NewRoles(identity.RoleAdministrator, identity.RoleCustodian, identity.RoleExaminer)
	if err != nil {
		return err
	}
	for _, e := range []evidence.PersonEnrolled{
		{Principal: identity.Service, Name: "custodyd", Roles: identity.Roles{identity.RoleService}, Key: p.service.PublicKey()},
		{Principal: principal, Name: "Erika Examiner", Roles: roles, Key: p.person.PublicKey()},
	} {
		s, err := p.sign(ctx, p.service, identity.Service, evidence.CaseID{}, p.heads[ledger.CaseID{}].Last, e)
		if err != nil {
			return err
		}
		if err := p.add(ctx, evidence.CaseID{}, ledger.Keys, s); err != nil {
			return err
		}
	}
	cases, opened := make([]evidence.CaseID, casesPerRound), make([]ledger.Hash, casesPerRound)
	for i := range cases {
		_, _ = rand.Read(cases[i][:]) // never fails, see its documentation
		s, err := p.sign(ctx, p.person, principal, cases[i], ledger.Hash{}, evidence.CaseOpened{
			Reference: evidence.Name(fmt.Sprintf("2026-%04d", i)), Title: "Entries of one case", RetainDays: 1,
		})
		if err != nil {
			return err
		}
		if err := p.add(ctx, cases[i], ledger.Event, s); err != nil {
			return err
		}
		opened[i] = p.head.Last
	}
	for n := 0; p.head.Size < int64(count); n++ {
		round := make([]signed, min(casesPerRound, count-int(p.head.Size)))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i := range round {
			group.Go(func() (err error) {
				round[i], err = p.sign(ctx, p.person, principal, cases[i], opened[i], evidence.ExhibitAdded{
					Label: evidence.Name(fmt.Sprintf("E-%05d", n)), Kind: "disk", Make: "Samsung", Model: "870 EVO",
					FoundBy: "Erika Examiner", FoundAt: "Office 3.12", Witness: "Wilhelm Witness",
				})
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i, s := range round {
			if err := p.add(context.WithoutCancel(ctx), cases[i], ledger.Event, s); err != nil {
				return err
			}
		}
	}
	return p.flush(ctx)
}

func (p *publishing) sign(ctx context.Context, key identity.Signer, actor identity.Principal, of evidence.CaseID, seen ledger.Hash, body evidence.Body) (signed, error) {
	l := oneLedger{key: key}
	return l.signAs(ctx, actor, of, digest.SHA256(seen), body)
}

// add appends an entry, and puts a segment that is full.
func (p *publishing) add(ctx context.Context, of evidence.CaseID, typ ledger.Type, s signed) error {
	e := ledger.Next(p.head, p.heads[ledger.CaseID(of)], ledger.Envelope{
		Case: ledger.CaseID(of), Log: origin, Type: typ, Payload: sha256.Sum256(s.payload), Sig: sha256.Sum256(s.signature),
		Time: ledger.TimeOf(time.Now()),
	})
	line := e.Bytes()
	leaf := ledger.LeafHash(line)
	p.head, p.heads[e.Case] = p.head.After(e, leaf), p.heads[e.Case].After(e, leaf)
	p.hashes = p.tree.Append(p.hashes, leaf)
	p.segment.Entries = append(p.segment.Entries, ledger.SegmentEntry{Envelope: line, Signature: s.signature})
	p.payloads = append(p.payloads, s.payload)
	if len(p.payloads) < ledger.MaxSegmentEntries {
		return nil
	}
	return p.flush(ctx)
}

func (p *publishing) flush(ctx context.Context) error {
	if len(p.payloads) == 0 {
		return nil
	}
	proof, err := ledger.ProveConsistency(p.head.Size, p.signed, p.hashes)
	if err != nil {
		return err
	}
	p.segment.Checkpoint, err = p.signer.Sign(ledger.Checkpoint{Origin: origin, Size: p.head.Size, Root: p.tree.Root()}, proof)
	if err != nil {
		return err
	}
	until := time.Now().AddDate(0, 0, 1)
	var data []byte
	data, p.segment.Payloads = ledger.MarshalPayloads(ledger.PayloadsKey(p.segment.From, 1), p.segment.From, p.payloads)
	if _, err := p.objects.Put(ctx, p.segment.Payloads.Key, bytes.NewReader(data), int64(len(data)), until); err != nil {
		return err
	}
	data = p.segment.Marshal()
	if _, err := p.objects.Put(ctx, ledger.SegmentKey(p.segment.From, 1), bytes.NewReader(data), int64(len(data)), until); err != nil {
		return err
	}
	p.signed = p.head.Size
	p.segment, p.payloads = ledger.Segment{From: p.head.Size}, nil
	return nil
}
