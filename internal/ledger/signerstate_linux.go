package ledger

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the file for this process until it is closed, or fails at once.
func lockFile(f *os.File) error {
	return control(f, func(fd int) error { return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) })
}

// unlockFile gives the lock free before the file is closed: a program that this process is
// starting has the file open too, until it executes.
func unlockFile(f *os.File) error {
	return control(f, func(fd int) error { return syscall.Flock(fd, syscall.LOCK_UN) })
}

// syncData makes what was written durable. The file never changes its length, so
// its other attributes need not be, which saves a write of the file system's journal.
func syncData(f *os.File) error { return control(f, syscall.Fdatasync) }

func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = conn.Control(func(fd uintptr) {
		for {
			callErr = call(int(fd))
			if !errors.Is(callErr, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, callErr)
}
