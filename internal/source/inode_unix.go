//go:build unix

package source

import (
	"io/fs"
	"syscall"
)

// inode gives what the file system knows a file by.
func inode(info fs.FileInfo) (device, number uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev), s.Ino //nolint:unconvert // Dev is signed on some systems
	}
	return 0, 0
}
