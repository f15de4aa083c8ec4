//go:build !unix || solaris || aix

package witness

import (
	"errors"
	"os"
)

// lockFile fails: without a lock two witnesses could cosign two ledgers with one key.
func lockFile(*os.File) error { return errors.ErrUnsupported }

func unlockFile(*os.File) error { return errors.ErrUnsupported }
