package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/witness"
)

// witnessing is which witnesses are asked, and how often.
type witnessing struct {
	texts      []string
	every      time.Duration
	exportWait time.Duration
}

// witnessFlags are those of commands that ask the ledger's witnesses.
func (s *settings) witnessFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.witnesses.texts, "witness", nil,
		"verifier key and address of an outside witness, 'VKEY URL'; may be given several times")
}

// witnessEveryFlags are those of the command that goes on asking.
func (s *settings) witnessEveryFlags(f *pflag.FlagSet) {
	s.witnessFlags(f)
	f.DurationVar(&s.witnesses.every, "witness-every", custody.DefaultWitnessEvery, "how often witnesses are asked at most, while there are new entries")
	f.DurationVar(&s.witnesses.exportWait, "export-wait", custody.DefaultExportWait, "how long an export waits for witnesses and time stamps, 10m at most; 0: it does not wait")
}

// endpoints reads the witnesses. No two are one key or have one name.
func (w witnessing) endpoints() ([]witness.Endpoint, error) {
	var list []witness.Endpoint
	for _, text := range w.texts {
		e, err := witness.ParseEndpoint(text)
		if err != nil {
			return nil, fmt.Errorf("--witness: %w; custodyd witness prints the key", err)
		}
		for _, other := range list {
			if other.Key.SameKey(e.Key) || other.Key.Name() == e.Key.Name() {
				return nil, fmt.Errorf("--witness: %s is there twice", e.Key.Name())
			}
		}
		list = append(list, e)
	}
	if w.every < time.Second && w.every != 0 { // zero: a command without the flag
		return nil, fmt.Errorf("--witness-every %s: want 1s at least, such as 10s", w.every)
	}
	if w.exportWait < 0 || w.exportWait > custody.MaxExportWait {
		return nil, fmt.Errorf("--export-wait %s: want 0 to %s, such as 5s", w.exportWait, custody.MaxExportWait)
	}
	return list, nil
}
