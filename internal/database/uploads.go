package database

import (
	"database/sql"
	"fmt"

	"github.com/google/uuid"
)

// Upload is what the service remembers of an intake's bytes on their way.
type Upload struct {
	Intake uuid.UUID
	Phase  string // the caller's word for where it stands
	Doc    []byte // the caller's own JSON
}

// Part is a run of bytes that is durable in the object store.
type Part struct {
	Number    int    // from 1
	Offset    int64  // where it begins: where the part before ends
	Size      int64  // bytes
	Doc       []byte // the caller's own JSON
	State     []byte // hash state behind its last byte; not read by Parts
	Midstates []byte // noted within it, 32 bytes each; not read by Parts
}

// SaveUpload writes an upload over that of the same intake, if there is one.
// ErrConstraint when there is no such intake: save that first.
func (tx *Tx) SaveUpload(u Upload) error {
	err := tx.exec(`INSERT INTO uploads (intake, phase, doc) VALUES (?, ?, ?)
		ON CONFLICT (intake) DO UPDATE SET phase = excluded.phase, doc = excluded.doc`,
		u.Intake[:], u.Phase, string(u.Doc))
	if err != nil {
		return fmt.Errorf("save upload %s: %w", u.Intake, err)
	}
	return nil
}

const selectUploads = "SELECT intake, phase, doc FROM uploads "

func (u *Upload) columns() []any { return []any{fixed(u.Intake[:]), &u.Phase, &u.Doc} }

// Upload gives the upload of an intake, or ErrNotFound.
func (tx *Tx) Upload(intake uuid.UUID) (Upload, error) {
	var u Upload
	if err := tx.one(selectUploads+"WHERE intake = ?", []any{intake[:]}, u.columns()...); err != nil {
		return Upload{}, fmt.Errorf("read upload %s: %w", intake, err)
	}
	return u, nil
}

// Uploads gives all uploads, by intake.
func (tx *Tx) Uploads() ([]Upload, error) {
	var uploads []Upload
	err := tx.each(selectUploads+"ORDER BY intake", nil, func(rows *sql.Rows) error {
		var u Upload
		err := rows.Scan(u.columns()...)
		uploads = append(uploads, u)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read uploads: %w", err)
	}
	return uploads, nil
}

// AddPart keeps the next part of an upload. ErrConstraint unless it is: the next
// number, beginning where the part before ends.
func (tx *Tx) AddPart(intake uuid.UUID, p Part) error {
	err := tx.exec("INSERT INTO upload_parts (intake, number, start, size, doc, state, midstates) VALUES (?, ?, ?, ?, ?, ?, ?)",
		intake[:], p.Number, p.Offset, p.Size, string(p.Doc), blob(p.State), blob(p.Midstates))
	if err != nil {
		return fmt.Errorf("add part %d of upload %s: %w", p.Number, intake, err)
	}
	return nil
}

// blob makes nothing an empty BLOB, not NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Parts gives the parts of an upload in order, without State and Midstates.
func (tx *Tx) Parts(intake uuid.UUID) ([]Part, error) {
	var parts []Part
	err := tx.each("SELECT number, start, size, doc FROM upload_parts WHERE intake = ? ORDER BY number", []any{intake[:]},
		func(rows *sql.Rows) error {
			var p Part
			err := rows.Scan(&p.Number, &p.Offset, &p.Size, &p.Doc)
			parts = append(parts, p)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read parts of upload %s: %w", intake, err)
	}
	return parts, nil
}

// LastPart gives the newest part with its State, without Doc and Midstates; or
// ErrNotFound when there is none.
func (tx *Tx) LastPart(intake uuid.UUID) (Part, error) {
	var p Part
	err := tx.one("SELECT number, start, size, state FROM upload_parts WHERE intake = ? ORDER BY number DESC LIMIT 1",
		[]any{intake[:]}, &p.Number, &p.Offset, &p.Size, &p.State)
	if err != nil {
		return Part{}, fmt.Errorf("read last part of upload %s: %w", intake, err)
	}
	return p, nil
}

// Midstates gives the Midstates of all parts, one after the other.
func (tx *Tx) Midstates(intake uuid.UUID) ([]byte, error) {
	var all []byte
	err := tx.each("SELECT midstates FROM upload_parts WHERE intake = ? ORDER BY number", []any{intake[:]},
		func(rows *sql.Rows) error {
			var some sql.RawBytes
			err := rows.Scan(&some)
			all = append(all, some...)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read midstates of upload %s: %w", intake, err)
	}
	return all, nil
}

// DropParts forgets the parts of an upload.
func (tx *Tx) DropParts(intake uuid.UUID) error {
	if err := tx.exec("DELETE FROM upload_parts WHERE intake = ?", intake[:]); err != nil {
		return fmt.Errorf("drop parts of upload %s: %w", intake, err)
	}
	return nil
}

// DropUpload forgets an upload and its parts, if there is one.
func (tx *Tx) DropUpload(intake uuid.UUID) error {
	if err := tx.DropParts(intake); err != nil {
		return err
	}
	if err := tx.exec("DELETE FROM uploads WHERE intake = ?", intake[:]); err != nil {
		return fmt.Errorf("drop upload %s: %w", intake, err)
	}
	return nil
}
