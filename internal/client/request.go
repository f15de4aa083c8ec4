package client

import (
	"bytes"
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

// Do sends a JSON request for the generated client and reads the whole answer.
// Anything but success is an error.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), attempts*answerTimeout)
	defer cancel()
	wait := firstWait
	for attempt := 1; ; attempt++ {
		resp, err := c.answer(ctx, req)
		retry := errors.Is(err, ErrUnreachable) || errors.Is(err, api.CodeUnavailable)
		if !retry || !repeatable(req) || attempt == attempts {
			return resp, err
		}
		if c.pause(ctx, wait) != nil {
			return nil, err
		}
		wait *= 2
	}
}

// answer is one attempt.
func (c *Client) answer(ctx context.Context, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.send(req.Clone(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, unreachable(ctx, req, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("%s %s: answer of more than %d bytes", req.Method, req.URL.Path, maxAnswer)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
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
func (c *Client) send(req *http.Request) (*http.Response, error) {
	if anonymous(req) {
		return c.once(req, identity.Token{})
	}
	c.mu.Lock()
	token := c.token
	c.mu.Unlock()
	again := req.Clone(req.Context())
	resp, err := c.once(req, token)
	if !errors.Is(err, api.CodeUnauthenticated) || c.signIn == nil {
		return resp, err
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

func (c *Client) once(req *http.Request, token identity.Token) (*http.Response, error) {
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
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(req.Context(), req, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
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
		return fmt.Errorf("connect to %s: %w", req.URL.Host, err)
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

// read decodes an answer; it takes what the generated methods return.
func read[T any](resp *http.Response, err error) (T, error) {
	var value, zero T
	body, err := text(resp, err)
	if err != nil {
		return zero, err
	}
	if err := json.Unmarshal(body, &value); err != nil {
		return zero, fmt.Errorf("answer to %s: %w", resp.Request.URL.Path, err)
	}
	return value, nil
}

// text gives an answer as it is.
func text(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
