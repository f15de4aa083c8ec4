package bundle_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
)

// otherwise are the zips of which verify.py, the second verifier, says something else than
// the container deserves, and why.
var otherwise = func() map[string]string {
	m := map[string]string{}
	for why, names := range map[string][]string{
		"it reads a zip by its directory: not what lies between the members, or stands there again": {
			"hidden member", "hidden in a file", "hidden directory", "hidden behind", "local method", "local CRC", "local packed",
			"local size", "later CRC", "later packed", "later size", "descriptor CRC", "descriptor size",
		},
		"it does not read what names a member, or its size, once more for other programs": {
			"other name", "local other name", "listed other", "two large sizes",
		},
		"it judges more than the container: this was not sealed": {"blank image", "repetitive log"},
	} {
		for _, name := range names {
			m[name] = why
		}
	}
	return m
}()

// agrees demands that verify.py verifies a zip if its container is in order, and no other.
func agrees(t *testing.T, packed []byte, whole bundletest.Bag, name string, inOrder bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "case.zip")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSuffix(string(whole[bundle.KeyFile]), "\n")
	out, err := exec.CommandContext(t.Context(), "python3", "-I", "verify.py", path, key).Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	verified := strings.HasSuffix("\n"+string(out), "\nverified\n")
	if !verified && !strings.HasSuffix(string(out), "\nfailed\n") || verified != (err == nil) {
		t.Fatalf("verify.py ends with %v and says\n%s", err, out)
	}
	why, listed := otherwise[name]
	if verified != (inOrder != listed) {
		t.Errorf("verify.py says (%s)\n%s", why, out)
	}
}
