package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/custodyd/custodyd/internal/ledger"
)

var (
	// ErrEndpoint says that a text is not a witness's key and address.
	ErrEndpoint = errors.New("not a witness's verifier key, a space and its http or https address")
	// ErrUnreachable says that a witness gives no answer that means anything.
	ErrUnreachable = errors.New("the witness cannot be reached, or gives no answer of a witness")
	// ErrForgotten says that a witness knows less than it has cosigned: its state was lost
	// or rolled back, and what it says is worth that much less.
	ErrForgotten = errors.New("the witness has forgotten what it cosigned")
	// ErrAhead says that a witness has cosigned a larger checkpoint.
	ErrAhead = errors.New("the witness has cosigned a larger checkpoint")
)

// ConflictError says that a witness does not take a checkpoint for what it has cosigned
// before. It is an ErrAhead or an ErrInconsistent.
//
// With Theirs it is proven: the ledger's own key signed what contradicts the checkpoint.
// Without, it is what an answer says that nobody signed, and that anybody on the way could
// have given: ask again before you believe it.
type ConflictError struct {
	Witness string
	Offered ledger.Checkpoint
	Held    int64  // the size of what the witness holds, as far as it says
	Theirs  []byte // what it holds, signed by the ledger; nil where it shows nothing that contradicts
	Err     error
}

func (e *ConflictError) Error() string {
	holds := "says, and does not show, that it holds one"
	if e.Theirs != nil {
		holds = "shows one, signed by this ledger's key,"
	}
	return fmt.Sprintf("the witness %s refuses the checkpoint of size %d: %v; it %s of size %d", e.Witness, e.Offered.Size, e.Err, holds, e.Held)
}

// Unwrap returns Err.
func (e *ConflictError) Unwrap() error { return e.Err }

// Endpoint is a witness and where it is asked.
type Endpoint struct {
	Key ledger.WitnessKey
	URL string // submission prefix, without a slash at its end
}

// ParseEndpoint reads "VKEY URL".
func ParseEndpoint(s string) (Endpoint, error) {
	vkey, prefix, _ := strings.Cut(s, " ")
	key, err := ledger.ParseWitnessKey(vkey)
	if err != nil {
		return Endpoint{}, fmt.Errorf("%w: %w", ErrEndpoint, err)
	}
	u, err := url.Parse(prefix)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Endpoint{}, fmt.Errorf("%w: the address %.200q", ErrEndpoint, prefix)
	}
	return Endpoint{Key: key, URL: strings.TrimSuffix(u.String(), "/")}, nil
}

// String writes what ParseEndpoint reads.
func (e Endpoint) String() string { return e.Key.String() + " " + e.URL }

// Prove proves that the ledger continues the tree that it was at an old size.
type Prove func(ctx context.Context, old int64) ([]ledger.Hash, error)

// Client offers one ledger's checkpoints to one witness. It is not for concurrent use.
type Client struct {
	Endpoint
	ledger ledger.VerifierKey
	http   *http.Client
	held   int64 // what the witness is believed to hold
	most   int64 // the largest that it is known to have cosigned
}

