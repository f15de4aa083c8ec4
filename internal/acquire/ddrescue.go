package acquire

import (
	"regexp"
	"strconv"
	"strings"
)

// A ddrescue mapfile (GNU ddrescue manual, "Mapfile structure") is comments, a
// line of the current position and status, and one line per area: position,
// size, status. Areas follow each other without gaps.
var (
	ddrescueHead   = regexp.MustCompile(`^# (?:Mapfile|Rescue Logfile)\. Created by GNU ddrescue version (\S+)$`)
	ddrescueStatus = regexp.MustCompile(`^0x[0-9A-F]+ +([-?*/FG+])(?: +[0-9]+)?$`)
	ddrescueArea   = regexp.MustCompile(`^(0x[0-9A-F]+) +(0x[0-9A-F]+) +([-?*/+])$`)
)

func ddrescueBegins(line string) bool { return ddrescueHead.MatchString(line) }

func parseDDRescue(in *lines) (Log, error) {
	log := Log{Tool: "ddrescue", Format: "ddrescue mapfile"}
	log.Version = printable(ddrescueHead.FindStringSubmatch(in.text)[1])
	run, err := in.add(&log)
	if err != nil {
		return Log{}, err
	}
	var status string
	var areas int
	var end int64
	tried := true
	for in.next() {
		if in.text == "" || in.text[0] == '#' {
			if err := ddrescueComment(in, run); err != nil {
				return Log{}, err
			}
			continue
		}
		if status == "" {
			m := ddrescueStatus.FindStringSubmatch(in.text)
			if m == nil {
				return Log{}, in.malformed("%.80q is no current status", in.text)
			}
			status = m[1]
			run.Bytes, run.UnreadBytes = 0, 0
			continue
		}
		m := ddrescueArea.FindStringSubmatch(in.text)
		if m == nil {
			return Log{}, in.malformed("%.80q is no area", in.text)
		}
		from, err := ddrescueNumber(in, m[1])
		if err != nil {
			return Log{}, err
		}
		size, err := ddrescueNumber(in, m[2])
		if err != nil {
			return Log{}, err
		}
		if areas > 0 && from != end {
			return Log{}, in.malformed("area at %#x, the one before ends at %#x", from, end)
		}
		if end = sum(from, size); end < 0 {
			return Log{}, in.malformed("area beyond all media")
		}
		areas++
		run.Bytes = sum(run.Bytes, size)
		if m[3] != "+" {
			run.UnreadBytes = sum(run.UnreadBytes, size)
		}
		tried = tried && (m[3] == "+" || m[3] == "-")
	}
	if areas == 0 {
		return Log{}, in.malformed("no areas")
	}
	if status == "+" && tried {
		run.Result = Completed
	}
	return log, nil
}

// ddrescueComment notes what the comments at the head state.
func ddrescueComment(in *lines, run *Run) error {
	if text, ok := strings.CutPrefix(in.text, "# Command line: "); ok {
		return in.once(&run.CommandLine, text)
	}
	if text, ok := strings.CutPrefix(in.text, "# Start time: "); ok {
		return in.once(&run.Started, strings.TrimSpace(text))
	}
	if text, ok := strings.CutPrefix(in.text, "# Current time: "); ok {
		return in.once(&run.Finished, strings.TrimSpace(text))
	}
	return nil
}

func ddrescueNumber(in *lines, text string) (int64, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 63)
	if err != nil {
		return 0, in.malformed("%.80q is no number of ours", text)
	}
	return int64(n), nil // #nosec G115 -- 63 bits
}
