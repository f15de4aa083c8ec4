package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestParseCheckpoint(t *testing.T) {
	good := string(testLedger().checkpoint().Body())
	lines := strings.Split(good, "\n")
	empty := Checkpoint{Origin: testOrigin, Root: emptyRoot}
	for _, tt := range []struct {
		name, body string
		wantErr    error
	}{
		{"good", good, nil},
		{"of an empty ledger", string(empty.Body()), nil},
		{"empty ledger with another root", strings.Replace(good, "\n12\n", "\n0\n", 1), ErrCheckpoint},
		{"nothing", "", ErrCheckpoint},
		{"no final newline", strings.TrimSuffix(good, "\n"), ErrCheckpoint},
		{"extension line", good + "extension\n", ErrCheckpoint},
		{"empty line behind", good + "\n", ErrCheckpoint},
		{"empty line in front", "\n" + good, ErrCheckpoint},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), ErrCheckpoint},
		{"bad origin", "Example\n12\n" + lines[2] + "\n", ErrCheckpoint},
		{"size with a zero", strings.Replace(good, "\n12\n", "\n012\n", 1), ErrCheckpoint},
		{"size with a sign", strings.Replace(good, "\n12\n", "\n+12\n", 1), ErrCheckpoint},
		{"size negative", strings.Replace(good, "\n12\n", "\n-12\n", 1), ErrCheckpoint},
		{"size 2^53", strings.Replace(good, "\n12\n", "\n9007199254740992\n", 1), ErrCheckpoint},
		{"size 2^64", strings.Replace(good, "\n12\n", "\n18446744073709551616\n", 1), ErrCheckpoint},
		{"size with a space", strings.Replace(good, "\n12\n", "\n12 \n", 1), ErrCheckpoint},
		{"root too short", strings.Replace(good, lines[2], lines[2][4:], 1), ErrCheckpoint},
		{"root without padding", strings.Replace(good, "=", "", 1), ErrCheckpoint},
		{"root with spare bits", good[:len(good)-3] + "b=\n", ErrCheckpoint},
		{"root in hexadecimal", strings.Replace(good, lines[2], testLedger().tree.Root().String(), 1), ErrCheckpoint},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseCheckpoint([]byte(tt.body))
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err == nil && string(c.Body()) != tt.body {
				t.Errorf("writes %q", c.Body())
			}
		})
	}
}

func TestOpenCheckpoint(t *testing.T) {
	w := testLedger()
	key := testKey(t)
	signed := sign(t, w)
	signer := func(name string) (note.Signer, VerifierKey) {
		t.Helper()
		skey, vkey, err := GenerateKey(nil, Origin(name))
		if err != nil {
			t.Fatal(err)
		}
		s, err := note.NewSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseVerifierKey(vkey)
		if err != nil {
			t.Fatal(err)
		}
		return s, k
	}
	ours, err := note.NewSigner(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	witness, _ := signer("witness.example")
	namesake, namesakeKey := signer(string(testOrigin))
	stranger, strangerKey := signer("example.org/other")
	body := string(w.checkpoint().Body())
	with := func(body string, signers ...note.Signer) []byte {
		t.Helper()
		b, err := note.Sign(&note.Note{Text: body}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	flipped := func(at string) []byte {
		b := bytes.Clone(signed)
		b[bytes.Index(b, []byte(at))+len(at)] ^= 1
		return b
	}
	for _, tt := range []struct {
		name    string
		signed  []byte
		key     VerifierKey
		wantErr error
	}{
		{"good", signed, key, nil},
		{"with a witness", with(body, ours, witness), key, nil},
		{"a witness in front", with(body, witness, ours), key, nil},
		{"only a witness", with(body, witness), key, ErrUnsigned},
		{"a namesake's", with(body, namesake), key, ErrUnsigned},
		{"for a namesake", signed, namesakeKey, ErrUnsigned},
		{"for the zero key", signed, VerifierKey{}, ErrUnsigned},
		{"by another ledger in our name", with(body, stranger), strangerKey, ErrOrigin},
		{"size altered", flipped("\n1"), key, ErrUnsigned},
		{"not a checkpoint", with("hello\n", ours), key, ErrCheckpoint},
		{"extension line", with(body+"more\n", ours), key, ErrCheckpoint},
		{"empty", nil, key, ErrCheckpoint},
		{"body alone", []byte(body), key, ErrCheckpoint},
		{"no signature", []byte(body + "\n"), key, ErrCheckpoint},
		{"cut", signed[:len(signed)-2], key, ErrCheckpoint},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := OpenCheckpoint(tt.signed, tt.key)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				if c != (Checkpoint{}) {
					t.Errorf("error with a value: %+v", c)
				}
				return
			}
			if c != w.checkpoint() {
				t.Errorf("opens as %+v", c)
			}
			gotBody, sig, err := SplitCheckpoint(tt.signed, tt.key)
			if err != nil || string(gotBody) != body || len(sig) != 64 || !tt.key.Verify(gotBody, sig) {
				t.Errorf("splits into %q and %x, %v", gotBody, sig, err)
			}
		})
	}
}

