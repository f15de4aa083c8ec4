package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAo3D7CGN01tTYY/dLKXEv8RxRyxa32c51X0uKMhnMab"

// skPublicKey is the public half of a key that lives in a FIDO token.
func skPublicKey(t testing.TB, public any) PublicKey {
	t.Helper()
	var wire []byte
	switch k := public.(type) {
	case ed25519.PublicKey:
		wire = ssh.Marshal(struct {
			Type        string
			Key         []byte
			Application string
		}{ssh.KeyAlgoSKED25519, k, "ssh:"})
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		wire = ssh.Marshal(struct {
			Type, Curve string
			Key         []byte
			Application string
		}{ssh.KeyAlgoSKECDSA256, "nistp256", point, "ssh:"})
	}
	parsed, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newPublicKey(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// skText is the line of an Ed25519 key in a FIDO token, of any 32 bytes.
func skText(t testing.TB, public []byte) string {
	t.Helper()
	return ssh.KeyAlgoSKED25519 + " " + base64.StdEncoding.EncodeToString(ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, public, "ssh:"}))
}

func TestPublicKeyKinds(t *testing.T) {
	for _, kind := range []struct{ name, bits, want string }{
		{"ed25519", "", "ssh-ed25519"},
		{"ecdsa", "256", "ecdsa-sha2-nistp256"},
		{"ecdsa", "384", "ecdsa-sha2-nistp384"},
		{"ecdsa", "521", "ecdsa-sha2-nistp521"},
		{"rsa", "3072", "ssh-rsa"},
	} {
		t.Run(kind.want, func(t *testing.T) {
			path := keygen(t, kind.name, kind.bits, "")
			line, err := os.ReadFile(path + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			key, comment, err := ParsePublicKey(string(line))
			if err != nil {
				t.Fatal(err)
			}
			if key.Type() != kind.want || comment != kind.name+" of a test" {
				t.Errorf("type %q, comment %q", key.Type(), comment)
			}
			if want := key.String() + " " + comment + "\n"; want != string(line) {
				t.Errorf("got %q, want %q", want, line)
			}
			listed := string(run(t, nil, nil, "ssh-keygen", "-l", "-f", path+".pub"))
			if !strings.Contains(listed, " "+key.Fingerprint()+" ") {
				t.Errorf("fingerprint %s, ssh-keygen says %s", key.Fingerprint(), listed)
			}
		})
	}
}

func TestPublicKeySK(t *testing.T) {
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, public := range []any{edKey, &ecKey.PublicKey} {
		key := skPublicKey(t, public)
		if again, _, err := ParsePublicKey(key.String()); err != nil || again != key {
			t.Errorf("ParsePublicKey(%s) = %s, %v", key, again, err)
		}
	}
}

func TestPublicKeyRefused(t *testing.T) {
	_, blob, _ := strings.Cut(testKey, " ")
	ca := keygen(t, "ed25519", "", "")
	weak, err := os.ReadFile(keygen(t, "rsa", "2048", "") + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	run(t, nil, nil, "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", "examiner1", ca+".pub")
	certificate, err := os.ReadFile(ca + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	zeros := ssh.Marshal(struct {
		Type string
		E    []byte
		N    []byte
	}{ssh.KeyAlgoRSA, []byte{0, 1, 0, 1}, append([]byte{0, 0x80}, make([]byte, 400)...)})
	dsa := ssh.Marshal(struct {
		Type       string
		P, Q, G, Y []byte
	}{"ssh-dss", []byte{7}, []byte{3}, []byte{2}, []byte{4}})
	spare, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		t.Fatal(err)
	}
	spare = append(spare, 0)

	tests := map[string]string{
		"empty":              "",
		"only a type":        "ssh-ed25519",
		"only a type, space": "ssh-ed25519 ",
		"leading space":      " " + testKey,
		"two spaces":         "ssh-ed25519  " + blob,
		"tab":                "ssh-ed25519\t" + blob,
		"options":            `no-pty ` + testKey,
		"options with space": `command="a b" ` + testKey,
		"two lines":          testKey + "\n" + testKey + "\n",
		"two newlines":       testKey + "\n\n",
		"comment line":       "# " + testKey,
		"other type":         "ssh-rsa " + blob,
		"spare bits":         testKey[:len(testKey)-1] + "c=",
		"spare byte":         "ssh-ed25519 " + base64.StdEncoding.EncodeToString(spare),
		"cut":                testKey[:len(testKey)-4],
		"url alphabet":       strings.ReplaceAll(testKey, "/", "_"),
		"newline in base64":  testKey[:40] + "\n" + testKey[40:],
		"return in base64":   testKey[:40] + "\r" + testKey[40:],
		"certificate":        string(certificate),
		"RSA 2048":           string(weak),
		"RSA spare zeros":    "ssh-rsa " + base64.StdEncoding.EncodeToString(zeros),
		"DSA":                "ssh-dss " + base64.StdEncoding.EncodeToString(dsa),
		"long comment":       testKey + " " + strings.Repeat("a", maxKeyComment+1),
		"control in comment": testKey + " a\x1b[31m",
		"comment not UTF-8":  testKey + " \xff",
		"long line":          testKey + strings.Repeat("A", maxKeyLine),
		"private key":        "-----BEGIN OPENSSH PRIVATE KEY-----",
	}
	for _, point := range append(smallOrder, // also no point, and one that nobody spells so
		"0200000000000000000000000000000000000000000000000000000000000000",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f") {
		tests["point "+point] = keyOf(t, fromHex(t, point)).text
		tests["token "+point] = skText(t, fromHex(t, point))
	}
	for name, line := range tests {
		key, comment, err := ParsePublicKey(line)
		if !errors.Is(err, ErrPublicKey) || !key.IsZero() || comment != "" {
			t.Errorf("%s: %v, %q, %v", name, key, comment, err)
		}
	}
}

func TestPublicKeyJSON(t *testing.T) {
	key, _, err := ParsePublicKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(key)
	if err != nil || string(data) != `"`+testKey+`"` {
		t.Errorf("Marshal = %s, %v", data, err)
	}
	var again PublicKey
	if err := json.Unmarshal(data, &again); err != nil || again != key || !again.Equal(key) {
		t.Errorf("Unmarshal = %s, %v", again, err)
	}
	for _, bad := range []string{`""`, `"` + testKey + ` comment"`, `"` + testKey + `\n"`, `"` + testKey + ` "`} {
		var none PublicKey
		if err := json.Unmarshal([]byte(bad), &none); !errors.Is(err, ErrPublicKey) || !none.IsZero() {
			t.Errorf("Unmarshal(%s) = %s, %v", bad, none, err)
		}
	}
	if data, err := json.Marshal(PublicKey{}); !errors.Is(err, ErrPublicKey) {
		t.Errorf("Marshal of no key = %s, %v", data, err)
	}
	if got := (PublicKey{}).Fingerprint(); got != "SHA256:none" {
		t.Errorf("fingerprint of no key %q", got)
	}
}

func TestAllowedSigner(t *testing.T) {
	key, _, err := ParsePublicKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := AllowedSigner("examiner1", key, NamespaceEvent), `examiner1 namespaces="custody-event" `+testKey; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := AllowedSigner("a@b", key, NamespaceEvent, NamespaceSession), `a@b namespaces="custody-event,custody-session" `+testKey; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(testKey)
	f.Add(testKey + " comment\n")
	f.Add("ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB")
	f.Fuzz(func(t *testing.T, line string) {
		key, comment, err := ParsePublicKey(line)
		if err != nil {
			if !errors.Is(err, ErrPublicKey) || !key.IsZero() {
				t.Fatalf("%v, %v", key, err)
			}
			return
		}
		if !strings.HasPrefix(line, key.String()) {
			t.Fatalf("ParsePublicKey(%q) = %q", line, key)
		}
		if rest := strings.TrimRight(line[len(key.String()):], "\r\n"); rest != "" && rest != " "+comment {
			t.Fatalf("ParsePublicKey(%q) comment %q", line, comment)
		}
		if again, _, err := ParsePublicKey(key.String()); err != nil || again != key {
			t.Fatalf("%q again: %v", key, err)
		}
	})
}
