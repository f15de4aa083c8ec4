package timestamp_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	ours "github.com/custodyd/custodyd/internal/timestamp"
)

var message = []byte("example.org/custody\n1\nroot\n\n— example.org/custody signature\n")

func trust(a *authoritytest.Authority) ours.Trust {
	return ours.Trust{Roots: []*x509.Certificate{a.Root}}
}

func nonce(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := ours.NewNonce(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestVerify(t *testing.T) {
	a := authoritytest.New(t, "good")
	n := nonce(t)
	before := time.Now().Add(-time.Second)
	s, err := ours.Verify(a.Stamp(t, message, n, authoritytest.Behaviour{}), message, n, trust(a))
	if err != nil {
		t.Fatal(err)
	}
	if s.Time.Before(before) || s.Accuracy != time.Second || s.Policy != "1.3.6.1.4.1.99999.1" || s.Authority != a.Signer.Subject.String() ||
		len(s.Chain) != 3 || len(s.Unknown) != 2 || s.Serial == "" {
		t.Errorf("%+v", s)
	}
	if _, err := ours.Verify(a.Stamp(t, message, n, authoritytest.Behaviour{}), message, nil, trust(a)); err != nil {
		t.Errorf("without its nonce: %v", err)
	}
}

// The two cases in which the library that makes the tests' tokens accepts what must
// not be accepted, and we do not.
func TestRogueAndBackDated(t *testing.T) {
	a, rogue := authoritytest.New(t, "good"), authoritytest.New(t, "rogue")
	old := authoritytest.Behaviour{Now: func() time.Time { return time.Now().AddDate(-2, 0, 0) }}
	for name, row := range map[string][]byte{
		"rogue":                            rogue.Stamp(t, message, nil, authoritytest.Behaviour{}),
		"dated before its own certificate": a.Stamp(t, message, nil, old),
	} {
		if _, err := timestamp.ParseResponse(row); err != nil {
			t.Errorf("%s: digitorus refuses it now: %v", name, err)
		}
		if _, err := ours.Verify(row, message, nil, trust(a)); !errors.Is(err, ours.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	a := authoritytest.New(t, "good")
	n := nonce(t)
	good := a.Stamp(t, message, n, authoritytest.Behaviour{})
	with := func(option authoritytest.Option) ([]byte, ours.Trust) {
		other := authoritytest.New(t, "other", option)
		return other.Stamp(t, message, n, authoritytest.Behaviour{}), trust(other)
	}
	purpose := func(critical bool, of ...asn1.ObjectIdentifier) authoritytest.Option {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{authoritytest.Purpose(critical, of...)}
		}
	}
	stamping, code := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	for name, row := range map[string]struct {
		make    func() ([]byte, ours.Trust)
		wantErr error
	}{
		"bytes behind": {func() ([]byte, ours.Trust) { return append(append([]byte{}, good...), 0), trust(a) }, ours.ErrFormat},
		"cut":          {func() ([]byte, ours.Trust) { return good[:len(good)-1], trust(a) }, ours.ErrFormat},
		"empty":        {func() ([]byte, ours.Trust) { return nil, trust(a) }, ours.ErrFormat},
		"long":         {func() ([]byte, ours.Trust) { return make([]byte, ours.MaxResponse+1), trust(a) }, ours.ErrFormat},
		"not granted": {func() ([]byte, ours.Trust) {
			return a.Stamp(t, message, n, authoritytest.Behaviour{Refuse: true}), trust(a)
		}, ours.ErrRefused},
		"other nonce": {func() ([]byte, ours.Trust) {
			return a.Stamp(t, message, n, authoritytest.Behaviour{Nonce: true}), trust(a)
		}, ours.ErrNonce},
		"no nonce": {func() ([]byte, ours.Trust) { return a.Stamp(t, message, nil, authoritytest.Behaviour{}), trust(a) }, ours.ErrNonce},
		"other imprint": {func() ([]byte, ours.Trust) {
			return a.Stamp(t, message, n, authoritytest.Behaviour{Imprint: true}), trust(a)
		}, ours.ErrImprint},
		"no roots":      {func() ([]byte, ours.Trust) { return good, ours.Trust{} }, ours.ErrUntrusted},
		"no purpose":    {func() ([]byte, ours.Trust) { return with(func(c *x509.Certificate) { c.ExtraExtensions = nil }) }, ours.ErrUntrusted},
		"not critical":  {func() ([]byte, ours.Trust) { return with(purpose(false, stamping)) }, ours.ErrUntrusted},
		"other purpose": {func() ([]byte, ours.Trust) { return with(purpose(true, code)) }, ours.ErrUntrusted},
		"two purposes":  {func() ([]byte, ours.Trust) { return with(purpose(true, stamping, code)) }, ours.ErrUntrusted},
		"an authority": {func() ([]byte, ours.Trust) {
			return with(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
		}, ours.ErrUntrusted},
		"not yet valid": {func() ([]byte, ours.Trust) {
			return with(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
		}, ours.ErrUntrusted},
		"expired": {func() ([]byte, ours.Trust) {
			return with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
		}, ours.ErrUntrusted},
		"after its years": {func() ([]byte, ours.Trust) {
			return a.Stamp(t, message, n, authoritytest.Behaviour{Now: func() time.Time { return time.Now().AddDate(2, 0, 0) }}), trust(a)
		}, ours.ErrUntrusted},
	} {
		der, by := row.make()
		if s, err := ours.Verify(der, message, n, by); !errors.Is(err, row.wantErr) || s.Chain != nil {
			t.Errorf("%s: %v, want %v", name, err, row.wantErr)
		}
	}
	if _, err := ours.Verify(good, append([]byte{'x'}, message...), n, trust(a)); !errors.Is(err, ours.ErrImprint) {
		t.Errorf("another message: %v", err)
	}
}

// Every byte of a response is parsed, signed, or a certificate whose signature is
// checked: no changed one verifies, but for the certificates that nobody needs.
func TestTamper(t *testing.T) {
	a := authoritytest.New(t, "good")
	n := nonce(t)
	good := a.Stamp(t, message, n, authoritytest.Behaviour{})
	by := trust(a)
	first, err := ours.Verify(good, message, n, by)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		changed := append([]byte{}, good...)
		changed[i] ^= 0x20
		if s, err := ours.Verify(changed, message, n, by); err == nil && (!s.Time.Equal(first.Time) || s.Serial != first.Serial || s.Authority != first.Authority) {
			t.Errorf("byte %d changed: %+v", i, s)
		}
	}
}

func TestRevocation(t *testing.T) {
	a := authoritytest.New(t, "good")
	n := nonce(t)
	der := a.Stamp(t, message, n, authoritytest.Behaviour{})
	none, root := a.Revoke(t, a.Intermediate), a.Revoke(t, a.Root)
	entry := func(c *x509.Certificate, after time.Duration, reason int) x509.RevocationListEntry {
		return x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(after), ReasonCode: reason}
	}
	lists := func(l ...*x509.RevocationList) []*x509.RevocationList { return l }
	signer := func(after time.Duration, reason int) []*x509.RevocationList {
		return lists(root, a.Revoke(t, a.Intermediate, entry(a.Signer, after, reason)))
	}
	other := authoritytest.New(t, "good") // the same names, other keys
	for name, row := range map[string]struct {
		lists   []*x509.RevocationList
		wantErr error
		unknown int
		notes   int
	}{
		"no lists":               {nil, nil, 2, 0},
		"one list":               {lists(none), nil, 1, 0},
		"nothing revoked":        {lists(none, root), nil, 0, 0},
		"by somebody else":       {lists(other.Revoke(t, other.Intermediate, entry(a.Signer, -time.Hour, 4)), root), nil, 1, 0},
		"before":                 {signer(-time.Hour, 4), ours.ErrRevoked, 0, 0},
		"before, no reason":      {signer(-time.Hour, 0), ours.ErrRevoked, 0, 0},
		"later, superseded":      {signer(time.Hour, 4), nil, 0, 1},
		"later, ceased":          {signer(time.Hour, 5), nil, 0, 1},
		"later, no reason":       {signer(time.Hour, 0), ours.ErrRevoked, 0, 0},
		"later, key compromised": {signer(time.Hour, 1), ours.ErrRevoked, 0, 0},
		"later, on hold":         {signer(time.Hour, 6), ours.ErrRevoked, 0, 0},
		"the intermediate":       {lists(none, a.Revoke(t, a.Root, entry(a.Intermediate, -time.Hour, 1))), ours.ErrRevoked, 0, 0},
	} {
		by := trust(a)
		by.Lists = row.lists
		s, err := ours.Verify(der, message, n, by)
		if !errors.Is(err, row.wantErr) || len(s.Unknown) != row.unknown || len(s.Notes) != row.notes {
			t.Errorf("%s: %v, want %v; unknown %q, notes %q", name, err, row.wantErr, s.Unknown, s.Notes)
		}
	}
}

func TestPEM(t *testing.T) {
	a := authoritytest.New(t, "good")
	text := ours.MarshalCertificates([]*x509.Certificate{a.Signer, a.Root})
	if list, err := ours.ParseCertificates(text); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	lists := ours.MarshalLists([]*x509.RevocationList{a.Revoke(t, a.Root)})
	if list, err := ours.ParseLists(lists); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
	if list, err := ours.ParseRoots(append([]byte("subject=x\n"), text...)); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	for name, bad := range map[string][]byte{
		"text before": append([]byte("x\n"), text...), "text behind": append(append([]byte{}, text...), 'x'), "lists": lists,
		"cut": text[:len(text)-2], "many": []byte(strings.Repeat(string(text), 11)),
	} {
		if _, err := ours.ParseCertificates(bad); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// openssl runs the real one in a directory.
func openssl(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(tb testing.TB, path string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// What verifies here verifies with openssl, by the commands of the package comment.
func TestByHand(t *testing.T) {
	a := authoritytest.New(t, "good")
	dir := t.TempDir()
	response := a.Stamp(t, message, nonce(t), authoritytest.Behaviour{})
	token, err := ours.ParseResponse(response, message, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "message"), message)
	write(t, filepath.Join(dir, "response.tsr"), response)
	write(t, filepath.Join(dir, "root.pem"), ours.MarshalCertificates([]*x509.Certificate{a.Root}))
	write(t, filepath.Join(dir, "chain.pem"), ours.MarshalCertificates(token.Certificates))
	write(t, filepath.Join(dir, "list.crl.pem"), ours.MarshalLists([]*x509.RevocationList{a.Revoke(t, a.Root)}))
	out := openssl(t, dir, "ts", "-verify", "-in", "response.tsr", "-data", "message", "-CAfile", "root.pem", "-untrusted", "chain.pem",
		"-attime", fmt.Sprint(token.Time().Unix()))
	if !strings.Contains(out, "Verification: OK") {
		t.Error(out)
	}
	if out := openssl(t, dir, "crl", "-in", "list.crl.pem", "-CAfile", "root.pem", "-noout", "-text"); !strings.Contains(out, "verify OK") {
		t.Error(out)
	}
	// Our request is one to openssl too.
	request, err := ours.NewRequest(message, big.NewInt(1<<40))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "request.tsq"), request)
	if out := openssl(t, dir, "ts", "-query", "-in", "request.tsq", "-text"); !strings.Contains(out, "Certificate required: yes") || !strings.Contains(out, "Hash Algorithm: sha256") {
		t.Error(out)
	}
}

// An authority that openssl is: its tokens verify here, with both ways of naming the
// signer's certificate.
func TestOpenSSLAuthority(t *testing.T) {
	for _, ess := range []string{"sha1", "sha256", "sha512"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "serial"), []byte("01\n"))
		write(t, filepath.Join(dir, "tsa.cnf"), []byte(`[req]
distinguished_name=dn
prompt=no
[dn]
CN=openssl signer
[ca]
basicConstraints=critical,CA:true
keyUsage=keyCertSign,cRLSign
[signer]
extendedKeyUsage=critical,timeStamping
keyUsage=digitalSignature
[tsa]
default_tsa=t
[t]
serial=serial
signer_cert=signer.pem
signer_key=signer.key
default_policy=1.2.3.4.1
digests=sha256
signer_digest=sha256
accuracy=secs:1,millisecs:500
ess_cert_id_alg=`+ess+"\n"))
		openssl(t, dir, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=openssl root", "-days", "30", "-config", "tsa.cnf", "-extensions", "ca")
		openssl(t, dir, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "signer.key", "-out", "signer.csr", "-config", "tsa.cnf")
		openssl(t, dir, "x509", "-req", "-in", "signer.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "20", "-extfile", "tsa.cnf", "-extensions", "signer", "-out", "signer.pem")
		n := nonce(t)
		request, err := ours.NewRequest(message, n)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "request.tsq"), request)
		openssl(t, dir, "ts", "-reply", "-config", "tsa.cnf", "-section", "t", "-queryfile", "request.tsq", "-out", "response.tsr")
		response, err := os.ReadFile(filepath.Join(dir, "response.tsr"))
		if err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(filepath.Join(dir, "root.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots, err := ours.ParseRoots(pem)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ours.Verify(response, message, n, ours.Trust{Roots: roots})
		if err != nil || s.Accuracy != 1500*time.Millisecond || s.Policy != "1.2.3.4.1" || s.Serial != "2" {
			t.Errorf("%s: %+v: %v", ess, s, err)
		}
	}
}

// The tests' authority answers over HTTP as it does without.
func TestOverHTTP(t *testing.T) {
	a := authoritytest.New(t, "good")
	request, err := ours.NewRequest(message, big.NewInt(7))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(a.URL, "application/timestamp-query", strings.NewReader(string(request)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	response, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Verify(response, message, big.NewInt(7), trust(a)); err != nil {
		t.Error(err)
	}
}

// FuzzVerify: whatever is sent, the verifier neither fails in another way than it says
// nor believes.
func FuzzVerify(f *testing.F) {
	a := authoritytest.New(f, "good")
	stranger := ours.Trust{Roots: []*x509.Certificate{authoritytest.New(f, "other").Root}}
	f.Add(a.Stamp(f, message, nil, authoritytest.Behaviour{}))
	f.Add(a.Stamp(f, message, nil, authoritytest.Behaviour{Refuse: true}))
	f.Fuzz(func(t *testing.T, der []byte) {
		_, err := ours.Verify(der, message, nil, stranger)
		for _, is := range []error{ours.ErrFormat, ours.ErrRefused, ours.ErrImprint, ours.ErrUntrusted} {
			if errors.Is(err, is) {
				return
			}
		}
		t.Errorf("%v", err)
	})
}

// FuzzCertificates: what parses is written as the same bytes.
func FuzzCertificates(f *testing.F) {
	a := authoritytest.New(f, "good")
	f.Add(ours.MarshalCertificates([]*x509.Certificate{a.Signer, a.Root}))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ours.ParseCertificates(text)
		if err == nil && string(ours.MarshalCertificates(list)) != string(text) {
			t.Errorf("%q", text)
		}
	})
}
