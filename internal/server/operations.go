package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// operations answers the JSON operations: each calls one of custody's.
type operations struct {
	custody *custody.Service
	log     *slog.Logger
}

var _ StrictServerInterface = operations{}

// list writes an empty list as one, not as null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func seconds(wait *int) time.Duration {
	if wait == nil {
		return 0
	}
	return time.Duration(*wait) * time.Second
}

// value is what an optional parameter says, or its zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func recorded(r custody.Recorded) api.Recorded {
	return api.Recorded{
		Seq: r.Seq, CaseSeq: r.CaseSeq, Time: r.Time, Leaf: r.Leaf,
		Envelope: string(r.Envelope), Receipt: string(r.Receipt), Again: r.Again,
	}
}

func intakeStatus(i custody.IntakeStatus) api.IntakeStatus {
	return api.IntakeStatus{
		Intake: i.Intake, Phase: api.Phase(i.Phase), Offset: i.Offset, Checked: i.Checked, Facts: i.Facts, Problem: i.Problem, Final: i.Final,
	}
}

func (o operations) GetServer(context.Context, GetServerRequestObject) (GetServerResponseObject, error) {
	about := o.custody.About()
	witnesses := make([]api.Witness, len(about.Witnesses))
	for i, w := range about.Witnesses {
		witnesses[i] = api.Witness{
			Name: w.Name, VerifierKey: w.Key.String(), State: api.WitnessState(w.State), Cosigned: w.Cosigned, Problem: w.Problem,
		}
	}
	return GetServer200JSONResponse{
		Witnesses: witnesses,
		Origin:    string(about.Origin), VerifierKey: about.VerifierKey.String(), Version: about.Version,
		RetainDays: about.RetainDays, Started: about.Started.UTC(),
		Store: api.Store{
			Kind: api.StoreKind(about.Store.Kind), Bucket: about.Store.Bucket,
			Lock: api.StoreLock(about.Store.Lock), Missing: about.Store.Missing,
		},
	}, nil
}

func (o operations) GetCheckpoint(ctx context.Context, _ GetCheckpointRequestObject) (GetCheckpointResponseObject, error) {
	signed, err := o.custody.Checkpoint(ctx)
	return GetCheckpoint200TextResponse(signed), err
}

func (o operations) GetConsistency(ctx context.Context, r GetConsistencyRequestObject) (GetConsistencyResponseObject, error) {
	proof, err := o.custody.Consistency(ctx, r.Params.From, r.Params.To)
	hashes := make([]api.Hash, len(proof))
	for i, h := range proof {
		hashes[i] = digest.SHA256(h)
	}
	return GetConsistency200JSONResponse{From: r.Params.From, To: r.Params.To, Proof: hashes}, err
}

func (o operations) CreateChallenge(ctx context.Context, r CreateChallengeRequestObject) (CreateChallengeResponseObject, error) {
	challenge, err := o.custody.Challenge(ctx, r.Body.Principal)
	return CreateChallenge200JSONResponse{Challenge: challenge.Text()}, err
}

func (o operations) CreateSession(ctx context.Context, r CreateSessionRequestObject) (CreateSessionResponseObject, error) {
	s, err := o.custody.SignIn(ctx, r.Body.Challenge, []byte(r.Body.Signature))
	if err != nil {
		return nil, err
	}
	return CreateSession200JSONResponse{Token: s.Token.Reveal(), Principal: s.Principal, Roles: s.Roles, Expires: s.Expires}, nil
}

func (o operations) DeleteSession(ctx context.Context, _ DeleteSessionRequestObject) (DeleteSessionResponseObject, error) {
	return DeleteSession204Response{}, o.custody.SignOut(ctx, bearer(ctx))
}

func (o operations) GetPosition(ctx context.Context, r GetPositionRequestObject) (GetPositionResponseObject, error) {
	p, err := o.custody.Position(ctx, caller(ctx), value(r.Params.Case))
	return GetPosition200JSONResponse{Case: p.Case, Entries: p.Entries, Seen: p.Seen}, err
}

func (o operations) RecordEntry(ctx context.Context, r RecordEntryRequestObject) (RecordEntryResponseObject, error) {
	entry, err := o.custody.Record(ctx, caller(ctx), []byte(r.Body.Payload), []byte(r.Body.Signature))
	return RecordEntry200JSONResponse(recorded(entry)), err
}

func (o operations) GetReceipt(ctx context.Context, r GetReceiptRequestObject) (GetReceiptResponseObject, error) {
	receipt, err := o.custody.Proof(ctx, caller(ctx), r.Seq)
	if err != nil {
		return nil, err
	}
	return GetReceipt200TextResponse(receipt.Marshal()), nil
}

func (o operations) ListAnchors(ctx context.Context, r ListAnchorsRequestObject) (ListAnchorsResponseObject, error) {
	var below int64
	if r.Params.Below != nil {
		below = *r.Params.Below
	}
	all, err := o.custody.Anchors(ctx, caller(ctx), below)
	return ListAnchors200JSONResponse(anchors(all)), err
}

func (o operations) ListPeople(ctx context.Context, _ ListPeopleRequestObject) (ListPeopleResponseObject, error) {
	people, err := o.custody.People(ctx, caller(ctx))
	return ListPeople200JSONResponse{People: list(people)}, err
}

func (o operations) GetPerson(ctx context.Context, r GetPersonRequestObject) (GetPersonResponseObject, error) {
	person, err := o.custody.Person(ctx, caller(ctx), r.Principal)
	return GetPerson200JSONResponse(person), err
}

