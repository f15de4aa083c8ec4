// Package authority asks RFC 3161 time-stamping authorities over HTTP. It judges what
// they answer by package timestamp and the roots that were pinned for each, and keeps
// nothing: an answer that does not verify is an error, never an [Answer].
//
// # Protocol
//
// SPEC: "Content-Type: application/timestamp-query << the ASN.1 DER-encoded Time-Stamp
// Request message >>" (RFC 3161, section 3.4), by POST. The answer is bounded in size and
// time. Redirects are not followed. HTTP without TLS will do: the pinned roots decide, and
// a checkpoint is no secret.
//
// Once a token holds, the revocation lists are fetched that the certificates of its chain
// name in their distribution points, for http URLs alone, as they are meant to be fetched
// (RFC 5280, section 4.2.1.13), ten at most, of at most 1 MiB each. One that cannot be had
// is told in [Answer.Missing]: it is no reason to throw the token away.
//
// What comes back is kept for as long as the ledger, in the database, the store and in
// every bundle, once for each time stamp. So it has at most [MaxKept] bytes of lists: one
// that goes beyond is held against the chain at once, and what remains of it is its
// address, size and SHA-256 in [Answer.Missing].
//
// # Addresses
//
// An address has no credentials, query or fragment: an authority that wants to know its
// customers is not supported, unless by where they come from or by the path. Of an address
// scheme and host alone are ever shown.
//
// # Clock
//
// A token is dated while it was asked for, by the caller's clock, within the accuracy that
// it states and timestamp.Tolerance. Otherwise one of the two clocks is wrong, and the
// token would contradict the ledger for ever.
package authority

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// Questions a caller may ask of an error, beside those of package timestamp.
var (
	// ErrUnreachable: nobody answers, or says that it cannot now; a retry makes sense.
	ErrUnreachable = errors.New("the authority cannot be reached")
	// ErrStatus: somebody answers, and it is not what an authority would.
	ErrStatus = errors.New("the answer is not an authority's")
	// ErrClock: the time stamp is not of now, by the caller's clock.
	ErrClock = errors.New("the authority's clock and the service's disagree")
)

const (
	patience     = 30 * time.Second // for one request
	listPatience = 10 * time.Second // for one revocation list
	maxList      = 1 << 20          // bytes of a revocation list
	maxLists     = 10
	maxURL       = 1000
)

// MaxKept is how many bytes of revocation lists are kept with one time stamp.
const MaxKept = 256 << 10

// Authority is one that can be asked. Its methods may be called concurrently.
type Authority struct {
	name  string
	url   *url.URL
	roots []*x509.Certificate
	now   func() time.Time
	http  *http.Client
}

// New gives an authority by the name that it has in the ledger, with the roots that its
// tokens must lead to.
func New(name, at string, roots []*x509.Certificate, now func() time.Time) (*Authority, error) {
	if err := evidence.CheckAuthority(name); err != nil {
		return nil, err
	}
	// Who has put a secret there has it in no error message either.
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(at) > maxURL ||
		u.User != nil || strings.ContainsAny(at, "?#") {
		return nil, fmt.Errorf("authority %s: want its address as http[s]://HOST[:PORT][/PATH], without credentials, query and fragment", name)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("authority %s: has no pinned root: nothing it says could be believed", name)
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Authority{name: name, url: u, roots: roots, now: now, http: &http.Client{CheckRedirect: refuse, Timeout: patience, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConns: 2, IdleConnTimeout: patience, TLSHandshakeTimeout: listPatience, ResponseHeaderTimeout: patience,
	}}}, nil
}

// Name is what the ledger calls the authority.
func (a *Authority) Name() string { return a.name }

// Host is where it is asked, without the path, which may be known to its customers alone.
func (a *Authority) Host() string { return a.url.Scheme + "://" + a.url.Host }

// Close gives back the connections that are idle.
func (a *Authority) Close() { a.http.CloseIdleConnections() }

// Answer is a time stamp that verifies, with all that is needed to verify it again.
type Answer struct {
	Response []byte // TimeStampResp in DER, as it came
	Stamp    timestamp.Stamp
	Lists    []*x509.RevocationList // of the chain's issuers, of MaxKept bytes at most
	Missing  []string               // revocation lists that are not among them, and why
}

