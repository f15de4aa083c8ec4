// Package acquire reads the logs that imaging tools write, as hostile data. It
// tells what a log states, in one form for all tools, and judges nothing: a log
// is a claim of whoever ran the tool, and whether it fits a copy is the
// caller's question.
//
// # Formats
//
//	tool                          files                                  recognised by the first line with text
//	dc3dd                         log=, hlog=, mlog=                     dc3dd VERSION started at …
//	dcfldd                        hashlog= in the default format         0 - N: DIGEST, or Total (ALGORITHM): DIGEST
//	ewfacquire, ewfacquirestream  -l, or standard output                 MD5 hash calculated over data: …, or the tool's name and version
//	hashdeep                      standard output                        %%%% HASHDEEP-1.0
//	ddrescue                      mapfile                                # Mapfile. Created by GNU ddrescue version …
//
// A log may hold several runs, one after the other (hashdeep: one per file).
//
// # Strictness
//
// The tools write names into their logs as they got them, line breaks and all:
// dc3dd its command line, ewfacquirestream the description of the case, hashdeep
// and ddrescue their arguments. A name can so pretend to be a result. Against
// that a log must have the order the tool writes, and state each thing once per
// run; a log that does not is ErrMalformed as a whole. A log forged with care
// still reads as what it says.
//
// What is not stated is -1, "" or absent, never guessed. Two cases of it: a
// dcfldd hash log looks the same after an interrupt, so its result is unknown;
// ewfacquire does not say how much of the medium it was told to read unless it
// lists its parameters.
//
// Limits: 64 MiB, 4 Mi lines of at most 64 KiB, 1000 runs.
package acquire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Why a log is not read.
var (
	ErrUnknownFormat = errors.New("unknown log format")
	ErrMalformed     = errors.New("malformed log")
	ErrTooLarge      = errors.New("log too large")
)

const (
	maxLog   = 64 << 20
	maxLine  = 64 << 10
	maxLines = 4 << 20 // short lines take the most time per byte
	maxRuns  = 1000
)

// Log is what one log file states.
type Log struct {
	Tool    string // program: dc3dd, dcfldd, ewfacquire, ewfacquirestream, hashdeep, ddrescue
	Version string // of the program, as the last run states it, "" unknown
	Format  string // kind of file, for people
	Runs    []Run  // in the order of the file, at least one
}

// Last returns the newest run. Whether earlier runs matter is the caller's
// question. The zero Log gives the zero Run.
func (l Log) Last() Run {
	if len(l.Runs) == 0 {
		return Run{}
	}
	return l.Runs[len(l.Runs)-1]
}

// Result is how a run ended, as the log tells it.
type Result string

// The results.
const (
	Completed  Result = "completed"  // the tool says that it did all it was told
	Aborted    Result = "aborted"    // the tool says that it failed or was stopped
	Incomplete Result = "incomplete" // the log ends before the run, or parts were not tried
	Unknown    Result = "unknown"    // the log does not tell
)

// Run is one run of a tool. Numbers are -1 and texts "" where the log does not
// state them. Texts are as stated, but for characters that do not print, which
// are U+FFFD.
type Run struct {
	Started     string // the tool's clock and form; only dc3dd states a zone
	Finished    string // likewise
	CommandLine string // arguments joined by spaces, quotes lost
	Source      string // what was read
	// Digests are those of all that was read, by algorithm: md5, sha1, sha256,
	// sha512; in lower-case hexadecimal. Digests of pieces and of other
	// algorithms are left out.
	Digests       map[string]string
	Bytes         int64 // covered by Digests; by the map for ddrescue
	Sectors       int64 // whole sectors read
	UnreadSectors int64 // sectors that could not be read
	UnreadBytes   int64 // bytes that could not be read, or were not tried
	Mismatch      bool  // the tool says that an output differs from the input
	Result        Result
}

func newRun() Run {
	return Run{
		Digests: map[string]string{}, Bytes: -1, Sectors: -1, UnreadSectors: -1, UnreadBytes: -1,
		Result: Incomplete,
	}
}

