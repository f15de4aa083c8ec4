package acquire

import (
	"regexp"
	"strings"
)

const hashdeepMagic = "%%%% HASHDEEP-1.0"

// hashdeepPiece ends the names of pieces (hashdeep -p).
var hashdeepPiece = regexp.MustCompile(` offset [0-9]+-[0-9]+$`)

func hashdeepBegins(line string) bool { return line == hashdeepMagic }

// parseHashdeep reads the five lines of the head and then one run per file. The
// pieces of a file make one run that states no digest. Files that hashdeep
// could not read to their end have no row.
//
//	%%%% HASHDEEP-1.0
//	%%%% size,md5,sha256,filename
//	## Invoked from: /evidence/2026-0042
//	## # hashdeep -c md5,sha256 src.dd
//	##
//	4194304,e2a5…,4159…,/evidence/2026-0042/src.dd
//
// The command line follows the prompt of a superuser, a user or Windows.
// Nothing but rows follows: a command line with a line break is refused.
func parseHashdeep(in *lines) (Log, error) {
	log := Log{Tool: "hashdeep", Format: "hashdeep 1.0"}
	var head [4]string
	for i := range head {
		prefix := "##"
		if i == 0 {
			prefix = "%%%% "
		}
		text, ok := "", in.next()
		if ok {
			text, ok = strings.CutPrefix(in.text, prefix)
		}
		if !ok {
			return Log{}, in.malformed("head ends early")
		}
		head[i] = strings.TrimPrefix(text, " ")
	}
	columns := strings.Split(head[0], ",")
	last := len(columns) - 1
	if last < 2 || columns[0] != "size" || columns[last] != "filename" {
		return Log{}, in.malformed("columns %.80q", head[0])
	}
	if !strings.HasPrefix(head[1], "Invoked from: ") || head[3] != "" {
		return Log{}, in.malformed("head of another form")
	}
	command := printable(strings.TrimPrefix(strings.TrimPrefix(head[2], "# "), "$ "))

	pieces := "" // the file whose pieces are listed
	for in.next() {
		cells := strings.SplitN(in.text, ",", len(columns))
		if len(cells) != len(columns) || cells[last] == "" {
			return Log{}, in.malformed("%.80q is no row", in.text)
		}
		name := hashdeepPiece.ReplaceAllLiteralString(cells[last], "")
		isPiece := name != cells[last]
		if isPiece && name == pieces {
			continue
		}
		run, err := in.add(&log)
		if err != nil {
			return Log{}, err
		}
		run.CommandLine, run.Source = command, printable(name)
		if isPiece {
			run.Result, pieces = Unknown, name
			continue
		}
		run.Result, pieces = Completed, ""
		if err := in.onceCount(&run.Bytes, cells[0]); err != nil {
			return Log{}, err
		}
		for i := 1; i < last; i++ {
			if err := in.digest(run, columns[i], cells[i]); err != nil {
				return Log{}, err
			}
		}
	}
	if len(log.Runs) == 0 {
		run, err := in.add(&log)
		if err != nil {
			return Log{}, err
		}
		run.CommandLine = command
	}
	return log, nil
}
