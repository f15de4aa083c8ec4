package bundle

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrFormat says that there is nothing a bundle could be read from: no zip, a zip
// that was cut off, one without or with several top directories, or out of all bounds.
var ErrFormat = errors.New("not a bundle")

// Code names a kind of fault, for ever.
type Code string

// The faults of a container.
const (
	FaultName       Code = "file-name"        // unsafe, double, or alike but for case
	FaultUnknown    Code = "file-unknown"     // a file that has no place in a bundle
	FaultMissing    Code = "file-missing"     // a file that every bundle has
	FaultIrregular  Code = "file-irregular"   // a link, a device, encrypted, or in an unknown compression
	FaultSize       Code = "file-size"        // larger, or compressed further, than such a file can be
	FaultUnreadable Code = "file-unreadable"  // does not give its bytes
	FaultLayout     Code = "zip-layout"       // another zip reader could see something else
	FaultBag        Code = "bag"              // bagit.txt or bag-info.txt do not say what they must
	FaultManifest   Code = "manifest"         // a line that is no row, or a row that is there twice
	FaultUnlisted   Code = "manifest-file"    // a file without a row
	FaultRow        Code = "manifest-row"     // a row without a file
	FaultSum        Code = "manifest-sum"     // a file with another SHA-256 than its row
	FaultReference  Code = "bundle-reference" // the top directory is not named like the case
	maxFaultSubject      = 200
)

// MaxFaults is how many faults of one code are kept; the others are counted.
const MaxFaults = 1000

// Fault is one thing that is wrong with a container.
type Fault struct {
	Code   Code
	Path   string // of the file it concerns; quoted when it is not a plain name
	Detail string
}

func (f Fault) Error() string { return fmt.Sprintf("%s: %s: %s", f.Path, f.Code, f.Detail) }

// printable makes a name from outside fit for a terminal and a report.
func printable(name string) string {
	if len(name) > maxFaultSubject {
		name = name[:maxFaultSubject] + "..."
	}
	quoted := strconv.QuoteToASCII(name)
	if quoted == `"`+name+`"` && name != "" {
		return name
	}
	return quoted
}
