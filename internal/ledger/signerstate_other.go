//go:build !linux

package ledger

import (
	"errors"
	"os"
)

// Elsewhere nobody has tried what a lock and a sync promise: verifiers run
// everywhere, the signer on Linux.

func lockFile(*os.File) error { return errors.ErrUnsupported }

func unlockFile(*os.File) error { return errors.ErrUnsupported }

func syncData(*os.File) error { return errors.ErrUnsupported }
