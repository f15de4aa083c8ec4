package acquire

import (
	"regexp"
	"strings"
)

// A dc3dd log is runs of four parts, each but the last optional only when the
// run ended early: head, input results, output results, end. Blank lines mean
// nothing (nwspc=on leaves them out).
var (
	dc3ddStart  = regexp.MustCompile(`^dc3dd (\S+) started at (.+)$`)
	dc3ddEnd    = regexp.MustCompile(`^dc3dd (completed|aborted|failed) at (.+)$`)
	dc3ddMoved  = regexp.MustCompile(`^ *([0-9]+) bytes \( .*\) (copied|hashed) \(.*%.*\), `)
	dc3ddSector = regexp.MustCompile(`^sector size: ([0-9]+) bytes \(.*\)$`)
	// The quotes are those of the locale.
	dc3ddInput   = regexp.MustCompile("^input results for [a-z]+ [`'‘\"](.*)['’\"]:$")
	dc3ddOutput  = regexp.MustCompile("^output results for [a-z]+ [`'‘\"].*['’\"]:$")
	dc3ddSectors = regexp.MustCompile(`^   ([0-9]+) sectors(?: \+ ([0-9]+) bytes)? in$`)
	dc3ddBad     = regexp.MustCompile(`^   ([0-9]+) bad sectors replaced by zeros$`)
	dc3ddDigest  = regexp.MustCompile(`^   ([0-9a-f]+) \(([a-z0-9]+)\)$`)
	// The same in the file of mlog=.
	dc3ddFinal = regexp.MustCompile(`^       ([0-9a-f]+)\| \(FINAL: ([a-z0-9]+)\) +\| +[0-9]+\| +[0-9]+ *$`)
)

func dc3ddBegins(line string) bool { return dc3ddStart.MatchString(line) }

// dc3dd is the state between two lines.
type dc3dd struct {
	*lines
	log        Log
	run        *Run // nil between runs
	part       int
	sectorSize int64
	rest       int64 // bytes after the last whole sector
	copied     int64
}

const (
	dc3ddHead = iota
	dc3ddInputs
	dc3ddOutputs
)

func parseDC3DD(in *lines) (Log, error) {
	d := dc3dd{lines: in, log: Log{Tool: "dc3dd", Format: "dc3dd log"}}
	for more := true; more; more = in.next() {
		if err := d.line(); err != nil {
			return Log{}, err
		}
	}
	if err := d.end(); err != nil {
		return Log{}, err
	}
	return d.log, nil
}

func (d *dc3dd) line() error {
	if d.text == "" {
		return nil
	}
	if m := dc3ddStart.FindStringSubmatch(d.text); m != nil {
		// A killed dc3dd writes no end; the next run follows in the same file.
		if err := d.end(); err != nil {
			return err
		}
		run, err := d.add(&d.log)
		if err != nil {
			return err
		}
		d.run, d.part, d.sectorSize, d.rest, d.copied = run, dc3ddHead, -1, -1, -1
		d.log.Version = printable(m[1])
		return d.once(&run.Started, m[2])
	}
	if d.run == nil {
		return d.malformed("%.80q between runs", d.text)
	}
	if m := dc3ddEnd.FindStringSubmatch(d.text); m != nil {
		if m[1] == "completed" {
			if d.part != dc3ddOutputs {
				return d.malformed("completed without results")
			}
			d.run.Result = Completed
		} else {
			d.run.Result = Aborted
		}
		if err := d.once(&d.run.Finished, m[2]); err != nil {
			return err
		}
		return d.end()
	}
	if m := dc3ddInput.FindStringSubmatch(d.text); m != nil {
		if d.part != dc3ddHead {
			return d.malformed("second input results")
		}
		d.part = dc3ddInputs
		d.run.Source = printable(m[1])
		return nil
	}
	if dc3ddOutput.MatchString(d.text) {
		if d.part == dc3ddHead {
			return d.malformed("output results before input results")
		}
		d.part = dc3ddOutputs
		return nil
	}
	switch d.part {
	case dc3ddHead:
		return d.head()
	case dc3ddInputs:
		return d.input()
	default:
		return d.output()
	}
}

// end closes the run, if one is open.
func (d *dc3dd) end() error {
	if d.run == nil {
		return nil
	}
	run := d.run
	d.run = nil
	run.Bytes = d.copied
	if run.Sectors >= 0 && d.sectorSize >= 0 {
		run.Bytes = sum(product(run.Sectors, d.sectorSize), max(d.rest, 0))
		if d.copied >= 0 && run.Bytes != d.copied {
			return d.malformed("%d bytes copied, but %d came in", d.copied, run.Bytes)
		}
	}
	run.UnreadBytes = product(run.UnreadSectors, d.sectorSize)
	return nil
}

func (d *dc3dd) head() error {
	if command, ok := strings.CutPrefix(d.text, "command line: "); ok {
		return d.once(&d.run.CommandLine, command)
	}
	if m := dc3ddSector.FindStringSubmatch(d.text); m != nil {
		return d.onceCount(&d.sectorSize, m[1])
	}
	if m := dc3ddMoved.FindStringSubmatch(d.text); m != nil {
		if m[2] == "hashed" { // of outputs
			return nil
		}
		return d.onceCount(&d.copied, m[1])
	}
	for _, prefix := range []string{"compiled options:", "device size: ", "[!!] "} {
		if strings.HasPrefix(d.text, prefix) {
			return nil
		}
	}
	return d.malformed("%.80q before the results", d.text)
}

func (d *dc3dd) input() error {
	if m := dc3ddSectors.FindStringSubmatch(d.text); m != nil {
		if m[2] != "" {
			if err := d.onceCount(&d.rest, m[2]); err != nil {
				return err
			}
		}
		return d.onceCount(&d.run.Sectors, m[1])
	}
	if m := dc3ddBad.FindStringSubmatch(d.text); m != nil {
		return d.onceCount(&d.run.UnreadSectors, m[1])
	}
	for _, form := range []*regexp.Regexp{dc3ddDigest, dc3ddFinal} {
		if m := form.FindStringSubmatch(d.text); m != nil {
			return d.digest(d.run, m[2], m[1])
		}
	}
	if strings.HasPrefix(d.text, "      ") { // about a single file or piece
		return nil
	}
	return d.malformed("%.80q in the input results", d.text)
}

func (d *dc3dd) output() error {
	text := strings.TrimSpace(d.text)
	if !strings.HasPrefix(d.text, "   ") {
		return d.malformed("%.80q in the output results", d.text)
	}
	if strings.HasPrefix(text, "[MISMATCH]") || strings.HasSuffix(text, "[MISMATCH]") {
		d.run.Mismatch = true
	}
	return nil
}
