package acquire

import "regexp"

// A dcfldd hash log is lines about windows, for each window one per algorithm,
// then one total per algorithm. With conv=noerror,sync dcfldd (1.9) hashes
// fewer bytes than it writes: the last window then ends early, and Bytes says so.
var (
	dcflddWindow = regexp.MustCompile(`^([0-9]+) - ([0-9]+): ([0-9a-f]+)$`)
	dcflddTotal  = regexp.MustCompile(`^Total \(([a-z0-9]+)\): ([0-9a-f]+)$`)
)

func dcflddBegins(line string) bool {
	return dcflddWindow.MatchString(line) || dcflddTotal.MatchString(line)
}

func parseDCFLDD(in *lines) (Log, error) {
	log := Log{Tool: "dcfldd", Format: "dcfldd hash log"}
	run, err := in.add(&log)
	if err != nil {
		return Log{}, err
	}
	var start, end int64
	for more := true; more; more = in.next() {
		if m := dcflddWindow.FindStringSubmatch(in.text); m != nil {
			from, err := in.count(m[1])
			if err != nil {
				return Log{}, err
			}
			to, err := in.count(m[2])
			if err != nil {
				return Log{}, err
			}
			if run.Result == Unknown { // totals end a run
				if run, err = in.add(&log); err != nil {
					return Log{}, err
				}
				start, end = 0, 0
			}
			if next := from == end && to > from; !next && (from != start || to != end) {
				return Log{}, in.malformed("window %d - %d does not follow %d - %d", from, to, start, end)
			}
			start, end = from, to
			run.Bytes = end
			continue
		}
		if m := dcflddTotal.FindStringSubmatch(in.text); m != nil {
			if _, again := run.Digests[m[1]]; again {
				if run, err = in.add(&log); err != nil {
					return Log{}, err
				}
				start, end = 0, 0
			}
			if err := in.digest(run, m[1], m[2]); err != nil {
				return Log{}, err
			}
			run.Result = Unknown
			continue
		}
		if in.text != "" {
			return Log{}, in.malformed("%.80q is neither window nor total", in.text)
		}
	}
	return log, nil
}
