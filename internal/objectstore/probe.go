package objectstore

import (
	"strings"
)

// Weight says what a failed check means.
type Weight string

// The weights.
const (
	Required Weight = "required" // evidence must not be kept here without it
	Advised  Weight = "advised"  // worth knowing; we keep clear of what it would need
)

// Check is one thing a probe looked at.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Weight Weight `json:"weight"`
	Means  string `json:"means"`            // what holds when OK
	Detail string `json:"detail,omitempty"` // why not
}

// Report is what a probe found.
type Report struct {
	Store  Description `json:"store"`
	Checks []Check     `json:"checks"`
}

func (r *Report) add(name string, w Weight, err error, means string) {
	c := Check{Name: name, OK: err == nil, Weight: w, Means: means}
	if err != nil {
		c.Detail = err.Error()
	}
	r.Checks = append(r.Checks, c)
}

// Missing says in words which checks of a weight failed.
func (r Report) Missing(w Weight) []string {
	var missing []string
	for _, c := range r.Checks {
		if !c.OK && c.Weight == w {
			missing = append(missing, c.Name+": "+c.Detail)
		}
	}
	return missing
}

// UnlockedError refuses a store that lacks what evidence needs.
type UnlockedError struct{ Missing []string }

func (e *UnlockedError) Error() string {
	return "store cannot keep evidence: " + strings.Join(e.Missing, "; ")
}
