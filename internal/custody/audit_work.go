package custody

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// work looks at what the service notes of intakes under way. Rows may be missing:
// then an intake begins again.
func (a *audit) work(tx *database.Tx) error {
	rows, err := tx.Uploads()
	if err != nil {
		return err
	}
	a.noted = map[uuid.UUID]objectstore.Upload{}
	for _, row := range rows {
		name := rowName("uploads", fmt.Sprintf("%x", row.Intake[:]))
		var u upload
		i, unknown := a.state.Intake(row.Intake)
		err := json.Unmarshal(row.Doc, &u)
		switch {
		case unknown != nil || i.State != evidence.Declared && i.State != evidence.Abandoned:
			a.find(CodeRowUnknown, name, "no intake is under way that it could be of")
		case err != nil:
			a.find(CodeRowDamaged, name, "%v", err)
		case row.Phase != string(u.Phase) || (u.Phase == Abandoned) != (i.State == evidence.Abandoned):
			a.find(CodeRowDamaged, name, "its phase is %s, and %s in its doc", row.Phase, u.Phase)
		case u.Store != nil:
			a.noted[row.Intake] = *u.Store
		}
	}
	return nil
}

// uploads looks for unfinished uploads that nobody will go on with: they take room,
// and hold bytes that nothing explains.
func (a *audit) uploads(ctx context.Context, s *shelf) error {
	names := []string{""} // all, and where they are found by whole keys only, by those
	for _, i := range s.pending() {
		for _, role := range roles {
			names = append(names, key(i.Intake, role))
		}
	}
	told := map[objectstore.Upload]bool{}
	var unknown []verify.Finding
	interrupted := 0
	for _, name := range names {
		for u, err := range a.cfg.Objects.Uploads(ctx, name) {
			if err != nil {
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			if told[u] {
				continue
			}
			told[u] = true
			id, role, ok := parseKey(u.Key)
			noted := a.noted[id]
			switch {
			case ok && role == evidence.Content && noted.ID == u.ID:
			case ok && s.intakes[id].State == evidence.Declared, isPublished(u.Key):
				interrupted++
			default:
				unknown = append(unknown, finding(CodeUploadUnknown, "object "+u.Key, "an upload of it, %s, is unfinished, and no intake under way explains it", u.ID))
			}
		}
	}
	if interrupted > 0 {
		a.note("%d uploads were interrupted: the service has the store forget them when it starts", interrupted)
	}
	slices.SortFunc(unknown, func(x, y verify.Finding) int { return strings.Compare(x.Subject+x.Detail, y.Subject+y.Detail) })
	a.r.Findings = append(a.r.Findings, unknown...)
	return nil
}
