package evidence

import (
	"maps"
	"slices"
)

// Kinds are all events there are.
func Kinds() []Kind { return slices.Sorted(maps.Keys(rules)) }

// The two ways to read a payload.
var (
	Quick     = quick
	Carefully = carefully
)