// NewClient makes a client that knows nothing yet of what the witness holds. Each
// request ends after timeout.
func NewClient(e Endpoint, key ledger.VerifierKey, timeout time.Duration) *Client {
	return &Client{Endpoint: e, ledger: key, http: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Cosigned gives the largest size that the witness is known to have cosigned; 0 if none.
func (c *Client) Cosigned() int64 { return c.most }

// Recall tells the client of a checkpoint that the witness cosigned before.
func (c *Client) Recall(size int64) {
	c.most = max(c.most, size)
	c.held = c.most
}

// Offer asks the witness to cosign a signed checkpoint and gives it with the ledger's line
// and the witness's. When the witness holds a smaller one than was thought it is asked
// once more, with proof from there. When it refuses, it is asked what it holds. The error
// is a *ConflictError, ErrUnknownLog where the witness was not told of the ledger,
// ErrForgotten where it knows less than it has cosigned, or ErrUnreachable. After an
// ErrForgotten it may be asked again.
func (c *Client) Offer(ctx context.Context, note []byte, prove Prove) ([]byte, error) {
	next, err := ledger.OpenCheckpoint(note, c.ledger)
	if err != nil {
		return nil, err
	}
	if c.held > next.Size {
		c.held = 0 // it says itself what it holds
	}
	for range 2 {
		proof, err := prove(ctx, c.held)
		if err != nil {
			return nil, err
		}
		status, mediaType, body, err := c.send(ctx, http.MethodPost, "/add-checkpoint",
			Request{Old: c.held, Proof: proof, Note: note}.Marshal())
		switch {
		case err != nil:
			return nil, err
		case status == http.StatusOK:
			return c.cosigned(next, note, body)
		case status == http.StatusConflict && mediaType == sizeType:
			held, err := parseSize(strings.TrimSuffix(string(body), "\n"))
			if err != nil || held == c.held {
				return nil, c.refused(ctx, next, prove, fmt.Errorf("%w: it answers 409 with %.40q", ErrUnreachable, body))
			}
			c.held = held
			if held > next.Size {
				return nil, c.refused(ctx, next, prove, c.conflict(next, held, nil, ErrAhead))
			}
			if held < c.most {
				was := c.most
				c.most = held // told once
				return nil, fmt.Errorf("%w: it holds size %d and has cosigned %d", ErrForgotten, held, was)
			}
		case status == http.StatusConflict: // of a witness to another root; or of anything on the way to it
			return nil, c.refused(ctx, next, prove, fmt.Errorf("%w: it answers 409 without the size that it holds", ErrUnreachable))
		case status == http.StatusUnprocessableEntity:
			return nil, c.refused(ctx, next, prove, c.conflict(next, c.held, nil, ErrInconsistent))
		case status == http.StatusNotFound:
			return nil, fmt.Errorf("%w: its operator has to be told of the key %s", ErrUnknownLog, c.ledger)
		default:
			return nil, fmt.Errorf("%w: it answers %d: %.200q", ErrUnreachable, status, body)
		}
	}
	return nil, fmt.Errorf("%w: it names another size each time", ErrUnreachable)
}

// cosigned takes over the line of a 200.
func (c *Client) cosigned(next ledger.Checkpoint, note, lines []byte) ([]byte, error) {
	answered := append(bytes.Clone(note), lines...)
	if _, err := c.Key.Cosignature(answered); err != nil {
		return nil, fmt.Errorf("%w: its answer: %w", ErrUnreachable, err)
	}
	c.held, c.most = next.Size, max(c.most, next.Size)
	return ledger.Cosigned(c.ledger, []ledger.WitnessKey{c.Key}, answered)
}

// refused is what a refusal comes to. What the witness shows decides, for the ledger has
// signed that; where it shows nothing that contradicts the checkpoint, the error is what
// the answer says that nobody signed.
func (c *Client) refused(ctx context.Context, next ledger.Checkpoint, prove Prove, unsigned error) error {
	note, err := c.Shown(ctx) // not every witness shows it, and not all under this address
	if err != nil {
		return unsigned
	}
	theirs, err := ledger.OpenCheckpoint(note, c.ledger)
	if err != nil {
		return unsigned
	}
	if theirs.Size > next.Size {
		return c.conflict(next, theirs.Size, note, ErrAhead)
	}
	proof, err := prove(ctx, theirs.Size)
	if err != nil {
		return err
	}
	if ledger.CheckConsistency(proof, next.Size, next.Root, theirs.Size, theirs.Root) != nil {
		return c.conflict(next, theirs.Size, note, ErrInconsistent)
	}
	if errors.Is(unsigned, ErrInconsistent) && theirs.Size == c.held {
		return fmt.Errorf("%w: it refuses a proof that holds against what it shows", ErrUnreachable)
	}
	return unsigned
}

func (c *Client) conflict(next ledger.Checkpoint, held int64, theirs []byte, cause error) *ConflictError {
	return &ConflictError{Witness: c.Key.Name(), Offered: next, Held: held, Theirs: theirs, Err: cause}
}

// Shown asks for the checkpoint that the witness holds; it is signed by the ledger.
func (c *Client) Shown(ctx context.Context) ([]byte, error) {
	status, _, note, err := c.send(ctx, http.MethodGet, "/"+OriginHash(c.ledger.Origin())+"/checkpoint", nil)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%w: it answers %d", ErrUnreachable, status)
	}
	if _, err := ledger.OpenCheckpoint(note, c.ledger); err != nil {
		return nil, err
	}
	return note, nil
}

func (c *Client) send(ctx context.Context, method, path string, body []byte) (status int, mediaType string, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(answer) > maxBody {
		err = errors.New("it is too large")
	}
	if err != nil {
		return 0, "", nil, fmt.Errorf("%w: its answer: %w", ErrUnreachable, err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer, nil
}