func TestParseVerifierKey(t *testing.T) {
	key := testKey(t)
	good := key.String()
	name, rest, _ := strings.Cut(good, "+")
	id, text, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	other := VerifierKey{origin: "x", key: key.key}
	for _, tt := range []struct {
		name, in string
		wantErr  error
	}{
		{"good", good, nil},
		{"for another origin", other.String(), nil},
		{"nothing", "", ErrSyntax},
		{"a secret key", testSecret, ErrSyntax},
		{"renamed", strings.Replace(good, name, "x", 1), ErrSyntax},
		{"id of another", strings.Replace(good, id, "00000000", 1), ErrSyntax},
		{"id of capitals", strings.Replace(good, id, strings.ToUpper(id), 1), ErrSyntax},
		{"no id", name + "+" + text, ErrSyntax},
		{"newline", good + "\n", ErrSyntax},
		{"key too short", name + "+" + id + "+" + base64.StdEncoding.EncodeToString(raw[:32]), ErrSyntax},
		{"of a cosignature", name + "+" + id + "+" + base64.StdEncoding.EncodeToString(append([]byte{4}, raw[1:]...)), ErrSyntax},
		{"origin of capitals", strings.ToUpper(name) + "+" + rest, ErrSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParseVerifierKey(tt.in)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			if k.String() != tt.in {
				t.Errorf("prints as %s", k)
			}
			std, err := note.NewVerifier(tt.in)
			if err != nil || std.Name() != k.Name() || std.KeyHash() != k.KeyHash() {
				t.Errorf("the library reads it as %v, %v", std, err)
			}
			var again VerifierKey
			b, err := k.MarshalText()
			if err != nil || again.UnmarshalText(b) != nil || again != k {
				t.Errorf("text %s reads as %s, %v", b, again, err)
			}
		})
	}
}

func TestGenerateKey(t *testing.T) {
	skey, vkey, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{0x2a}, 32)), testOrigin)
	if err != nil || skey != testSecret {
		t.Fatalf("secret key %s, %v", skey, err)
	}
	if got := testKey(t); got.String() != vkey || got.Origin() != testOrigin {
		t.Errorf("%s is not %s", got, vkey)
	}
	if _, _, err := GenerateKey(nil, "a b"); !errors.Is(err, ErrSyntax) {
		t.Errorf("error %v, want %v", err, ErrSyntax)
	}
	for _, bad := range []string{"", vkey, testSecret + "A", testSecret + "\n", strings.Replace(testSecret, "custody+", "other+", 1)} {
		k, err := VerifierKeyOf(bad)
		if err == nil || k != (VerifierKey{}) {
			t.Errorf("%q is the secret of %s, %v", bad, k, err)
		}
		if err != nil && strings.Contains(err.Error(), "KioqKio") {
			t.Errorf("error tells the secret: %v", err)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(testLedger().checkpoint().Body())
	f.Add(Checkpoint{Origin: "x", Root: emptyRoot}.Body())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCheckpoint(b)
		if err == nil && !bytes.Equal(c.Body(), b) || err != nil && !errors.Is(err, ErrCheckpoint) {
			t.Fatalf("%q reads as %+v, %v", b, c, err)
		}
	})
}

func FuzzParseVerifierKey(f *testing.F) {
	f.Add(testKey(f).String())
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseVerifierKey(s)
		if err == nil && k.String() != s || err != nil && !errors.Is(err, ErrSyntax) {
			t.Fatalf("%q reads as %s, %v", s, k, err)
		}
	})
}
