package custody

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// An anchorDocument is what the store keeps for an entry checkpoint.anchored: the object
// anchor-N, where N is the entry's number in sixteen digits, is its JSON, with the members
// in this order and no white space; anchor-N-2 and so on, where a stranger's lies there. So a token that came later than others of its round
// is in an object of its own, with an entry of its own, and no object is written twice.
type anchorDocument struct {
	V      int          `json:"v"`     // 1
	Entry  int64        `json:"entry"` // its number in the ledger
	Note   []byte       `json:"note"`  // the checkpoint that was stamped, with the ledger's signature alone
	Stamps []anchorFile `json:"stamps"`
}

// anchorFile is one time stamp with all that is needed to verify it. Bytes are in base64.
type anchorFile struct {
	Authority    string   `json:"authority"`
	Response     []byte   `json:"response"`          // RFC 3161 TimeStampResp, in DER
	Certificates [][]byte `json:"certificates"`      // the signer's first, the root last, in DER
	Lists        [][]byte `json:"lists,omitempty"`   // of revoked certificates, as they were then, in DER
	Missing      []string `json:"missing,omitempty"` // those that are not here, and why
}

// errAnchor says that bytes are not what was kept of a time stamp.
var errAnchor = errors.New("not a kept time stamp")

// maxAnchor bounds a document: twenty time stamps, each with its response and chain and
// authority.MaxKept bytes of lists, in base64.
const maxAnchor = 16 << 20

func fileOf(name string, a authority.Answer) anchorFile {
	f := anchorFile{Authority: name, Response: a.Response, Missing: a.Missing}
	for _, c := range a.Stamp.Chain {
		f.Certificates = append(f.Certificates, c.Raw)
	}
	for _, l := range a.Lists {
		f.Lists = append(f.Lists, l.Raw)
	}
	return f
}

// strict reads JSON that encodes to the same bytes again.
func strict[T any](data []byte) (T, error) {
	var v, zero T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return zero, fmt.Errorf("%w: %w", errAnchor, err)
	}
	if again, err := json.Marshal(v); err != nil || !bytes.Equal(again, data) {
		return zero, fmt.Errorf("%w: not in its one form", errAnchor)
	}
	return v, nil
}

func parseAnchorDocument(data []byte) (anchorDocument, error) {
	if len(data) > maxAnchor {
		return anchorDocument{}, fmt.Errorf("%w: more than %d bytes", errAnchor, maxAnchor)
	}
	d, err := strict[anchorDocument](data)
	switch {
	case err != nil:
		return anchorDocument{}, err
	case d.V != 1, d.Entry < 1, len(d.Stamps) == 0, len(d.Stamps) > evidence.MaxTokens:
		return anchorDocument{}, fmt.Errorf("%w: version %d, entry %d, %d time stamps", errAnchor, d.V, d.Entry, len(d.Stamps))
	}
	return d, nil
}

// certificates and lists of a kept time stamp.
func (f anchorFile) trusted() (certificates []*x509.Certificate, lists []*x509.RevocationList, err error) {
	for _, der := range f.Certificates {
		c, e := x509.ParseCertificate(der)
		certificates, err = append(certificates, c), errors.Join(err, e)
	}
	for _, der := range f.Lists {
		l, e := x509.ParseRevocationList(der)
		lists, err = append(lists, l), errors.Join(err, e)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("time stamp of %s: %w", f.Authority, err)
	}
	return certificates, lists, nil
}

// token gives what the ledger says of a time stamp over a note.
func (f anchorFile) token(note []byte) (evidence.AnchorToken, error) {
	t, err := timestamp.ParseResponse(f.Response, note, nil)
	if err != nil {
		return evidence.AnchorToken{}, fmt.Errorf("time stamp of %s: %w", f.Authority, err)
	}
	return evidence.AnchorToken{
		Authority: f.Authority, Serial: t.Serial(), SHA256: sha256.Sum256(f.Response), Time: evidence.TimeOf(t.Time()),
	}, nil
}

