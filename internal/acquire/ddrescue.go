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
		switch m := ddrescueArea.FindStringSubmatch(in.text); {
		case strings.HasPrefix(in.text, "#") || in.text == "":
			if err := ddrescueComment(in, run); err != nil {
				return Log{}, err
			}
		case status == "":
			s := ddrescueStatus.FindStringSubmatch(in.text)
			if s == nil {
				return Log{}, in.malformed("%.80q is no current status", in.text)
			}
			status = s[1]
			run.Bytes, run.UnreadBytes = 0, 0
		case m == nil:
			return Log{}, in.malformed("%.80q is no area", in.text)
		default:
			from, size, err := ddrescueNumbers(in, m[1], m[2])
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
	for prefix, field := range map[string]*string{
		"# Command line: ": &run.CommandLine,
		"# Start time: ":   &run.Started,
		"# Current time: ": &run.Finished,
	} {
		if text, ok := strings.CutPrefix(in.text, prefix); ok {
			return in.once(field, strings.TrimSpace(text))
		}
	}
	return nil
}

func ddrescueNumbers(in *lines, texts ...string) (from, size int64, err error) {
	var numbers [2]int64
	for i, text := range texts {
		n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 63)
		if err != nil {
			return 0, 0, in.malformed("%.80q is no number of ours", text)
		}
		numbers[i] = int64(n) // #nosec G115 -- 63 bits
	}
	return numbers[0], numbers[1], nil
}
