package server

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

const (
	// tilesAtOnce is how many tiles are made at the same time, tileWait how long a
	// request waits for its turn. Nobody signs in for them, so they leave most of the
	// database's readers to those who do.
	tilesAtOnce = 4
	tileWait    = 10 * time.Second
)

// logCheckpoint serves the newest checkpoint to monitors.
//
// SPEC: "This endpoint is mutable, so its headers SHOULD prevent caching beyond a few
// seconds." (C2SP tlog-tiles)
func (s *Server) logCheckpoint(c echo.Context) error {
	note, err := s.custody.LogCheckpoint(c.Request().Context())
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", note)
}

// logTile serves tiles and bundles. What is not the path of one is not found.
//
// SPEC: "This endpoint is immutable, so its caching headers SHOULD be long-lived."
// (C2SP tlog-tiles)
func (s *Server) logTile() echo.HandlerFunc {
	turns := make(chan struct{}, tilesAtOnce)
	return func(c echo.Context) error {
		tile, err := ledger.ParseTile("tile/" + c.Param("*"))
		if err != nil {
			return fmt.Errorf("%w: %w", evidence.ErrNotFound, err)
		}
		ctx := c.Request().Context()
		timer := time.NewTimer(tileWait)
		defer timer.Stop()
		select {
		case turns <- struct{}{}:
		case <-timer.C:
			return fmt.Errorf("%w: too many ask for tiles", custody.ErrUnavailable)
		case <-ctx.Done():
			return ctx.Err()
		}
		content, err := func() ([]byte, error) {
			defer func() { <-turns }() // also when it panics
			return s.custody.Tile(ctx, tile)
		}()
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		return c.Blob(http.StatusOK, "application/octet-stream", content)
	}
}
