package client

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Session is a sign-in.
type Session struct {
	Token     identity.Token
	Principal identity.Principal
	Roles     identity.Roles
	Expires   time.Time
}

// About tells what the service is. Nothing of it is trusted yet.
func (c *Client) About(ctx context.Context) (api.About, error) {
	return read[api.About](ctx, c)(api.NewGetServerRequest(c.base))
}

// Checkpoint gives the ledger's newest checkpoint, a signed note.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return text(ctx, c)(api.NewGetCheckpointRequest(c.base))
}

// Consistency gives the proof that the ledger of to entries begins with that of from.
func (c *Client) Consistency(ctx context.Context, from, to int64) ([]ledger.Hash, error) {
	answer, err := read[api.Consistency](ctx, c)(api.NewGetConsistencyRequest(c.base, &api.GetConsistencyParams{From: from, To: to}))
	if err != nil {
		return nil, err
	}
	proof := make([]ledger.Hash, len(answer.Proof))
	for i, h := range answer.Proof {
		proof[i] = ledger.Hash(h)
	}
	return proof, nil
}

// Challenge gives the text to sign in the namespace custody-session, after its
// origin was compared.
func (c *Client) Challenge(ctx context.Context, p identity.Principal) (string, error) {
	answer, err := read[api.Challenge](ctx, c)(api.NewCreateChallengeRequest(c.base, api.ChallengeRequest{Principal: p}))
	return answer.Challenge, err
}

// SignIn gives a session for a signed challenge. The client itself goes on with
// the token it has; see Config.SignIn.
func (c *Client) SignIn(ctx context.Context, challenge string, signature []byte) (Session, error) {
	s, err := read[api.Session](ctx, c)(api.NewCreateSessionRequest(c.base, api.SessionRequest{Challenge: challenge, Signature: string(signature)}))
	if err != nil {
		return Session{}, err
	}
	token, err := identity.ParseToken(s.Token)
	if err != nil {
		return Session{}, fmt.Errorf("sign in: %w", err)
	}
	return Session{Token: token, Principal: s.Principal, Roles: s.Roles, Expires: s.Expires}, nil
}

// SignOut ends the session.
func (c *Client) SignOut(ctx context.Context) error {
	_, err := text(ctx, c)(api.NewDeleteSessionRequest(c.base))
	return err
}

// Position tells where the chain of a case stands; with an empty reference, that
// of the entries of no case.
func (c *Client) Position(ctx context.Context, reference evidence.Name) (api.Position, error) {
	return read[api.Position](ctx, c)(api.NewGetPositionRequest(c.base, &api.GetPositionParams{Case: optional(reference)}))
}

// Record has a signed payload recorded. It may be called again with the same
// payload after an error.
func (c *Client) Record(ctx context.Context, payload, signature []byte) (api.Recorded, error) {
	return read[api.Recorded](ctx, c)(api.NewRecordEntryRequest(c.base, api.EntryRequest{Payload: string(payload), Signature: string(signature)}))
}

// Receipt gives a receipt for any entry, a C2SP tlog-proof.
func (c *Client) Receipt(ctx context.Context, seq int64) ([]byte, error) {
	return text(ctx, c)(api.NewGetReceiptRequest(c.base, seq))
}

// People gives everybody ever enrolled, in that order.
func (c *Client) People(ctx context.Context) ([]evidence.Person, error) {
	answer, err := read[api.People](ctx, c)(api.NewListPeopleRequest(c.base))
	return answer.People, err
}

// Anchors gives the newest rounds of time stamps, or those over fewer entries than below.
func (c *Client) Anchors(ctx context.Context, below int64) (api.Anchors, error) {
	var params api.ListAnchorsParams
	if below > 0 {
		params.Below = &below
	}
	return read[api.Anchors](ctx, c)(api.NewListAnchorsRequest(c.base, &params))
}

// Person gives one person.
func (c *Client) Person(ctx context.Context, p identity.Principal) (evidence.Person, error) {
	return read[evidence.Person](ctx, c)(api.NewGetPersonRequest(c.base, p))
}

// Cases gives all cases.
func (c *Client) Cases(ctx context.Context) ([]evidence.Case, error) {
	answer, err := read[api.Cases](ctx, c)(api.NewListCasesRequest(c.base))
	return answer.Cases, err
}

