package database

import (
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

var _ evidence.View = (*Tx)(nil)

// Person implements [evidence.View].
func (tx *Tx) Person(p identity.Principal) (evidence.Person, error) {
	return find(tx, people, "WHERE principal = ?", string(p))
}

// People implements [evidence.View].
func (tx *Tx) People() ([]evidence.Person, error) { return list(tx, people, "ORDER BY number") }

// Case implements [evidence.View].
func (tx *Tx) Case(id evidence.CaseID) (evidence.Case, error) {
	return find(tx, cases, "WHERE id = ?", id[:])
}

// CaseByReference implements [evidence.View].
func (tx *Tx) CaseByReference(reference evidence.Name) (evidence.Case, error) {
	return find(tx, cases, "WHERE reference = ?", string(reference))
}

// Exhibit implements [evidence.View].
func (tx *Tx) Exhibit(id evidence.CaseID, label evidence.Name) (evidence.Exhibit, error) {
	return find(tx, exhibits, "WHERE case_id = ? AND label = ?", id[:], string(label))
}

// Alike implements [evidence.View].
func (tx *Tx) Alike(id evidence.CaseID, label evidence.Name) (evidence.Name, error) {
	x, err := find(tx, exhibits, "WHERE case_id = ? AND lower(label) = lower(?)", id[:], string(label))
	return x.Label, err
}

// Intake implements [evidence.View].
func (tx *Tx) Intake(id uuid.UUID) (evidence.Intake, error) {
	return find(tx, intakes, "WHERE intake = ?", id[:])
}

// Copy implements [evidence.View].
func (tx *Tx) Copy(id evidence.CopyID) (evidence.Copy, error) {
	return find(tx, copies, "WHERE case_id = ? AND exhibit = ? AND number = ?", id.Case[:], string(id.Exhibit), string(id.Number))
}

// Finding implements [evidence.View].
func (tx *Tx) Finding(id evidence.CaseID, number int) (evidence.Finding, error) {
	return find(tx, findings, "WHERE case_id = ? AND number = ?", id[:], number)
}

// Cases gives all cases, by reference.
func (tx *Tx) Cases() ([]evidence.Case, error) { return list(tx, cases, "ORDER BY reference") }

// Exhibits gives the exhibits of a case, by label.
func (tx *Tx) Exhibits(id evidence.CaseID) ([]evidence.Exhibit, error) {
	return list(tx, exhibits, "WHERE case_id = ? ORDER BY label", id[:])
}

// copyOrder puts masters before working and derived copies, and M2 before M10.
const copyOrder = "exhibit, CASE class WHEN 'master' THEN 0 WHEN 'working' THEN 1 ELSE 2 END, length(number), number"

// Copies gives the copies of a case by exhibit and class, then in the order in
// which they were sealed.
func (tx *Tx) Copies(id evidence.CaseID) ([]evidence.Copy, error) {
	return list(tx, copies, "WHERE case_id = ? ORDER BY "+copyOrder, id[:])
}

// Intakes gives the intakes of a case, by id: as the clients' clocks had it, in
// the order in which they were declared.
func (tx *Tx) Intakes(id evidence.CaseID) ([]evidence.Intake, error) {
	return list(tx, intakes, "WHERE case_id = ? ORDER BY intake", id[:])
}

// Pending implements [evidence.View].
func (tx *Tx) Pending(id evidence.CaseID) ([]evidence.Intake, error) {
	return list(tx, intakes, "WHERE case_id = ? AND state = 'declared' ORDER BY intake", id[:])
}

// PendingIntakes gives the intakes of all cases that are declared and not yet
// sealed, issued, quarantined or abandoned, by id.
func (tx *Tx) PendingIntakes() ([]evidence.Intake, error) {
	return list(tx, intakes, "WHERE state = 'declared' ORDER BY intake")
}

// Findings gives the findings of a case, by number.
func (tx *Tx) Findings(id evidence.CaseID) ([]evidence.Finding, error) {
	return list(tx, findings, "WHERE case_id = ? ORDER BY number", id[:])
}
