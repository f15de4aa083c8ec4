package server

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// TestRoutes: what is served is what the document describes.
func TestRoutes(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Document)
	must(t, err)
	var want []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			want = append(want, method+" "+echoPath(path))
		}
	}
	slices.Sort(want)
	s, err := New(Config{Metrics: prometheus.NewRegistry(), Logger: discard})
	must(t, err)
	var got []string
	for _, r := range s.echo.Routes() {
		got = append(got, r.Method+" "+r.Path)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the document (-) and the server (+) differ:\n%s", diff)
	}
}

// TestNobody: without a session there is nothing but what the document calls public.
func TestNobody(t *testing.T) {
	l := newLab(t)
	doc, err := openapi3.NewLoader().LoadFromData(api.Document)
	must(t, err)
	fill := strings.NewReplacer("{case}", "c", "{exhibit}", "e", "{copy}", "W1", "{principal}", "p", "{seq}", "0",
		"{role}", "log", "{intake}", uuid.NewString(), "{check}", uuid.NewString())
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for _, authorization := range []string{"", "Bearer", "Bearer cust_" + strings.Repeat("A", 43), "Basic eDp5"} {
				resp, _ := send(t, method, l.url+fill.Replace(path), nil, "Authorization", authorization, "Tus-Resumable", "1.0.0")
				public := op.Security != nil
				if refused := resp.StatusCode == http.StatusUnauthorized; refused == public && path != "/v1/sessions" {
					t.Errorf("%s %s as %q: %s", method, path, authorization, resp.Status)
				}
			}
		}
	}
}

