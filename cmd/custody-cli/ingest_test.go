package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

// TestAwait: a problem that passes is waited out, one that is final is not.
func TestAwait(t *testing.T) {
	var intake evidence.Intake
	intake.Intake = uuid.Must(uuid.NewV7())
	trying := api.IntakeStatus{Intake: intake, Phase: api.PhaseCopying, Problem: "the store does not answer"}
	given := api.IntakeStatus{Intake: intake, Phase: api.PhaseCopying, Problem: "the master cannot be copied", Final: true}
	sealed := api.IntakeStatus{Intake: intake, Phase: api.PhaseSealed}
	for name, tt := range map[string]struct {
		answers []api.IntakeStatus
		want    error
	}{
		"passes": {[]api.IntakeStatus{trying, sealed}, nil},
		"final":  {[]api.IntakeStatus{trying, given}, errFinal},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer := tt.answers[0]
			tt.answers = tt.answers[1:]
			if err := json.NewEncoder(w).Encode(answer); err != nil {
				t.Error(err)
			}
		}))
		c, err := client.New(client.Config{Server: srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		var talk bytes.Buffer
		a := &app{stderr: &talk}
		op := &operator.Operator{Client: c, Config: operator.Config{Now: time.Now, Say: a.say, RetryFor: time.Hour}}
		_, err = a.await(t.Context(), op, intake.Intake, 1)
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), given.Problem) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if !strings.Contains(talk.String(), trying.Problem) {
			t.Errorf("%s: said %q", name, talk.String())
		}
		c.Close()
		srv.Close()
	}
}
