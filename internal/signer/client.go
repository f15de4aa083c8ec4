package signer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrGone says that no signer answered for as long as the client has patience.
var ErrGone = errors.New("the signer does not answer")

// errAnswer says that what answered does not speak the protocol.
var errAnswer = errors.New("not the answer of a signer")

// answerTime bounds one attempt, the signer's own writing included.
const answerTime = 3 * requestTime

// pause is how long the client waits before it tries again.
const pause = 100 * time.Millisecond

// Options are how a client behaves.
type Options struct {
	Patience time.Duration // how long a signer that does not answer is tried again
	Logger   *slog.Logger
}

// Client is a signer in another process. It is a custody.CheckpointSigner. Methods may
// be called concurrently.
type Client struct {
	options Options
	http    *http.Client
	key     ledger.VerifierKey

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	signing sync.Mutex
	mu      sync.Mutex
	last    ledger.Checkpoint
}

// Dial asks the signer at a socket for its key and what it signed last, and waits
// for one that is not there yet. Close must be called.
func Dial(ctx context.Context, socket string, options Options) (*Client, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Client{options: options, ctx: own, cancel: cancel}
	c.http = &http.Client{
		Timeout:       answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
			MaxConnsPerHost: 2, IdleConnTimeout: idleTime / 2, MaxResponseHeaderBytes: maxHeaders, DisableCompression: true,
		},
	}
	if err := c.hello(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("signer %s: %w", socket, err), c.Close())
	}
	return c, nil
}

// hello reads what the client has to know.
func (c *Client) hello(ctx context.Context) error {
	status, body, err := c.ask(ctx, http.MethodGet, keyPath, nil)
	if err != nil {
		return err
	}
	key, isLine := strings.CutSuffix(string(body), "\n")
	if status != http.StatusOK || !isLine {
		return fmt.Errorf("%w: %d to %s", errAnswer, status, keyPath)
	}
	if c.key, err = ledger.ParseVerifierKey(key); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	status, body, err = c.ask(ctx, http.MethodGet, lastPath, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%w: %d to %s", errAnswer, status, lastPath)
	}
	c.last, err = c.checkpoint(body)
	return err
}

// checkpoint reads the body of a checkpoint of this ledger.
func (c *Client) checkpoint(body []byte) (ledger.Checkpoint, error) {
	last, err := ledger.ParseCheckpoint(body)
	if err == nil && last.Origin != c.key.Origin() {
		err = ledger.ErrOrigin
	}
	if err != nil {
		return ledger.Checkpoint{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	return last, nil
}

// Key returns the public key that the signer had when it was dialled: nothing that
// another key signs is ever taken.
func (c *Client) Key() ledger.VerifierKey { return c.key }

// Last returns the newest checkpoint that may have been signed, as far as this client
// knows: for the one client of a signer, as ledger.Signer.Last.
func (c *Client) Last() ledger.Checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Sign has the signer sign a checkpoint. The errors are those of ledger.Signer.Sign,
// an ErrGone, or say that something else than the signer answered.
func (c *Client) Sign(next ledger.Checkpoint, proof []ledger.Hash) ([]byte, error) {
	c.signing.Lock()
	defer c.signing.Unlock()
	note, err := c.sign(next, proof)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint %d: %w", next.Size, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = next
	return note, nil
}

func (c *Client) sign(next ledger.Checkpoint, proof []ledger.Hash) ([]byte, error) {
	status, body, err := c.ask(c.ctx, http.MethodPost, signPath, request{proof, next}.marshal())
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
		return body, c.check(body, next)
	case http.StatusConflict, http.StatusUnprocessableEntity:
		last, err := c.checkpoint(body)
		if err != nil {
			return nil, err
		}
		refused := &ledger.RefusalError{Last: last, Next: next, Err: ledger.ErrInconsistent}
		switch {
		case status == http.StatusConflict:
			refused.Err = ledger.ErrRollback
		case last.Size < c.Last().Size:
			refused.Err = fmt.Errorf("%w: the signer has forgotten that it signed %d entries: its state was put back", ledger.ErrInconsistent, c.Last().Size)
		}
		return nil, refused
	case http.StatusNotFound:
		return nil, fmt.Errorf("%w: the signer is of another ledger than %s", ledger.ErrOrigin, next.Origin)
	}
	return nil, fmt.Errorf("%w: %d to %s", errAnswer, status, signPath)
}

// check demands that a note is the checkpoint that was asked for, with the signature
// of the known key and nothing else.
func (c *Client) check(note []byte, next ledger.Checkpoint) error {
	got, err := ledger.OpenCheckpoint(note, c.key)
	if err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	// Body, an empty line, one signature.
	if got != next || bytes.Count(note, []byte{'\n'}) != bytes.Count(next.Body(), []byte{'\n'})+2 {
		return fmt.Errorf("%w: not the checkpoint that was to be signed", errAnswer)
	}
	return nil
}

// ask sends a request until somebody answers it.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(c.options.Patience, pause))
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	for tries := 1; ; tries++ {
		status, answer, err = c.once(ctx, method, path, body)
		if err == nil && status < http.StatusInternalServerError {
			return status, answer, nil
		}
		if err == nil {
			err = fmt.Errorf("it answers %d: %s", status, bytes.TrimSpace(answer))
		}
		if tries == 1 {
			c.options.Logger.Warn("the signer does not answer; it is tried again", "for", c.options.Patience, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, nil, fmt.Errorf("%w: %w; is custodyd signer running, and may this user write to its socket?", ErrGone, err)
		}
	}
}

// once sends a request once.
func (c *Client) once(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, anyHost+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", plain)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, nil, err
	}
	if len(answer) > maxAnswer {
		return 0, nil, fmt.Errorf("%w: it is too long", errAnswer)
	}
	return response.StatusCode, answer, nil
}

// Close ends what waits for the signer. The signer goes on.
func (c *Client) Close() error {
	c.cancel()
	c.http.CloseIdleConnections()
	return nil
}