// TestStory goes through all operations with the client.
func TestStory(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	examiner := l.as("examiner1")
	about, err := examiner.About(ctx)
	must(t, err)
	if about.Origin != origin || about.Store.Kind != "directory" || about.RetainDays != 1 {
		t.Errorf("about: %+v", about)
	}
	verifier, err := ledger.ParseVerifierKey(about.VerifierKey)
	must(t, err)

	l.enrol("analyst1", identity.RoleAnalyst)
	l.enrol("screener1", identity.RoleScreener)
	id := l.open()
	content := bytes.Repeat([]byte("evidence\n"), 100_000)
	l.ingest(id, "disk.dd", content)

	// Recording again gives the same receipt.
	payload, signature := l.sign(examiner, "examiner1", id, "2026-0042", evidence.CopyRequested{
		Intake: newID(t), Exhibit: "E-001", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "look at it"},
	})
	first, err := examiner.Record(ctx, payload, signature)
	must(t, err)
	again, err := examiner.Record(ctx, payload, signature)
	must(t, err)
	if first.Again || !again.Again || first.Receipt != again.Receipt {
		t.Errorf("recorded %+v, then %+v", first, again)
	}
	receipt, err := ledger.ParseReceipt([]byte(first.Receipt))
	must(t, err)
	if _, _, err := receipt.Verify(verifier); err != nil {
		t.Errorf("receipt: %v", err)
	}
	other, err := examiner.Receipt(ctx, first.Seq)
	must(t, err)
	if receipt, err = ledger.ParseReceipt(other); err != nil || string(receipt.Envelope) != first.Envelope {
		t.Errorf("receipt of entry %d: %v", first.Seq, err)
	}

	event, err := evidence.Parse(payload)
	must(t, err)
	working := event.Body.(evidence.CopyRequested)
	l.record("examiner1", id, "2026-0042", evidence.CopyIssued{Facts: l.facts(examiner, working.Intake), Binding: working.Binding})

	if _, err := examiner.Checkpoint(ctx); err != nil {
		t.Error(err)
	}
	signed, err := examiner.Checkpoint(ctx)
	must(t, err)
	newest, err := ledger.OpenCheckpoint(signed, verifier)
	must(t, err)
	if _, err := examiner.Consistency(ctx, 1, newest.Size); err != nil {
		t.Error(err)
	}
	if _, err := examiner.Consistency(ctx, 1, newest.Size+1); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("consistency with the future: %v", err)
	}

	t.Run("read", func(t *testing.T) {
		people, err := examiner.People(ctx)
		must(t, err)
		person, err := examiner.Person(ctx, "analyst1")
		must(t, err)
		if len(people) != 4 || person.Name != "Name of analyst1" {
			t.Errorf("people %+v, person %+v", people, person)
		}
		cases, err := examiner.Cases(ctx)
		must(t, err)
		one, err := examiner.Case(ctx, "2026-0042")
		must(t, err)
		if diff := cmp.Diff([]evidence.Case{one}, cases, cmp.AllowUnexported(evidence.Time{})); diff != "" || one.ID != id {
			t.Errorf("cases: %s", diff)
		}
		exhibits, err := examiner.Exhibits(ctx, "2026-0042")
		must(t, err)
		exhibit, err := examiner.Exhibit(ctx, "2026-0042", "E-001")
		must(t, err)
		if len(exhibits) != 1 || exhibit.Numbers[evidence.Working] != 1 {
			t.Errorf("exhibits %+v, %+v", exhibits, exhibit)
		}
		copies, err := examiner.Copies(ctx, "2026-0042", "E-001")
		must(t, err)
		copied, err := examiner.Copy(ctx, evidence.Path{Case: "2026-0042", Exhibit: "E-001", Copy: "W1"})
		must(t, err)
		if len(copies) != 2 || copied.To != "analyst1" || copied.Digests != sha256Of(t, content) {
			t.Errorf("copies %+v, %+v", copies, copied)
		}
		findings, err := examiner.Findings(ctx, "2026-0042")
		if err != nil || findings == nil || len(findings) != 0 {
			t.Errorf("findings %v, %v", findings, err)
		}
		intakes, err := examiner.Intakes(ctx, "2026-0042")
		if err != nil || len(intakes) != 2 || intakes[1].Phase != api.PhaseIssued {
			t.Errorf("intakes %+v, %v", intakes, err)
		}
		history, err := examiner.History(ctx, evidence.Path{Case: "2026-0042"}, -1, 3)
		if err != nil || len(history) != 3 || history[0].CaseSeq != 0 {
			t.Fatalf("history %+v, %v", history, err)
		}
		rest, err := examiner.History(ctx, evidence.Path{Case: "2026-0042"}, history[2].CaseSeq, 1000)
		if err != nil || len(rest) != 3 || rest[0].CaseSeq != 3 {
			t.Errorf("rest of the history %+v, %v", rest, err)
		}
		if _, err := evidence.Parse([]byte(rest[0].Payload)); err != nil {
			t.Errorf("payload of the history: %v", err)
		}
		if _, err := examiner.Case(ctx, "nothing"); !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("no such case: %v", err)
		}
		resp, _ := send(t, http.MethodGet, l.url+"/v1/cases/2026-0042", nil, "Authorization", "Bearer "+l.token("screener1"))
		if resp.StatusCode != http.StatusOK || strings.Contains(resp.Body, "Secret title") || !strings.Contains(resp.Body, `"state":"open"`) {
			t.Errorf("a screener sees %s %s", resp.Status, resp.Body)
		}
		if _, err := l.as("screener1").People(ctx); !errors.Is(err, evidence.ErrForbidden) {
			t.Errorf("a screener asks for people: %v", err)
		}
	})

	t.Run("fetch", func(t *testing.T) {
		analyst := l.as("analyst1")
		path := evidence.Path{Case: "2026-0042", Exhibit: "E-001", Copy: "W1"}
		for _, offset := range []int64{0, 1, 555_555, int64(len(content)) - 1} {
			d, err := analyst.Fetch(ctx, path, offset)
			must(t, err)
			got, err := io.ReadAll(d)
			must(t, err)
			must(t, d.Close())
			sum, _ := sha256Of(t, content).SHA256()
			if !bytes.Equal(got, content[offset:]) || d.Size != int64(len(content)) || d.SHA256 != sum || d.Name != "disk.dd" {
				t.Errorf("fetch from %d: %d bytes, %+v", offset, len(got), d)
			}
			if receipt, err := ledger.ParseReceipt(d.Receipt); err != nil {
				t.Errorf("receipt %+v: %v", receipt, err)
			}
		}
		if _, err := analyst.Fetch(ctx, path, int64(len(content))); !errors.Is(err, api.CodeRangeNotSatisfiable) {
			t.Errorf("fetch past the end: %v", err)
		}
		path.Copy = "M1"
		for _, offset := range []int64{0, 1, 1 << 40} { // a range does not slip by
			before := denials(t, l)
			if d, err := analyst.Fetch(ctx, path, offset); err == nil || errors.Is(err, api.CodeRangeNotSatisfiable) {
				t.Errorf("fetch of a master from %d: %+v, %v", offset, d, err)
			}
			if after := denials(t, l); after != before+1 {
				t.Errorf("fetch of a master from %d: %d denials on record, had %d", offset, after, before)
			}
		}
	})

	t.Run("check", func(t *testing.T) {
		id, err := examiner.StartCheck(ctx, evidence.Path{Case: "2026-0042", Exhibit: "E-001", Copy: "M1"})
		must(t, err)
		status, err := examiner.Check(ctx, id, 30*time.Second)
		if err != nil || !status.Done || status.Verdict == nil || status.Verdict.Result != evidence.Match || status.Recorded == nil {
			t.Errorf("check: %+v, %v", status, err)
		}
		if _, err := examiner.Check(ctx, uuid.New(), 0); !errors.Is(err, evidence.ErrNotFound) {
			t.Errorf("no such check: %v", err)
		}
	})

	t.Run("export", func(t *testing.T) {
		b, err := examiner.Export(ctx, "2026-0042", client.ExportOptions{})
		must(t, err)
		whole, err := io.ReadAll(b)
		must(t, err)
		must(t, b.Close())
		if z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole))); err != nil || len(z.File) == 0 || b.Name != "2026-0042.zip" {
			t.Errorf("bundle %s of %d bytes: %v", b.Name, len(whole), err)
		}
		if _, err := l.as("screener1").Export(ctx, "2026-0042", client.ExportOptions{}); !errors.Is(err, evidence.ErrForbidden) {
			t.Errorf("a screener exports: %v", err)
		}
	})

	must(t, examiner.SignOut(ctx))
	text := l.log.String()
	for _, secret := range []string{"cust_", "Secret title", "2026-0042/E-001"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

// denials counts what is on record as denied.
func denials(t *testing.T, l *lab) int {
	t.Helper()
	history, err := l.as("examiner1").History(t.Context(), evidence.Path{Case: "2026-0042"}, -1, 1000)
	must(t, err)
	n := 0
	for _, e := range history {
		event, err := evidence.Parse([]byte(e.Payload))
		must(t, err)
		if _, denied := event.Body.(evidence.AccessDenied); denied {
			n++
		}
	}
	return n
}

// TestRanges asks for parts of a copy as any HTTP client may.
func TestRanges(t *testing.T) {
	l := newLab(t)
	id := l.open()
	l.ingest(id, `..\..\é "x".dd`, []byte("0123456789"))
	intake := newID(t)
	binding := evidence.Binding{Of: "M1", To: "examiner1", Purpose: "p"}
	l.record("examiner1", id, "2026-0042", evidence.CopyRequested{Intake: intake, Exhibit: "E-001", Binding: binding})
	l.record("examiner1", id, "2026-0042", evidence.CopyIssued{Facts: l.facts(l.as("examiner1"), intake), Binding: binding})
	token := l.token("examiner1")
	for _, tt := range []struct{ asked, ifRange, status, got, contentRange string }{
		{"", "", "200", "0123456789", ""},
		{"bytes=0-", "", "206", "0123456789", "bytes 0-9/10"},
		{"bytes=2-4", "", "206", "234", "bytes 2-4/10"},
		{"bytes=8-99", "", "206", "89", "bytes 8-9/10"},
		{"bytes=-3", "", "206", "789", "bytes 7-9/10"},
		{"bytes=-99", "", "206", "0123456789", "bytes 0-9/10"},
		{"bytes=10-", "", "416", "", "bytes */10"},
		{"bytes=-0", "", "416", "", "bytes */10"},
		{"bytes=99999999999999999999-", "", "200", "0123456789", ""},
		{"bytes=4-2", "", "200", "0123456789", ""},
		{"bytes=0-1,4-5", "", "200", "0123456789", ""},
		{"bytes=a-b", "", "200", "0123456789", ""},
		{"bytes=+1-2", "", "200", "0123456789", ""},
		{"lines=1-2", "", "200", "0123456789", ""},
		{"bytes=2-4", `"etag"`, "200", "0123456789", ""},
	} {
		header := []string{"Authorization", "Bearer " + token}
		if tt.asked != "" {
			header = append(header, "Range", tt.asked)
		}
		if tt.ifRange != "" {
			header = append(header, "If-Range", tt.ifRange)
		}
		resp, _ := send(t, http.MethodGet, l.url+"/v1/cases/2026-0042/exhibits/E-001/copies/W1/content", nil, header...)
		got := resp.Body
		h := resp.Header
		if !strings.HasPrefix(resp.Status, tt.status) || h.Get("Content-Range") != tt.contentRange || tt.got != "" && got != tt.got {
			t.Errorf("%q: %s %q %q", tt.asked, resp.Status, h.Get("Content-Range"), got)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("ETag") != "" {
			t.Errorf("%q: %v", tt.asked, h)
		}
		sum, _ := sha256Of(t, []byte("0123456789")).SHA256()
		if want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"; tt.status != "416" && h.Get("Repr-Digest") != want {
			t.Errorf("%q: Repr-Digest %q", tt.asked, h.Get("Repr-Digest"))
		}
		if want := "attachment; filename*=utf-8''%C3%A9%20%22x%22.dd"; tt.status != "416" && h.Get("Content-Disposition") != want {
			t.Errorf("%q: Content-Disposition %q", tt.asked, h.Get("Content-Disposition"))
		}
	}
}

// token signs in and gives the secret.
func (l *lab) token(p identity.Principal) string {
	l.t.Helper()
	c := l.as(p)
	challenge, err := c.Challenge(l.t.Context(), p)
	must(l.t, err)
	signature, err := l.key(p).Sign(l.t.Context(), identity.NamespaceSession, []byte(challenge))
	must(l.t, err)
	session, err := c.SignIn(l.t.Context(), challenge, signature)
	must(l.t, err)
	return session.Token.Reveal()
}

// TestServe: a request that runs when the service is told to end is answered.
func TestServe(t *testing.T) {
	s, err := New(Config{Metrics: prometheus.NewRegistry(), Logger: discard})
	must(t, err)
	arrived, answer := make(chan struct{}), make(chan struct{})
	s.echo.GET("/slow", func(c echoContext) error {
		close(arrived)
		<-answer
		return c.String(http.StatusOK, "done")
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, s, time.Minute) }()
	got := make(chan string, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/slow", nil)
		if err != nil {
			got <- err.Error()
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(body)
	}()
	<-arrived
	stop()
	close(answer)
	if body := <-got; body != "done" {
		t.Errorf("the running request got %q", body)
	}
	must(t, <-served)
}
