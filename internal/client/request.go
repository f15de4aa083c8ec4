package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/identity"
)

const (
	attempts  = 4                      // of a request that may be sent twice
	firstWait = 200 * time.Millisecond // before the second attempt; doubles
	// answerTimeout is for one JSON request and its answer; a long poll waits 30 s.
	answerTimeout = 90 * time.Second
	maxAnswer     = 256 << 20 // bytes of a JSON answer
	maxProblem    = 1 << 20   // bytes of a problem
)

// answer is what the service said: a success whose body is still to be read.
type answer struct {
	status int
	header http.Header
	length int64 // of the body; -1 if not known
	body   io.ReadCloser
}

// all reads the body and closes it.
func (a *answer) all() ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(a.body, maxAnswer+1))
	if err = errors.Join(err, a.body.Close()); err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxAnswer)
	}
	return body, nil
}

// ask sends a request that is answered soon, again if it may be, and reads the
// whole answer.
func (c *Client) ask(ctx context.Context, req *http.Request) (*answer, []byte, error) {
	wait := firstWait
	for attempt := 1; ; attempt++ {
		got, body, err := c.try(ctx, req)
		retry := errors.Is(err, ErrUnreachable) || errors.Is(err, api.CodeUnavailable)
		if !retry || !repeatable(req) || attempt == attempts {
			return got, body, err
		}
		if c.pause(ctx, wait) != nil {
			return nil, nil, err
		}
		wait *= 2
	}
}

// try is one attempt.
func (c *Client) try(ctx context.Context, req *http.Request) (*answer, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	got, err := c.send(req.Clone(ctx))
	if err != nil {
		return nil, nil, err
	}
	body, err := got.all()
	if err != nil && !errors.Is(err, ErrAnswer) {
		err = unreachable(ctx, req, err)
	}
	return got, body, err
}

// repeatable tells whether a request may be sent twice.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPost:
		return strings.HasSuffix(req.URL.Path, "/v1/entries") || strings.HasSuffix(req.URL.Path, "/complete")
	}
	return false
}

// anonymous tells whether a request is one of those that get a session.
func anonymous(req *http.Request) bool {
	return strings.HasSuffix(req.URL.Path, "/v1/challenges") || strings.HasSuffix(req.URL.Path, "/v1/sessions")
}

// send sends one request with the session's token, and once more with a new one
// if the session has ended and the body can be had again. Answers other than
// 2xx are errors.
func (c *Client) send(req *http.Request) (*answer, error) {
	if anonymous(req) {
		return c.once(req, identity.Token{})
	}
	c.mu.Lock()
	token := c.token
	c.mu.Unlock()
	again := req.Clone(req.Context())
	got, err := c.once(req, token)
	if !errors.Is(err, api.CodeUnauthenticated) || c.signIn == nil {
		return got, err
	}
	if again.GetBody != nil {
		if _, lost := again.GetBody(); lost != nil {
			return nil, err
		}
	}
	if token, err = c.renew(req.Context(), token); err != nil {
		return nil, err
	}
	return c.once(again, token)
}

// renew replaces a token that the service does not know, unless somebody else
// has done so already.
func (c *Client) renew(ctx context.Context, old identity.Token) (identity.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.Reveal() != old.Reveal() {
		return c.token, nil
	}
	token, err := c.signIn(ctx)
	if err != nil {
		return identity.Token{}, fmt.Errorf("sign in: %w", err)
	}
	c.token = token
	return token, nil
}

func (c *Client) once(req *http.Request, token identity.Token) (*answer, error) {
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req.Body = body
	}
	if secret := token.Reveal(); secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	resp, err := c.http.Do(req) //nolint:gosec // G704: the server is whom the user named
	if err != nil {
		return nil, unreachable(req.Context(), req, err)
	}
	if resp.StatusCode/100 == 2 {
		return &answer{resp.StatusCode, resp.Header, resp.ContentLength, resp.Body}, nil
	}
	defer resp.Body.Close()
	return nil, problem(resp)
}

// unreachable says that no answer came, unless the caller gave up waiting or the
// server proved not to be the one that is trusted.
func unreachable(ctx context.Context, req *http.Request, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	if _, distrusted := errors.AsType[*tls.CertificateVerificationError](err); distrusted {
		return fmt.Errorf("connect to %s: %w: %w", req.URL.Host, ErrDistrusted, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// problem reads the answer of a request that was refused. Proxies answer too, and
// a HEAD has no body: then the status must do.
func problem(resp *http.Response) error {
	requestID := resp.Header.Get("X-Request-Id")
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == api.ProblemType {
		var p api.Problem
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&p); err == nil && p.Code != "" {
			return &p
		}
	}
	code := api.CodeInternal
	switch resp.StatusCode {
	case http.StatusBadRequest:
		code = api.CodeMalformed
	case http.StatusUnauthorized:
		code = api.CodeUnauthenticated
	case http.StatusForbidden:
		code = api.CodeForbidden
	case http.StatusNotFound, http.StatusGone:
		code = api.CodeNotFound
	case http.StatusConflict:
		code = api.CodeTransition
	case http.StatusRequestEntityTooLarge:
		code = api.CodeTooLarge
	case http.StatusLocked:
		code = api.CodeBusy
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = api.CodeUnavailable
	}
	return api.NewProblem(code, requestID, "HTTP "+resp.Status)
}

// read sends what a constructor of the generated client gives, and decodes the answer.
func read[T any](ctx context.Context, c *Client) func(*http.Request, error) (T, error) {
	return func(req *http.Request, err error) (T, error) {
		var value, zero T
		body, err := text(ctx, c)(req, err)
		if err != nil {
			return zero, err
		}
		if err := json.Unmarshal(body, &value); err != nil {
			return zero, fmt.Errorf("answer to %s: %w", req.URL.Path, err)
		}
		return value, nil
	}
}

// text is read for an answer that is taken as it is.
func text(ctx context.Context, c *Client) func(*http.Request, error) ([]byte, error) {
	return func(req *http.Request, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		_, body, err := c.ask(ctx, req)
		return body, err
	}
}
