package verify

import (
	"fmt"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/report"
)

// Finding is one thing that is wrong. What it says of hostile input is plain text.
type Finding struct {
	Code    Code           `json:"code"`
	Subject string         `json:"subject"` // such as "entry 7", "E-001/M1", "data/checkpoint"
	Detail  string         `json:"detail"`
	Ranges  []digest.Range `json:"ranges,omitempty"` // the damaged bytes, where they are known
}

// maxDetail bounds what a finding says, in bytes.
const maxDetail = 2000

// NewFinding makes a finding of what may have come from an attacker: in one line of
// printing characters, and not too many.
func NewFinding(code Code, subject, format string, args ...any) Finding {
	return Finding{Code: code, Subject: clip(subject), Detail: clip(fmt.Sprintf(format, args...))}
}

func clip(s string) string {
	if s = report.Plain(s); len(s) > maxDetail {
		return s[:maxDetail] + "..."
	}
	return s
}

// at gives the finding with the bytes it is about.
func (f Finding) at(ranges []digest.Range) Finding {
	f.Ranges = ranges
	return f
}

// maxRanges is how many ranges a finding writes out.
const maxRanges = 20

func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s: %s", f.Subject, f.Code, f.Detail)
	for i, r := range f.Ranges {
		if i == maxRanges {
			return s + fmt.Sprintf("; and %d ranges more", len(f.Ranges)-maxRanges)
		}
		s += fmt.Sprintf("; damaged: %d bytes from %d on", r.Len, r.Off)
	}
	return s
}

// maxFound is how many findings of one code are kept.
const maxFound = 1000

// Found is what was found wrong.
type Found struct {
	Findings []Finding    `json:"findings"`       // never nil: of each code the first thousand
	More     map[Code]int `json:"more,omitempty"` // how many there are of a code beside those

	counts map[Code]int
}

func newFound() Found { return Found{Findings: []Finding{}, counts: map[Code]int{}} }

// add keeps findings, or counts them.
func (l *Found) add(findings ...Finding) {
	for _, f := range findings {
		if l.counts[f.Code]++; l.counts[f.Code] <= maxFound {
			l.Findings = append(l.Findings, f)
			continue
		}
		if l.More == nil {
			l.More = map[Code]int{}
		}
		l.More[f.Code]++
	}
}

// find keeps one finding.
func (l *Found) find(code Code, subject, format string, args ...any) {
	l.add(NewFinding(code, subject, format, args...))
}

// join keeps what another found.
func (l *Found) join(other Found) {
	l.add(other.Findings...)
	for code, n := range other.More {
		if l.More == nil {
			l.More = map[Code]int{}
		}
		l.More[code] += n
	}
}

// Total is how many findings there are, kept or counted.
func (l Found) Total() int {
	n := len(l.Findings)
	for _, more := range l.More {
		n += more
	}
	return n
}

// verdict is what the findings come to.
func (l Found) verdict(incomplete bool) Verdict {
	for _, f := range l.Findings {
		if f.Code != CodeUnknownAction {
			return Failed
		}
	}
	if incomplete || len(l.Findings) > 0 {
		return Incomplete
	}
	return Verified
}
