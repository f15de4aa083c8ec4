package peers

import (
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/custodyd/custodyd/internal/ledger"
)

// TestLeafHash holds our leaf hash against another RFC 6962.
func TestLeafHash(t *testing.T) {
	for _, leaf := range []string{"", "{}", "an envelope"} {
		if got, want := ledger.LeafHash([]byte(leaf)), ledger.Hash(rfc6962.DefaultHasher.HashLeaf([]byte(leaf))); got != want {
			t.Errorf("leaf %q: %s, want %s", leaf, got, want)
		}
	}
}
