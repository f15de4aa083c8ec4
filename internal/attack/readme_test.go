package attack

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the threat table into README.md")

const (
	readme  = "../../README.md"
	heading = "| who has | and | is caught by | and not by |\n|---|---|---|---|\n"
)

// TestReadme holds the threat table of README.md against the attacks.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(readme)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), heading)
	if !ok {
		t.Fatal("README.md has no threat table")
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	var rows strings.Builder
	for _, r := range table {
		not := r.not
		if not == "" {
			not = "-"
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", r.attacker, r.does, r.caught, not)
	}
	want := before + heading + rows.String() + "\n" + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the threat table of README.md is not that of the attacks: go test -run Readme ./internal/attack -update")
	}
	must(t, os.WriteFile(readme, []byte(want), 0o644))
}