// Ask has a message stamped now.
func (a *Authority) Ask(ctx context.Context, message []byte, random io.Reader) (Answer, error) {
	answer, err := a.ask(ctx, message, random)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", a.name, err)
	}
	return answer, nil
}

func (a *Authority) ask(ctx context.Context, message []byte, random io.Reader) (Answer, error) {
	nonce, err := timestamp.NewNonce(random)
	if err != nil {
		return Answer{}, err
	}
	request, err := timestamp.NewRequest(message, nonce)
	if err != nil {
		return Answer{}, err
	}
	before := a.now()
	response, err := a.post(ctx, request)
	if err != nil {
		return Answer{}, err
	}
	after := a.now()
	trust := timestamp.Trust{Roots: a.roots}
	stamp, err := timestamp.Verify(response, message, nonce, trust)
	if err != nil {
		return Answer{}, err
	}
	if slack := timestamp.Tolerance + stamp.Accuracy; stamp.Time.Before(before.Add(-slack)) || stamp.Time.After(after.Add(slack)) {
		return Answer{}, fmt.Errorf("%w: %s and %s: set the clock that is wrong", ErrClock,
			stamp.Time.UTC().Format(time.RFC3339), after.UTC().Format(time.RFC3339))
	}
	answer := Answer{Response: response}
	trust.Lists, answer.Lists, answer.Missing = a.lists(ctx, stamp.Chain)
	answer.Stamp, err = timestamp.Verify(response, message, nonce, trust)
	return answer, err
}

func (a *Authority) post(ctx context.Context, request []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url.String(), bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	r.Header.Set("Accept", "application/timestamp-reply")
	return a.read(r, timestamp.MaxResponse)
}

// read gives the body of an answer with the status 200.
func (a *Authority) read(r *http.Request, most int64) (body []byte, err error) {
	answer, err := a.http.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = answer.Body.Close() }() // only read from
	switch {
	case answer.StatusCode >= http.StatusInternalServerError, answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusRequestTimeout:
		return nil, fmt.Errorf("%w: it answers with the status %d", ErrUnreachable, answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d", ErrStatus, answer.StatusCode)
	}
	body, err = io.ReadAll(io.LimitReader(answer.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	case int64(len(body)) > most:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrStatus, most)
	}
	return body, nil
}

// lists fetches the revocation lists that a chain names, and tells which of them are to
// be kept.
func (a *Authority) lists(ctx context.Context, chain []*x509.Certificate) (all, kept []*x509.RevocationList, missing []string) {
	asked := map[string]bool{}
	more := map[string]bool{}
	room := MaxKept
	for i, c := range chain[:len(chain)-1] {
		for _, at := range c.CRLDistributionPoints {
			if asked[at] {
				continue
			}
			if len(asked) == maxLists {
				more[at] = true
				continue
			}
			asked[at] = true
			l, err := a.list(ctx, at, chain[i+1])
			if err == nil {
				all = append(all, l)
				if len(l.Raw) > room {
					err = fmt.Errorf("was held against the chain, and is not kept: of %d bytes, with the SHA-256 %x, and %d bytes are kept of all", len(l.Raw), sha256.Sum256(l.Raw), MaxKept)
				}
			}
			if err != nil {
				missing = append(missing, fmt.Sprintf("%.300q: %v", at, err))
				continue
			}
			room -= len(l.Raw)
			kept = append(kept, l)
		}
	}
	if len(more) > 0 {
		missing = append(missing, fmt.Sprintf("%d more are named and were not asked for: at most %d are", len(more), maxLists))
	}
	return all, kept, missing
}

func (a *Authority) list(ctx context.Context, at string, issuer *x509.Certificate) (*x509.RevocationList, error) {
	if u, err := url.Parse(at); err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("is not fetched: no http URL")
	}
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	der, err := a.read(r, maxList)
	if err != nil {
		return nil, err
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("is not a revocation list: %w", err)
	}
	return l, l.CheckSignatureFrom(issuer)
}

// Unmet reports whether an error says that there was no answer, so that nothing is known
// against the authority.
func Unmet(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Distrusted reports whether an error says that an answer must not be believed: asking
// again would not help.
func Distrusted(err error) bool {
	for _, is := range []error{timestamp.ErrUntrusted, timestamp.ErrRevoked, timestamp.ErrImprint, timestamp.ErrNonce} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