// Parse reads a log to its end and finds out the format. Errors are
// ErrUnknownFormat, ErrMalformed, ErrTooLarge and those of r.
func Parse(r io.Reader) (Log, error) {
	limited := &io.LimitedReader{R: r, N: maxLog + 1}
	in := &lines{scanner: bufio.NewScanner(limited)}
	in.scanner.Buffer(nil, maxLine)
	log, err := parse(in)
	switch {
	case in.number > maxLines:
		return Log{}, fmt.Errorf("read log: %w: more than %d lines", ErrTooLarge, maxLines)
	case limited.N == 0:
		return Log{}, fmt.Errorf("read log: %w: more than %d bytes", ErrTooLarge, maxLog)
	case errors.Is(in.scanner.Err(), bufio.ErrTooLong):
		return Log{}, fmt.Errorf("read log: %w: line %d has more than %d bytes", ErrTooLarge, in.number+1, maxLine)
	case in.scanner.Err() != nil:
		return Log{}, fmt.Errorf("read log: %w", in.scanner.Err())
	case err != nil:
		return Log{}, fmt.Errorf("read log: %w", err)
	}
	return log, nil
}

// parse hands the lines to the reader of the format. The first line with text
// is the current one.
func parse(in *lines) (Log, error) {
	for in.next() {
		if in.text == "" {
			continue
		}
		for _, format := range []struct {
			begins func(line string) bool
			parse  func(*lines) (Log, error)
		}{
			{dc3ddBegins, parseDC3DD},
			{dcflddBegins, parseDCFLDD},
			{ewfBegins, parseEWF},
			{hashdeepBegins, parseHashdeep},
			{ddrescueBegins, parseDDRescue},
		} {
			if format.begins(in.text) {
				return format.parse(in)
			}
		}
		return Log{}, fmt.Errorf("%w: begins with %.60q", ErrUnknownFormat, in.text)
	}
	return Log{}, fmt.Errorf("%w: empty", ErrUnknownFormat)
}

// lines gives a log line by line.
type lines struct {
	scanner *bufio.Scanner
	text    string // the current line, without LF or CRLF
	number  int    // of the current line, from 1
}

func (in *lines) next() bool {
	if !in.scanner.Scan() {
		return false
	}
	in.text = in.scanner.Text()
	in.number++
	return in.number <= maxLines
}

// malformed is the error about the current line.
func (in *lines) malformed(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrMalformed, in.number, fmt.Sprintf(format, args...))
}

// add appends a new run and returns it.
func (in *lines) add(log *Log) (*Run, error) {
	if len(log.Runs) == maxRuns {
		return nil, fmt.Errorf("%w: line %d: more than %d runs", ErrTooLarge, in.number, maxRuns)
	}
	log.Runs = append(log.Runs, newRun())
	return &log.Runs[len(log.Runs)-1], nil
}

// digestLen is the length in hexadecimal of the digests that are reported.
var digestLen = map[string]int{"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}

// digest notes a digest of the whole input.
func (in *lines) digest(run *Run, algorithm, value string) error {
	algorithm = strings.ToLower(algorithm)
	want, known := digestLen[algorithm]
	if !known {
		return nil
	}
	if len(value) != want || strings.Trim(value, "0123456789abcdef") != "" {
		return in.malformed("%.80q is no %s", value, algorithm)
	}
	if _, twice := run.Digests[algorithm]; twice {
		return in.malformed("second %s of one input", algorithm)
	}
	run.Digests[algorithm] = value
	return nil
}

// once sets a text that the log states at most once per run.
func (in *lines) once(field *string, value string) error {
	if *field != "" {
		return in.malformed("%.80q stated before", value)
	}
	*field = printable(value)
	return nil
}

// onceCount sets a number that the log states at most once per run.
func (in *lines) onceCount(field *int64, text string) error {
	n, err := in.count(text)
	if err != nil {
		return err
	}
	if *field != -1 {
		return in.malformed("number %d stated before", n)
	}
	*field = n
	return nil
}

// count reads a decimal number of things.
func (in *lines) count(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, in.malformed("%.80q is no number of ours", text)
	}
	return int64(n), nil // #nosec G115 -- 63 bits
}

// product multiplies what the log states, or returns -1 if a factor is unknown
// or the product too large to be one.
func product(a, b int64) int64 {
	if a < 0 || b < 0 || a != 0 && b > math.MaxInt64/a {
		return -1
	}
	return a * b
}

// sum adds what the log states, or returns -1 likewise.
func sum(a, b int64) int64 {
	if a < 0 || b < 0 || b > math.MaxInt64-a {
		return -1
	}
	return a + b
}

// printable makes a stated text fit to show: it cannot move a cursor, turn the
// direction of writing or be invalid UTF-8.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
