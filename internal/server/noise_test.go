package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestNoise: what anybody can make up grows neither the metrics nor the log, and no
// content stands in either.
func TestNoise(t *testing.T) {
	l := newLab(t)
	token := l.token("examiner1")
	_, _ = send(t, http.MethodGet, l.url+"/metrics", nil)
	before := len(l.log.String())
	made := strings.Repeat("NOISE", 1000)
	const asked = 10
	ask := func(method, path string, body io.Reader, header ...string) {
		_, _ = send(t, method, l.url+path, body, header...)
	}
	for i := range asked {
		ask(fmt.Sprintf("%s%d", made, i), "/v1/server", nil)
		ask(http.MethodGet, fmt.Sprintf("/%s%d", made, i), nil)
		ask(http.MethodGet, fmt.Sprintf("/v1/cases/%s%d", made, i), nil, "Authorization", "Bearer "+token)
		ask(http.MethodPost, "/v1/challenges", strings.NewReader(`{"principal":"`+made+`"}`), "Content-Type", "application/json")
		ask(http.MethodPost, "/v1/entries", strings.NewReader(`{"payload":1,"signature":"`+made+`"}`),
			"Content-Type", "application/json", "Authorization", "Bearer "+token)
		ask(http.MethodPut, "/v1/intakes/00000000-0000-7000-8000-000000000000/objects/"+made, nil, "Authorization", "Bearer "+token)
		ask(http.MethodPost, "/v1/uploads", nil, "Authorization", "Bearer "+token,
			"Tus-Resumable", "1.0.0", "Upload-Length", made, "Upload-Metadata", made)
	}
	figures, _ := send(t, http.MethodGet, l.url+"/metrics", nil)
	if strings.Contains(figures.Body, "NOISE") || !strings.Contains(figures.Body, `method="other"`) {
		t.Error("the metrics have labels that anybody can make up")
	}
	text := l.log.String()
	if strings.Contains(text, made[:100]) {
		t.Error("the log tells what anybody can make up")
	}
	if most := 7 * asked * 1000; len(text)-before > most {
		t.Errorf("%d bytes of log, want at most %d", len(text)-before, most)
	}
}