// Case gives one case.
func (c *Client) Case(ctx context.Context, reference evidence.Name) (evidence.Case, error) {
	return read[evidence.Case](ctx, c)(api.NewGetCaseRequest(c.base, reference))
}

// Exhibits gives the exhibits of a case.
func (c *Client) Exhibits(ctx context.Context, reference evidence.Name) ([]evidence.Exhibit, error) {
	answer, err := read[api.Exhibits](ctx, c)(api.NewListExhibitsRequest(c.base, reference))
	return answer.Exhibits, err
}

// Exhibit gives one exhibit.
func (c *Client) Exhibit(ctx context.Context, reference, label evidence.Name) (evidence.Exhibit, error) {
	return read[evidence.Exhibit](ctx, c)(api.NewGetExhibitRequest(c.base, reference, label))
}

// Copies gives the copies of a case or, with a label, of one exhibit.
func (c *Client) Copies(ctx context.Context, reference, label evidence.Name) ([]evidence.Copy, error) {
	answer, err := read[api.Copies](ctx, c)(api.NewListCopiesRequest(c.base, reference, &api.ListCopiesParams{Exhibit: optional(label)}))
	return answer.Copies, err
}

// Copy gives what is known about one copy.
func (c *Client) Copy(ctx context.Context, path evidence.Path) (evidence.Copy, error) {
	return read[evidence.Copy](ctx, c)(api.NewGetCopyRequest(c.base, path.Case, path.Exhibit, path.Copy))
}

// Findings gives the discrepancies of a case.
func (c *Client) Findings(ctx context.Context, reference evidence.Name) ([]evidence.Finding, error) {
	answer, err := read[api.Findings](ctx, c)(api.NewListFindingsRequest(c.base, reference))
	return answer.Findings, err
}

// History gives at most limit entries about a case, exhibit or copy, those after
// the entry with the case sequence number after; -1 is from the start.
func (c *Client) History(ctx context.Context, path evidence.Path, after int64, limit int) ([]api.HistoryEntry, error) {
	answer, err := read[api.History](ctx, c)(api.NewGetHistoryRequest(c.base, path.Case, &api.GetHistoryParams{
		Exhibit: optional(path.Exhibit), Copy: optional(path.Copy), After: &after, Limit: &limit,
	}))
	return answer.Entries, err
}

// Intakes gives the intakes of a case.
func (c *Client) Intakes(ctx context.Context, reference evidence.Name) ([]api.IntakeStatus, error) {
	answer, err := read[api.Intakes](ctx, c)(api.NewListIntakesRequest(c.base, reference))
	return answer.Intakes, err
}

// Intake tells how far an intake is. It waits for a change, up to 30 seconds.
func (c *Client) Intake(ctx context.Context, id uuid.UUID, wait time.Duration) (api.IntakeStatus, error) {
	return read[api.IntakeStatus](ctx, c)(api.NewGetIntakeRequest(c.base, id, &api.GetIntakeParams{Wait: seconds(wait)}))
}

// Complete states the client's own digests when all bytes are there.
func (c *Client) Complete(ctx context.Context, id uuid.UUID, declared digest.Set) (api.IntakeStatus, error) {
	return read[api.IntakeStatus](ctx, c)(api.NewCompleteIntakeRequest(c.base, id, api.CompleteRequest{Declared: declared}))
}

// StartCheck has a copy read back from the store and compared.
func (c *Client) StartCheck(ctx context.Context, path evidence.Path) (uuid.UUID, error) {
	answer, err := read[api.CheckStarted](ctx, c)(api.NewStartCheckRequest(c.base, path.Case, path.Exhibit, path.Copy))
	return answer.ID, err
}

// Check tells how far a check is. It waits for a change, up to 30 seconds.
func (c *Client) Check(ctx context.Context, id uuid.UUID, wait time.Duration) (api.CheckStatus, error) {
	return read[api.CheckStatus](ctx, c)(api.NewGetCheckRequest(c.base, id, &api.GetCheckParams{Wait: seconds(wait)}))
}

// optional leaves an empty name out of a query.
func optional[T ~string](name T) *T {
	if name == "" {
		return nil
	}
	return &name
}

// seconds rounds a wait to what the API takes.
func seconds(wait time.Duration) *int {
	n := int(min(max(wait, 0), 30*time.Second) / time.Second)
	return &n
}