func (o operations) ListCases(ctx context.Context, _ ListCasesRequestObject) (ListCasesResponseObject, error) {
	cases, err := o.custody.Cases(ctx, caller(ctx))
	return ListCases200JSONResponse{Cases: list(cases)}, err
}

func (o operations) GetCase(ctx context.Context, r GetCaseRequestObject) (GetCaseResponseObject, error) {
	found, err := o.custody.Case(ctx, caller(ctx), r.Case)
	return GetCase200JSONResponse(found), err
}

func (o operations) ListExhibits(ctx context.Context, r ListExhibitsRequestObject) (ListExhibitsResponseObject, error) {
	exhibits, err := o.custody.Exhibits(ctx, caller(ctx), r.Case)
	return ListExhibits200JSONResponse{Exhibits: list(exhibits)}, err
}

func (o operations) GetExhibit(ctx context.Context, r GetExhibitRequestObject) (GetExhibitResponseObject, error) {
	exhibit, err := o.custody.Exhibit(ctx, caller(ctx), r.Case, r.Exhibit)
	return GetExhibit200JSONResponse(exhibit), err
}

func (o operations) ListCopies(ctx context.Context, r ListCopiesRequestObject) (ListCopiesResponseObject, error) {
	copies, err := o.custody.Copies(ctx, caller(ctx), r.Case, value(r.Params.Exhibit))
	return ListCopies200JSONResponse{Copies: list(copies)}, err
}

func (o operations) GetCopy(ctx context.Context, r GetCopyRequestObject) (GetCopyResponseObject, error) {
	found, err := o.custody.Copy(ctx, caller(ctx), evidence.Path{Case: r.Case, Exhibit: r.Exhibit, Copy: r.Copy})
	return GetCopy200JSONResponse(found), err
}

func (o operations) ListFindings(ctx context.Context, r ListFindingsRequestObject) (ListFindingsResponseObject, error) {
	findings, err := o.custody.Findings(ctx, caller(ctx), r.Case)
	return ListFindings200JSONResponse{Findings: list(findings)}, err
}

// The defaults of the document.
const (
	fromTheStart = -1
	historyLimit = 100
)

func (o operations) GetHistory(ctx context.Context, r GetHistoryRequestObject) (GetHistoryResponseObject, error) {
	path := evidence.Path{Case: r.Case, Exhibit: value(r.Params.Exhibit), Copy: value(r.Params.Copy)}
	if path.Copy != "" && path.Exhibit == "" {
		return nil, &evidence.FieldError{Field: "copy", Problem: "stands only beside exhibit"}
	}
	after, limit := int64(fromTheStart), historyLimit
	if r.Params.After != nil {
		after = *r.Params.After
	}
	if r.Params.Limit != nil {
		limit = *r.Params.Limit
	}
	found, err := o.custody.History(ctx, caller(ctx), path, after, limit)
	entries := make([]api.HistoryEntry, len(found))
	for i, e := range found {
		entries[i] = api.HistoryEntry{
			Seq: e.Seq, CaseSeq: e.CaseSeq, Time: e.Time, Leaf: e.Leaf,
			Envelope: string(e.Envelope), Payload: string(e.Payload), Signature: string(e.Signature),
		}
		if x := e.Erased; x != nil {
			entries[i].Erased = &api.Erased{Entry: x.Entry, By: x.By, At: x.At, Authority: x.Authority, Reason: x.Reason}
		}
	}
	return GetHistory200JSONResponse{Entries: entries}, err
}

func (o operations) ListIntakes(ctx context.Context, r ListIntakesRequestObject) (ListIntakesResponseObject, error) {
	found, err := o.custody.Intakes(ctx, caller(ctx), r.Case)
	intakes := make([]api.IntakeStatus, len(found))
	for i, one := range found {
		intakes[i] = intakeStatus(one)
	}
	return ListIntakes200JSONResponse{Intakes: intakes}, err
}

func (o operations) GetIntake(ctx context.Context, r GetIntakeRequestObject) (GetIntakeResponseObject, error) {
	status, err := o.custody.Intake(ctx, caller(ctx), r.Intake, seconds(r.Params.Wait))
	return GetIntake200JSONResponse(intakeStatus(status)), err
}

func (o operations) CompleteIntake(ctx context.Context, r CompleteIntakeRequestObject) (CompleteIntakeResponseObject, error) {
	status, err := o.custody.Complete(ctx, caller(ctx), r.Intake, r.Body.Declared)
	return CompleteIntake200JSONResponse(intakeStatus(status)), err
}

func (o operations) StartCheck(ctx context.Context, r StartCheckRequestObject) (StartCheckResponseObject, error) {
	id, err := o.custody.StartCheck(ctx, caller(ctx), evidence.Path{Case: r.Case, Exhibit: r.Exhibit, Copy: r.Copy})
	return StartCheck202JSONResponse{ID: id}, err
}

func (o operations) GetCheck(ctx context.Context, r GetCheckRequestObject) (GetCheckResponseObject, error) {
	status, err := o.custody.Check(ctx, caller(ctx), r.Check, seconds(r.Params.Wait))
	if err == nil && errors.Is(status.Err, custody.ErrStopped) {
		err = status.Err // no later check can be recorded either
	}
	if err != nil {
		return nil, err
	}
	answer := GetCheck200JSONResponse{
		ID: status.ID, Path: status.Path.String(), Done: status.Done,
		Checked: status.Checked, Size: status.Size, Verdict: status.Verdict,
	}
	if status.Recorded != nil {
		entry := recorded(*status.Recorded)
		answer.Recorded = &entry
	}
	if status.Err != nil {
		answer.Problem = problemOf(status.Err, requestID(ctx)).Error()
	}
	return answer, nil
}
