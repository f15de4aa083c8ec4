package server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
)

// TestTiles: a monitor reads all of the log without a session, and nothing beyond it.
func TestTiles(t *testing.T) {
	l := newLab(t)
	l.open()
	about := l.service.About()
	get := func(path string) (reply, []byte) {
		t.Helper()
		r, _ := send(t, http.MethodGet, l.url+"/v1/log/"+path, nil)
		return r, []byte(r.Body)
	}
	resp, note := get("checkpoint")
	checkpoint, err := ledger.OpenCheckpoint(note, about.VerifierKey)
	must(t, err)
	if h := resp.Header; h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("Cache-Control") != "no-cache" {
		t.Errorf("checkpoint: %v", h)
	}
	var tree ledger.Tree
	for width := 1; width <= int(checkpoint.Size); width++ {
		tile, bundle := ledger.Tile{Width: width}, ledger.Tile{Width: width, Entries: true}
		resp, content := get(tile.Path())
		hashes, err := tile.ParseHashes(content)
		must(t, err)
		tree.Append(nil, hashes[width-1])
		if h := resp.Header; h.Get("Content-Type") != "application/octet-stream" || !strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %v", tile.Path(), h)
		}
		resp, content = get(bundle.Path())
		envelopes, err := bundle.ParseBundle(content)
		must(t, err)
		for i, e := range envelopes {
			if ledger.LeafHash(e) != hashes[i] {
				t.Errorf("%s: entry %d is not under its tile", bundle.Path(), i)
			}
		}
		if h := resp.Header; h.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %v", bundle.Path(), h)
		}
		if bytes.Contains(content, []byte("Secret title")) || bytes.Contains(content, []byte("examiner1")) {
			t.Errorf("%s tells more than envelopes do", bundle.Path())
		}
	}
	if tree.Root() != checkpoint.Root {
		t.Errorf("the tiles lead to %s, the checkpoint says %s", tree.Root(), checkpoint.Root)
	}
	wider := ledger.Tile{Width: int(checkpoint.Size) + 1}
	for _, path := range []string{
		wider.Path(), "tile/0/000", "tile/entries/000", "tile/entries/001.p/1", "tile/1/000.p/1", "tile/63/000.p/1",
		"tile/0/0", "tile/", "tile/0/000.p/01", "tile/data/000", "tile/0/../../server", "tile/0/%30%30%30.p/1/", "other", "",
	} {
		resp, body := get(path)
		if resp.StatusCode != http.StatusNotFound || resp.Header.Get("Cache-Control") != "no-store" || len(body) > 1000 {
			t.Errorf("%s: %s, %v", path, resp.Status, resp.Header)
		}
	}
	if !strings.Contains(l.log.String(), "route=/v1/log/tile/*") {
		t.Error("the log names paths, not the route")
	}
}
