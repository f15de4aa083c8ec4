package acquire

import (
	"regexp"
	"strings"
)

// Standard output of ewfacquire has much text for people; these lines are
// facts. The log of -l holds read errors and digests only, without a head.
var (
	ewfHead    = regexp.MustCompile(`^(ewfacquire|ewfacquirestream) ([0-9]{8})$`)
	ewfTimes   = regexp.MustCompile(`^Acquiry (started|completed|aborted|failed) at: (.+)$`)
	ewfAmount  = regexp.MustCompile(`^Number of bytes to acquire:\t+.*\(([0-9]+) bytes\)$`)
	ewfDigest  = regexp.MustCompile(`^(MD5|SHA1|SHA256) hash calculated over data:\t+([0-9a-f]+)$`)
	ewfErrors  = regexp.MustCompile(`^\ttotal number: ([0-9]+)$`)
	ewfErrorAt = regexp.MustCompile(`^\tat sector\(s\): [0-9]+ - [0-9]+ number: ([0-9]+)(?: \(offset: 0x[0-9a-f]+ of size: ([0-9]+)\))?$`)
	ewfResult  = regexp.MustCompile(`^(ewfacquire|ewfacquirestream): (SUCCESS|FAILURE|ABORTED)$`)
)

const ewfErrorsHead = "Errors reading device:"

func ewfBegins(line string) bool {
	return ewfHead.MatchString(line) || ewfDigest.MatchString(line) || line == ewfErrorsHead
}

// ewf is the state between two lines.
type ewf struct {
	*lines
	log   Log
	run   *Run
	bare  bool // a log of -l
	stage int
	// Read errors: how many are announced and how many were listed.
	announced, listed int64
}

const (
	ewfBefore = iota // the acquisition started
	ewfDuring
	ewfAfter // it ended; read errors and digests follow
	ewfDone  // the result was told
)

func parseEWF(in *lines) (Log, error) {
	e := ewf{lines: in, log: Log{Tool: "ewfacquire", Format: "ewfacquire log"}}
	e.bare = !ewfHead.MatchString(in.text)
	if e.bare {
		if err := e.open(ewfAfter); err != nil {
			return Log{}, err
		}
	}
	for more := true; more; more = in.next() {
		if err := e.line(); err != nil {
			return Log{}, err
		}
	}
	if err := e.closed(); err != nil {
		return Log{}, err
	}
	return e.log, nil
}

// open begins a run. The one before may lack its end: its tool was killed.
func (e *ewf) open(stage int) (err error) {
	if err := e.closed(); err != nil {
		return err
	}
	if e.run, err = e.add(&e.log); err != nil {
		return err
	}
	if e.bare {
		e.run.Result = Unknown
	}
	e.stage, e.announced, e.listed = stage, -1, 0
	return nil
}

// closed checks that the announced read errors were listed.
func (e *ewf) closed() error {
	if e.run != nil && e.announced >= 0 && e.announced != e.listed {
		return e.malformed("%d read errors announced, %d listed", e.announced, e.listed)
	}
	return nil
}

func (e *ewf) line() error {
	if m := ewfDigest.FindStringSubmatch(e.text); m != nil {
		_, again := e.run.Digests[strings.ToLower(m[1])]
		if e.bare && again {
			if err := e.open(ewfAfter); err != nil {
				return err
			}
		}
		if e.stage != ewfAfter {
			return e.malformed("digest outside of the results")
		}
		return e.digest(e.run, m[1], m[2])
	}
	if e.bare {
		return e.bareLine()
	}
	if m := ewfHead.FindStringSubmatch(e.text); m != nil {
		e.log.Tool, e.log.Version, e.log.Format = m[1], m[2], m[1]+" output"
		return e.open(ewfBefore)
	}
	if m := ewfTimes.FindStringSubmatch(e.text); m != nil {
		return e.time(m[1], m[2])
	}
	if m := ewfAmount.FindStringSubmatch(e.text); m != nil {
		if e.stage != ewfBefore {
			return e.malformed("parameters after the start")
		}
		return e.onceCount(&e.run.Bytes, m[1])
	}
	if m := ewfResult.FindStringSubmatch(e.text); m != nil {
		return e.result(m[1], m[2])
	}
	if e.stage == ewfAfter && strings.HasPrefix(e.text, "\t") {
		return e.readErrors()
	}
	return nil
}

// bareLine reads a line of -l, but for digests.
func (e *ewf) bareLine() error {
	switch {
	case e.text == "":
		return nil
	case e.text != ewfErrorsHead:
		return e.readErrors()
	case len(e.run.Digests) > 0 || e.announced >= 0:
		return e.open(ewfAfter)
	}
	return nil
}

func (e *ewf) time(what, when string) error {
	if what == "started" {
		if e.stage != ewfBefore {
			return e.malformed("started again")
		}
		e.stage = ewfDuring
		return e.once(&e.run.Started, when)
	}
	if e.stage != ewfDuring {
		return e.malformed("%s before it started", what)
	}
	e.stage = ewfAfter
	if what != "completed" {
		e.run.Result = Aborted
	}
	return e.once(&e.run.Finished, when)
}

func (e *ewf) result(tool, word string) error {
	switch {
	case e.stage == ewfDone || tool != e.log.Tool:
		return e.malformed("result of no run")
	case word != "SUCCESS":
		e.run.Result = Aborted
	case e.stage != ewfAfter || e.run.Result == Aborted:
		return e.malformed("success without completion")
	default:
		e.run.Result = Completed
	}
	e.stage = ewfDone
	return nil
}

// readErrors reads the section about sectors that could not be read.
func (e *ewf) readErrors() error {
	if m := ewfErrors.FindStringSubmatch(e.text); m != nil {
		e.run.UnreadSectors, e.run.UnreadBytes = 0, 0
		return e.onceCount(&e.announced, m[1])
	}
	m := ewfErrorAt.FindStringSubmatch(e.text)
	if m == nil {
		return e.malformed("%.80q in the results", e.text)
	}
	if e.announced < 0 {
		return e.malformed("read error that was not announced")
	}
	sectors, err := e.count(m[1])
	if err != nil {
		return err
	}
	size := int64(-1)
	if m[2] != "" {
		if size, err = e.count(m[2]); err != nil {
			return err
		}
	}
	e.listed++
	e.run.UnreadSectors = sum(e.run.UnreadSectors, sectors)
	e.run.UnreadBytes = sum(e.run.UnreadBytes, size)
	return nil
}
