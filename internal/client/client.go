// Package client is the API of custodyd as Go methods. It judges nothing: what a
// receipt or a digest proves is for its caller to find out.
//
// # Errors
//
// A refusal of the service is an [*api.Problem], which answers errors.Is for its
// [api.Code] and for the sentinel of package evidence it stands for. Beside
// those there are [ErrUnreachable], when no answer came, [ErrDistrusted] and [ErrBusy].
//
// # Retries
//
// What may be sent twice is sent again, a few times and ever later, when no
// answer came or the service was unavailable: everything that only reads,
// recording (a payload's id makes it happen once) and completing an intake.
// Streams are not: who holds the state goes on from where they stand.
//
// # Sessions
//
// When the service no longer knows the session, Config.SignIn is asked for a new
// token, once for each request. A stream towards the service waits for the
// service's word that it is wanted, so it too can be sent with the new token.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/identity"
)

var (
	// ErrUnreachable: no answer came from the service.
	ErrUnreachable = errors.New("server cannot be reached")
	// ErrDistrusted: who answered has no certificate of an authority that is trusted.
	ErrDistrusted = errors.New("its certificate is not trusted")
	// ErrBusy: somebody else is at it; a retry makes sense.
	ErrBusy error = api.CodeBusy
	// ErrServer: the address of the server or the file with its authorities cannot be used.
	ErrServer = errors.New("unusable server address")
)

// Config says which service, and as whom.
type Config struct {
	Server string         // URL, http or https
	CAFile string         // PEM certificates to trust instead of the system's; empty: the system's
	Token  identity.Token // of a session; zero: none yet
	// SignIn gets a new session's token, with Challenge and SignIn of the same
	// client. Nil: nobody can sign, and an ended session is an error.
	SignIn func(context.Context) (identity.Token, error)
	Agent  string // who we are, for the service's log, such as "custody-cli 1.0"
}

// Client talks to one service. Its methods may be called concurrently.
type Client struct {
	base   string // ends with a slash
	agent  string
	http   *http.Client
	signIn func(context.Context) (identity.Token, error)
	pause  func(context.Context, time.Duration) error

	mu    sync.Mutex
	token identity.Token
}

// New gives a client. It does not connect yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.Server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("%w: %q: want https://HOST[:PORT]", ErrServer, cfg.Server)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrServer, err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: no certificate in %s", ErrServer, cfg.CAFile)
		}
	}
	return &Client{
		base: strings.TrimSuffix(base.String(), "/") + "/", agent: cfg.Agent,
		signIn: cfg.SignIn, pause: pause, token: cfg.Token,
		http: &http.Client{Transport: transport(trust), CheckRedirect: refuse},
	}, nil
}

// transport speaks HTTP/1.1, one stream for each connection: there is nothing to
// multiplex, and flow control of its own costs throughput.
func transport(trust *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           wide(dialer),
		TLSClientConfig:       trust,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 10 * time.Second,
		// From the last byte sent to the first one heard: the service may have to
		// bring gigabytes to the medium before it says that they are durable.
		ResponseHeaderTimeout: 15 * time.Minute,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   4,
		DisableCompression:    true, // evidence does not shrink, and digests are of what travels
		WriteBufferSize:       bufferSize,
		ReadBufferSize:        64 << 10,
	}
}

// bufferSize is how much of a stream is written at once, in bytes.
const bufferSize = 256 << 10

// refuse follows no redirect: the service sends none, and a token must not travel.
func refuse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wide dials connections that take a body in large steps: net/http copies it
// through the connection's ReadFrom, and that of TCP in steps of 32 KiB.
func wide(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wideConn{c}, nil
	}
}

type wideConn struct{ net.Conn }

// ReadFrom implements [io.ReaderFrom].
func (c wideConn) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, make([]byte, bufferSize))
}
