package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestQuote: a shell reads back the words that were written for it.
func TestQuote(t *testing.T) {
	words := []string{"disk.dd", "a b", "it's", "$(rm x)", "`x`", "*", "\\", "", "a\nb", "é", "~", "-n", "!", "#", "a;b"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\0' "+quote(words)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); strings.Join(got, "|") != strings.Join(words, "|") {
		t.Errorf("%q, want %q", got, words)
	}
	if got := quote([]string{"/x/disk.001", "a b"}); got != "/x/disk.001 'a b'" {
		t.Errorf("%s", got)
	}
}
