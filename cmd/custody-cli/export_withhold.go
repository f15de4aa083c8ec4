package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

// parseWithheld reads what --withhold was given: numbers and ranges of entries, and after
// the first '=' why they are withheld, such as 12,15-17=privileged. Each entry is named once.
func parseWithheld(given []string) ([]evidence.Withheld, error) {
	var list []evidence.Withheld
	for _, text := range given {
		seqs, reason, ok := strings.Cut(text, "=")
		if !ok || reason == "" {
			return nil, fmt.Errorf("--withhold %q: want entries and a reason, such as 12,15-17=privileged", text)
		}
		for part := range strings.SplitSeq(seqs, ",") {
			from, to, err := parseRange(part)
			if err != nil {
				return nil, fmt.Errorf("--withhold %q: %w", text, err)
			}
			if int64(len(list))+to-from >= evidence.MaxWithheld {
				return nil, fmt.Errorf("--withhold %q: more than %d entries", text, evidence.MaxWithheld)
			}
			for seq := from; seq <= to; seq++ {
				list = append(list, evidence.Withheld{Entry: seq, Reason: reason})
			}
		}
	}
	slices.SortFunc(list, func(x, y evidence.Withheld) int { return cmp.Compare(x.Entry, y.Entry) })
	for i := 1; i < len(list); i++ {
		if list[i].Entry == list[i-1].Entry {
			return nil, fmt.Errorf("--withhold: entry %d is named twice", list[i].Entry)
		}
	}
	return list, nil
}

// parseRange reads N or N-M.
func parseRange(text string) (from, to int64, err error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	low, errLow := strconv.ParseUint(first, 10, 53)
	high, errHigh := strconv.ParseUint(last, 10, 53)
	if errLow != nil || errHigh != nil || high < low {
		return 0, 0, fmt.Errorf("%q is neither the number of an entry nor a range of them", text)
	}
	return int64(low), int64(high), nil
}

// disclosed says what the bundle was made without, and who can be named in it all the same.
func (a *app) disclosed(r verify.Report) {
	if len(r.Withheld) > 0 {
		a.say("withheld are the payloads of %d entries; custody-cli verify says which, why, and what that leaves unchecked", len(r.Withheld))
	}
	if len(r.MayName) == 0 {
		return
	}
	a.warn("people are called by their principals, and these can still name them; --withhold ENTRIES=REASON leaves out what an entry says:")
	for _, what := range r.MayName[:min(len(r.MayName), maxWarned)] {
		a.warn("  %s", what)
	}
	if more := len(r.MayName) - maxWarned; more > 0 {
		a.warn("  and %d more, which verify lists", more)
	}
}