// body gives the event that a document is kept for.
func (d anchorDocument) body() (evidence.CheckpointAnchored, error) {
	text, _, _ := bytes.Cut(d.Note, []byte("\n\n"))
	c, err := ledger.ParseCheckpoint(append(bytes.Clone(text), '\n'))
	if err != nil {
		return evidence.CheckpointAnchored{}, err
	}
	b := evidence.CheckpointAnchored{Size: c.Size, Root: [32]byte(c.Root), Note: sha256.Sum256(d.Note)}
	for _, f := range d.Stamps {
		t, err := f.token(d.Note)
		if err != nil {
			return evidence.CheckpointAnchored{}, err
		}
		b.Tokens = append(b.Tokens, t)
	}
	return b, nil
}

// agrees refuses a document that is not what its entry in the ledger tells of, or whose
// checkpoint is not one of this ledger.
func (d anchorDocument) agrees(tx *database.Tx, key ledger.VerifierKey) (evidence.CheckpointAnchored, error) {
	tree, err := ledger.OpenCheckpoint(d.Note, key)
	if err != nil {
		return evidence.CheckpointAnchored{}, err
	}
	if root, err := ledger.RootAt(tree.Size, tx.Hashes()); err != nil || root != tree.Root {
		return evidence.CheckpointAnchored{}, fmt.Errorf("%w: it is over the root %s at %d entries, the ledger's is %s", errAnchor, tree.Root, tree.Size, root)
	}
	e, err := tx.EntryAt(d.Entry)
	if err != nil {
		return evidence.CheckpointAnchored{}, err
	}
	event, err := evidence.Parse(e.Payload)
	if err != nil {
		return evidence.CheckpointAnchored{}, fmt.Errorf("entry %d: %w", d.Entry, err)
	}
	told, ok := event.Body.(evidence.CheckpointAnchored)
	is, err := d.body()
	switch {
	case err != nil:
		return evidence.CheckpointAnchored{}, err
	case !ok || !sameAnchor(told, is):
		return evidence.CheckpointAnchored{}, fmt.Errorf("%w: entry %d tells of others", errAnchor, d.Entry)
	}
	return told, nil
}

func sameAnchor(a, b evidence.CheckpointAnchored) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// roleAnchor is what the objects of time stamps are called among those of the service's own.
const roleAnchor evidence.Role = "anchor"

const anchorPrefix = "anchor-"

// restoreAnchors takes an object of the store with the prefix anchorPrefix back into a
// database that holds its entry already.
func restoreAnchors(tx *database.Tx, key ledger.VerifierKey, from objectstore.Object, data []byte) error {
	d, err := parseAnchorDocument(data)
	if err != nil {
		return fmt.Errorf("object %s: %w", from.Key, err)
	}
	b, err := d.agrees(tx, key)
	if err != nil {
		return fmt.Errorf("object %s: %w", from.Key, err)
	}
	if entry, _, ok := anchorNames.parse(from.Key); !ok || entry != d.Entry {
		return fmt.Errorf("object %s: %w: it is of entry %d", from.Key, errAnchor, d.Entry)
	}
	switch told, err := tx.AnchorsTold(d.Entry); {
	case err != nil:
		return err
	case len(told) > 0:
		return fmt.Errorf("object %s: another of that entry holds that comes before it", from.Key)
	}
	o, err := json.Marshal(object(roleAnchor, from, sha256.Sum256(data)))
	if err != nil {
		return err
	}
	if _, err := tx.AddRound(b.Size, d.Note, nil); err != nil {
		return err
	}
	for _, f := range d.Stamps {
		doc, err := json.Marshal(f)
		if err != nil {
			return err
		}
		err = tx.SaveAnchor(database.Anchor{
			Size: b.Size, Authority: f.Authority, State: database.AnchorAnchored, Tries: 1, Doc: doc, Entry: d.Entry, Object: o,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
