// Package authoritytest is a time-stamping authority for tests and the bench: a real one behind a
// real HTTP server, with a root, an intermediate and revocation lists, that can be told
// to misbehave in every way that its users must survive.
package authoritytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/digitorus/timestamp"
)

// TB is what an authority needs of a testing.TB; a program brings its own.
type TB interface {
	Helper()
	Fatal(args ...any) // does not return
	Cleanup(func())
	TempDir() string
}

// Behaviour is what an authority does. The zero value is a good one.
type Behaviour struct {
	Down     bool             // hangs up
	Status   int              // of HTTP, instead of an answer
	Garbage  bool             // answers what is no DER
	Redirect string           // sends elsewhere
	Large    bool             // answers without end
	Refuse   bool             // answers that it does not grant
	Nonce    bool             // answers another nonce
	Imprint  bool             // stamps something else
	Now      func() time.Time // its clock
	Lists    int              // HTTP status instead of revocation lists
	Wait     <-chan struct{}  // answers when it is closed
}

// Authority is a time-stamping authority.
type Authority struct {
	URL          string // of the service
	Root         *x509.Certificate
	Intermediate *x509.Certificate
	Signer       *x509.Certificate
	RootFile     string // PEM

	mu      sync.Mutex
	does    Behaviour
	asked   int
	revoked map[string]*x509.RevocationList

	keys   map[*x509.Certificate]*ecdsa.PrivateKey
	server *httptest.Server
}

// Option changes the certificate of the authority's signer before it is made.
type Option func(*x509.Certificate)

// New starts an authority whose certificates are valid for a year before and after now.
func New(tb TB, name string, options ...Option) *Authority {
	tb.Helper()
	a := &Authority{keys: map[*x509.Certificate]*ecdsa.PrivateKey{}, revoked: map[string]*x509.RevocationList{}}
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	tb.Cleanup(a.server.Close)
	a.URL = a.server.URL + "/tsa"
	a.Root = a.issue(tb, name+" root", nil, func(c *x509.Certificate) { ca(c) })
	a.Intermediate = a.issue(tb, name+" intermediate", a.Root, func(c *x509.Certificate) {
		ca(c)
		c.CRLDistributionPoints = []string{a.server.URL + "/root.crl"}
	})
	a.Signer = a.issue(tb, name+" signer", a.Intermediate, func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{a.server.URL + "/intermediate.crl"}
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtraExtensions = []pkix.Extension{Purpose(true, timeStamping)}
		for _, option := range options {
			option(c)
		}
	})
	a.Revoke(tb, a.Root)
	a.Revoke(tb, a.Intermediate)
	a.RootFile = filepath.Join(tb.TempDir(), name+".pem")
	if err := os.WriteFile(a.RootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Root.Raw}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return a
}

var timeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

// Purpose makes an extended key usage.
func Purpose(critical bool, of ...asn1.ObjectIdentifier) pkix.Extension {
	value, err := asn1.Marshal(of)
	if err != nil {
		panic(err) // of our own constants
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: value}
}

func ca(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
}

func (a *Authority) issue(tb TB, name string, by *x509.Certificate, shape func(*x509.Certificate)) *x509.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"tests"}},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	shape(template)
	parent, signer := by, a.keys[by]
	if by == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	a.keys[c] = key
	return c
}

// Revoke publishes the list of one of the authority's issuers with these entries.
func (a *Authority) Revoke(tb TB, by *x509.Certificate, entries ...x509.RevocationListEntry) *x509.RevocationList {
	tb.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().AddDate(0, 1, 0),
		RevokedCertificateEntries: entries,
	}, by, a.keys[by])
	if err != nil {
		tb.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		tb.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	path := "/root.crl"
	if by == a.Intermediate {
		path = "/intermediate.crl"
	}
	a.revoked[path] = l
	return l
}

// KeyOf is the key of the root, the intermediate or the signer.
func (a *Authority) KeyOf(c *x509.Certificate) *ecdsa.PrivateKey { return a.keys[c] }

// Behave has the authority do that from now on.
func (a *Authority) Behave(b Behaviour) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.does = b
}

// Asked is how many time stamps were asked for.
func (a *Authority) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *Authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	does, list := a.does, a.revoked[r.URL.Path]
	if r.URL.Path == "/tsa" {
		a.asked++
	}
	a.mu.Unlock()
	if does.Down {
		panic(http.ErrAbortHandler)
	}
	if list != nil {
		if does.Lists != 0 {
			w.WriteHeader(does.Lists)
			return
		}
		_, _ = w.Write(list.Raw)
		return
	}
	query, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if does.Wait != nil {
		select {
		case <-does.Wait:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	switch {
	case does.Status != 0:
		w.WriteHeader(does.Status)
		return
	case does.Redirect != "":
		http.Redirect(w, r, does.Redirect, http.StatusTemporaryRedirect)
		return
	case does.Garbage:
		_, _ = io.WriteString(w, "<html>sign in to the guest network</html>")
		return
	case does.Large:
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
		return
	}
	answer, err := a.Answer(query, does)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer)
}

// Answer answers a request.
func (a *Authority) Answer(query []byte, does Behaviour) ([]byte, error) {
	if does.Refuse {
		return timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.TimeNotAvailable)
	}
	q, err := timestamp.ParseRequest(query)
	if err != nil {
		return nil, err
	}
	now := time.Now
	if does.Now != nil {
		now = does.Now
	}
	hash := bytes.Clone(q.HashedMessage)
	if does.Imprint {
		hash[0] ^= 1
	}
	nonce := q.Nonce
	if does.Nonce {
		nonce = new(big.Int).Add(nonce, big.NewInt(1))
	}
	stamp := &timestamp.Timestamp{
		HashAlgorithm: q.HashAlgorithm, HashedMessage: hash, Time: now().UTC().Truncate(time.Second), Nonce: nonce,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Accuracy: time.Second, AddTSACertificate: true,
		Certificates: []*x509.Certificate{a.Intermediate},
	}
	return stamp.CreateResponseWithOpts(a.Signer, a.keys[a.Signer], q.HashAlgorithm)
}

// Stamp makes a response over a message without HTTP.
func (a *Authority) Stamp(tb TB, message []byte, nonce *big.Int, does Behaviour) []byte {
	tb.Helper()
	query, err := timestamp.CreateRequest(bytes.NewReader(message), &timestamp.RequestOptions{Nonce: nonce, Certificates: true})
	if err != nil {
		tb.Fatal(err)
	}
	answer, err := a.Answer(query, does)
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}
