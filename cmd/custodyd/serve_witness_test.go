package main

import (
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
)

// How long an export waits is bounded, and not at all is an answer.
func TestExportWait(t *testing.T) {
	for wait, ok := range map[time.Duration]bool{
		0: true, custody.DefaultExportWait: true, custody.MaxExportWait: true, custody.MaxExportWait + 1: false, -time.Second: false,
	} {
		if _, err := (witnessing{exportWait: wait}).endpoints(); (err == nil) != ok {
			t.Errorf("%s: %v", wait, err)
		}
	}
}
