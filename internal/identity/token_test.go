package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
)

func TestToken(t *testing.T) {
	token, hash, err := NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := token.Reveal()
	if !strings.HasPrefix(text, "cust_") || len(text) != 5+43 {
		t.Errorf("token %q", text)
	}
	if hash != sha256.Sum256([]byte(text)) || hash != token.Hash() {
		t.Error("the hash is not that of the text")
	}
	if got, err := HashToken(text); err != nil || got != hash {
		t.Errorf("HashToken = %s, %v", got, err)
	}
	if again, err := ParseToken(text); err != nil || again.Reveal() != text {
		t.Errorf("ParseToken = %q, %v", again.Reveal(), err)
	}
	if got, err := ParseTokenHash(hash.String()); err != nil || got != hash {
		t.Errorf("ParseTokenHash = %s, %v", got, err)
	}
	broken := errors.New("no entropy")
	if token, hash, err := NewToken(iotest.ErrReader(broken)); !errors.Is(err, broken) || token.Reveal() != "" || hash != (TokenHash{}) {
		t.Errorf("%v, want %v", err, broken)
	}
}

// TestTokenRedacted looks for the secret in every way a program prints.
func TestTokenRedacted(t *testing.T) {
	token, _, err := NewToken(bytes.NewReader(bytes.Repeat([]byte{0xab}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	nested := struct {
		hidden Token
		Shown  Token
		Ptr    *Token
	}{token, token, &token}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%t"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", token, &token, nested)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("signed in", "token", token, "ptr", &token, "nested", nested)
	}
	data, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	printed := strings.ToLower(out.String())
	for _, secret := range []string{strings.ToLower(token.Reveal()), "q6ur", "abab", "171 171", "0xab, 0xab"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%q was printed:\n%s", secret, printed)
		}
	}
	if !strings.Contains(string(data), `"Shown":"[redacted]","Ptr":"[redacted]"`) {
		t.Errorf("JSON %s", data)
	}
}

func TestTokenRefused(t *testing.T) {
	good := "cust_" + strings.Repeat("A", 43)
	if _, err := HashToken(good); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "cust_", good[5:], "CUST_" + good[5:], good + "A", good[:47], good + "=", good + "\n", " " + good,
		good[:20] + "\n" + good[20:], good[:20] + "\r" + good[20:], good[:47] + "B", good[:47] + "+", good[:47] + "/", redacted,
	} {
		if token, err := ParseToken(text); !errors.Is(err, ErrToken) || token.Reveal() != "" {
			t.Errorf("ParseToken(%q): %v, want %v", text, err, ErrToken)
		}
		if hash, err := HashToken(text); !errors.Is(err, ErrToken) || hash != (TokenHash{}) {
			t.Errorf("HashToken(%q): %v, want %v", text, err, ErrToken)
		}
	}
	for _, text := range []string{"", strings.Repeat("a", 63), strings.Repeat("A", 64), strings.Repeat("g", 64)} {
		if hash, err := ParseTokenHash(text); !errors.Is(err, ErrToken) || hash != (TokenHash{}) {
			t.Errorf("ParseTokenHash(%q): %v, want %v", text, err, ErrToken)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("cust_" + strings.Repeat("A", 43))
	f.Add("cust_")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err == nil && token.Reveal() != text {
			t.Fatalf("ParseToken(%q) reveals %q", text, token.Reveal())
		}
	})
}
