package custody

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// AnchorRound is what became of one checkpoint with all authorities.
type AnchorRound struct {
	Size   int64 // of the checkpoint, in entries
	Stamps []AnchorStamp
}

// AnchorStamp is what became of one authority in one round.
type AnchorStamp struct {
	Authority string
	State     database.AnchorState
	Time      *evidence.Time // by the authority's clock, when anchored
	Serial    string         // of the token, in decimal
	Entry     *int64         // that tells of it
	Missing   []string       // revocation lists that were not kept, and why
	Tries     int
	Due       *evidence.Time // when it is asked again, while pending
	Problem   string         // why it is not anchored
}

// Anchors are the service's time stamps: who is asked, and the newest rounds.
type Anchors struct {
	Authorities []AnchorAuthority
	Every       time.Duration
	Rounds      []AnchorRound // the newest first
}

// AnchorAuthority is a configured authority, and where it is asked: scheme and host.
type AnchorAuthority struct{ Name, URL string }

// anchorPage is how many rounds are told of at once.
const anchorPage = 100

// Anchors tells how far the newest checkpoints' time stamps are, to whoever may know what
// there is: nothing of a case stands there. below is the size of the oldest round seen so far,
// zero for the newest.
func (s *Service) Anchors(ctx context.Context, c Caller, below int64) (Anchors, error) {
	if err := c.allow(identity.StatusRead); err != nil {
		return Anchors{}, err
	}
	all := Anchors{Every: s.cfg.AnchorEvery}
	for _, a := range s.cfg.Authorities {
		all.Authorities = append(all.Authorities, AnchorAuthority{a.Name(), a.Host()})
	}
	err := s.db.View(ctx, func(tx *database.Tx) error {
		sizes, err := tx.LastRounds(below, anchorPage)
		if err != nil {
			return err
		}
		for _, size := range sizes {
			round, err := anchorsOf(tx, size)
			if err != nil {
				return err
			}
			all.Rounds = append(all.Rounds, round)
		}
		return nil
	})
	if err != nil {
		return Anchors{}, err
	}
	return all, nil
}

func anchorsOf(tx *database.Tx, size int64) (AnchorRound, error) {
	note, err := tx.RoundNote(size)
	if err != nil {
		return AnchorRound{}, err
	}
	stamps, err := tx.AnchorsOf(size)
	if err != nil {
		return AnchorRound{}, err
	}
	round := AnchorRound{Size: size}
	for _, a := range stamps {
		st := AnchorStamp{Authority: a.Authority, State: a.State, Tries: a.Tries, Problem: a.Problem}
		switch a.State {
		case database.AnchorPending:
			if a.Tries > 0 {
				due := evidence.TimeOf(a.Due)
				st.Due = &due
			}
		case database.AnchorAnchored:
			var f struct { // what is told: the lists are not read for it
				Response []byte   `json:"response"`
				Missing  []string `json:"missing"`
			}
			if err := json.Unmarshal(a.Doc, &f); err != nil {
				return AnchorRound{}, fmt.Errorf("time stamp of %s: %w", a.Authority, err)
			}
			t, err := anchorFile{Authority: a.Authority, Response: f.Response}.token(note)
			if err != nil {
				return AnchorRound{}, err
			}
			st.Time, st.Serial, st.Missing = &t.Time, t.Serial, f.Missing
			if a.Entry >= 0 {
				st.Entry = &a.Entry
			}
		}
		round.Stamps = append(round.Stamps, st)
	}
	return round, nil
}

// anchored has the checkpoint of an export stamped, and waits for that as long as the
// configuration says. It gives the rounds that belong into the bundle: that of the export,
// whatever has come of it, and for each entry of the case the earliest that covers it.
func (s *Service) anchored(ctx context.Context, signed []byte, c evidence.CaseID) ([]bundle.Anchor, error) {
	note, err := anchorNote(signed, s.cfg.Ledger.Key())
	if err != nil {
		return nil, err
	}
	tree, err := ledger.OpenCheckpoint(note, s.cfg.Ledger.Key())
	if err != nil {
		return nil, err
	}
	if len(s.cfg.Authorities) > 0 {
		if err := s.beginRound(tree.Size, note); err != nil {
			return nil, err
		}
		if err := s.awaitRound(ctx, tree.Size); err != nil {
			return nil, err
		}
	}
	var list []bundle.Anchor
	err = s.db.View(ctx, func(tx *database.Tx) error {
		sizes, err := tx.CoveringRounds(c, tree.Size)
		if err != nil {
			return err
		}
		if len(s.cfg.Authorities) > 0 && !slices.Contains(sizes, tree.Size) {
			sizes = append(sizes, tree.Size)
		}
		hashes := memo(tx.Hashes())
		for _, size := range sizes {
			a, err := anchorFor(tx, hashes, size, tree.Size)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// awaitRound waits until all authorities of a round were asked, within what is configured.
func (s *Service) awaitRound(ctx context.Context, size int64) error {
	timeout := time.NewTimer(s.cfg.ExportWait)
	defer timeout.Stop()
	for {
		changed := s.anchors.next()
		var stamps []database.Anchor
		err := s.db.View(ctx, func(tx *database.Tx) (err error) {
			stamps, err = tx.AnchorsOf(size)
			return err
		})
		if err != nil || asked(stamps) {
			return err
		}
		select {
		case <-changed:
		case <-timeout.C:
			return nil
		case <-s.leaving:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// anchorFor gives a round for a bundle with a checkpoint of that size.
func anchorFor(tx *database.Tx, hashes ledger.HashReader, size, under int64) (bundle.Anchor, error) {
	proof, err := ledger.ProveConsistency(under, size, hashes)
	if err != nil {
		return bundle.Anchor{}, err
	}
	note, err := tx.RoundNote(size)
	if err != nil {
		return bundle.Anchor{}, err
	}
	stamps, err := tx.AnchorsOf(size)
	if err != nil {
		return bundle.Anchor{}, err
	}
	a := bundle.Anchor{Size: size, Checkpoint: note, Proof: proof}
	for _, st := range stamps {
		if st.State != database.AnchorAnchored {
			continue
		}
		f, err := strict[anchorFile](st.Doc)
		if err != nil {
			return bundle.Anchor{}, err
		}
		var certificates []*x509.Certificate
		var lists []*x509.RevocationList
		if certificates, lists, err = f.trusted(); err != nil {
			return bundle.Anchor{}, err
		}
		a.Stamps = append(a.Stamps, bundle.Stamp{
			Authority: st.Authority, Response: f.Response,
			Certificates: timestamp.MarshalCertificates(certificates), Lists: timestamp.MarshalLists(lists),
		})
	}
	return a, nil
}
