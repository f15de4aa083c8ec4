package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/acquire"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

var (
	errDisagree = errors.New("the log states something else than was given")
	errRuns     = errors.New("the log holds several runs")
)

// addLog puts the log into the declaration, and what it states of the run that made
// the files. A log that cannot be read as data is kept all the same.
func addLog(a *app, d *evidence.IntakeDeclared, path string, text []byte) error {
	d.Acquisition.Log = &evidence.LogFile{
		Name: shorten(filepath.Base(path), 255), Size: int64(len(text)), SHA256: digest.SHA256(sha256.Sum256(text)),
	}
	log, err := acquire.Parse(bytes.NewReader(text))
	if errors.Is(err, acquire.ErrUnknownFormat) {
		a.say("the log is of no tool whose logs are understood; it is kept as it is")
		return nil
	}
	if err != nil {
		return err
	}
	stated, run, err := choose(log, d.Declared)
	if err != nil {
		return err
	}
	container := strings.HasPrefix(log.Tool, "ewf")
	switch {
	case run.Bytes >= 0 && run.Bytes != d.Size && !container:
		return fmt.Errorf("%w: it is about %d bytes, the files have %d", errDisagree, run.Bytes, d.Size)
	case container && run.Bytes != d.Size && !stated.IsZero():
		a.say("the hashes in the log are of the medium inside the container, not of the files; they are kept with the log and not declared")
	default:
		for _, alg := range stated.Algorithms() {
			value, _ := stated.Get(alg)
			if d.Declared, err = d.Declared.With(alg, value); err != nil {
				return err
			}
		}
	}
	q := &d.Acquisition
	if q.Tool == "" && log.Version != "" {
		q.Tool = log.Tool + " " + log.Version
	}
	q.Command, q.Source = shorten(run.CommandLine, 4000), shorten(run.Source, 1000)
	q.Started, q.Ended = shorten(run.Started, 100), shorten(run.Finished, 100)
	q.Result, q.BadSectors = string(run.Result), max(run.UnreadSectors, 0)
	if run.Mismatch {
		q.Result += ", the tool says that its output differs from its input"
		a.warn("the log says that the tool's output differs from its input")
	}
	if q.BadSectors > 0 {
		a.warn("the log says that %d sectors could not be read", q.BadSectors)
	}
	if run.Result != acquire.Completed && run.Result != acquire.Unknown {
		a.warn("the log says that the run is %s", run.Result)
	}
	return nil
}

// choose finds the run that the flags are about, and its digests. With several runs
// somebody has to say which one, by a hash.
func choose(log acquire.Log, given digest.Set) (digest.Set, acquire.Run, error) {
	var fits []acquire.Run
	var differs []digest.Algorithm
	for _, run := range log.Runs {
		stated, err := digestsOf(run)
		if err != nil {
			return digest.Set{}, acquire.Run{}, err
		}
		if differ := digest.Differ(stated, given); len(differ) > 0 {
			differs = differ
			continue
		}
		if len(log.Runs) == 1 || shares(stated, given) {
			fits = append(fits, run)
		}
	}
	switch {
	case len(log.Runs) > 1 && given.IsZero():
		return digest.Set{}, acquire.Run{}, fmt.Errorf("%w (%d); say which one by its hash, with --sha256, --md5 or --sha1", errRuns, len(log.Runs))
	case len(fits) == 0 && len(differs) > 0:
		return digest.Set{}, acquire.Run{}, fmt.Errorf("%w: %v", errDisagree, differs)
	case len(fits) == 0:
		return digest.Set{}, acquire.Run{}, fmt.Errorf("%w (%d), none with the given hashes", errRuns, len(log.Runs))
	}
	run := fits[len(fits)-1] // the same result twice: the newest
	stated, err := digestsOf(run)
	return stated, run, err
}

func shares(a, b digest.Set) bool {
	return slices.ContainsFunc(a.Algorithms(), func(alg digest.Algorithm) bool {
		_, ok := b.Get(alg)
		return ok
	})
}

// digestsOf gives a run's digests as a set.
func digestsOf(run acquire.Run) (digest.Set, error) {
	var set digest.Set
	for _, name := range slices.Sorted(maps.Keys(run.Digests)) {
		alg, err := digest.ParseAlgorithm(name)
		if err != nil {
			return digest.Set{}, err
		}
		if set, err = set.With(alg, run.Digests[name]); err != nil {
			return digest.Set{}, err
		}
	}
	return set, nil
}

// shorten cuts text to a number of characters.
func shorten(text string, most int) string {
	runes := []rune(strings.ToValidUTF8(text, "\ufffd"))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}
