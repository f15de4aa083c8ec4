package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/custodyd/custodyd/internal/ledger"
)

// Log reads a service's ledger as C2SP tlog-tiles, as any monitor may. Nothing of it is
// checked.
type Log struct{ *Client }

// Checkpoint gives the newest checkpoint, a signed note.
func (l Log) Checkpoint(ctx context.Context) ([]byte, error) { return l.get(ctx, "checkpoint") }

// Tile gives the content of a tile or a bundle.
func (l Log) Tile(ctx context.Context, t ledger.Tile) ([]byte, error) {
	content, err := l.get(ctx, t.Path())
	if err == nil && len(content) > ledger.MaxTile {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrAnswer, t.Path(), len(content))
	}
	return content, err
}

func (l Log) get(ctx context.Context, path string) ([]byte, error) {
	return text(ctx, l.Client)(http.NewRequestWithContext(ctx, http.MethodGet, l.base+"v1/log/"+path, nil))
}
