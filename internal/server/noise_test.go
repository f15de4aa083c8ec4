package server

import (
	"fmt"
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
	for i := range asked {
		send(t, fmt.Sprintf("%s%d", made, i), l.url+"/v1/server", nil)
		send(t, http.MethodGet, fmt.Sprintf("%s/%s%d", l.url, made, i), nil)
		send(t, http.MethodGet, fmt.Sprintf("%s/v1/cases/%s%d", l.url, made, i), nil, "Authorization", "Bearer "+token)
		send(t, http.MethodPost, l.url+"/v1/challenges", strings.NewReader(`{"principal":"`+made+`"}`), "Content-Type", "application/json")
		send(t, http.MethodPost, l.url+"/v1/entries", strings.NewReader(`{"payload":1,"signature":"`+made+`"}`),
			"Content-Type", "application/json", "Authorization", "Bearer "+token)
		send(t, http.MethodPut, l.url+"/v1/intakes/00000000-0000-7000-8000-000000000000/objects/"+made, nil, "Authorization", "Bearer "+token)
		send(t, http.MethodPost, l.url+"/v1/uploads", nil, "Authorization", "Bearer "+token,
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
