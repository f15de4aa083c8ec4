package objectstore

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock on f that ends with the process, or fails with ErrInUse.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

// unlock gives the lock free before the file is closed: a program that this process is
// starting has the file open too, until it executes.
func unlock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// moveNew renames from to to and fails with fs.ErrExist when to is there.
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return moveUnlessThere(from, to) // NFS and some FUSE file systems
	}
	if err != nil {
		return &os.LinkError{Op: "renameat2", Old: from, New: to, Err: err}
	}
	return nil
}

// startWriteback has the kernel begin to write a range, and does not wait: a
// later fdatasync finds little left to do.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE) // a hint
}

// openPast opens f once more, for aligned writes past the page cache; nil where
// that cannot be had.
func openPast(f *os.File) *os.File {
	past, err := os.OpenFile(f.Name(), os.O_WRONLY|unix.O_DIRECT|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	return past
}

// errNotAligned is what a write past the cache answers that is not aligned, or
// not as the device wants it.
const errNotAligned = unix.EINVAL

// dropCache asks the kernel to forget clean pages of a range; n = 0 is to the end.
func dropCache(f *os.File, off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED) // a hint
}

func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// fsImmutable is FS_IMMUTABLE_FL of linux/fs.h.
const fsImmutable = 0x10

// setImmutable sets or clears the attribute that lets nobody, root included,
// change, rename or remove the file while it is set.
func setImmutable(path string, on bool) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	fd := int(f.Fd())
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return os.NewSyscallError("get file attributes", err)
	}
	flags &^= fsImmutable
	if on {
		flags |= fsImmutable
	}
	return os.NewSyscallError("set file attributes", unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags)))
}

// isImmutable says whether the file has the attribute of setImmutable.
func isImmutable(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil // a file system without attributes
	}
	return flags&fsImmutable != 0, os.NewSyscallError("get file attributes", err)
}

// openMedium opens path so that reads come from the disk, and says whether they
// do: direct means reads must be aligned, see directReader.
func openMedium(path string) (f *os.File, direct bool, source string, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		direct = false
	} else {
		direct = true
	}
	if err != nil {
		return nil, false, "", err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil, false, "", errors.Join(os.NewSyscallError("fstatfs", err), f.Close())
	}
	if st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		// There is no medium below. tmpfs accepts O_DIRECT and answers from memory.
		return reopenBuffered(f, path)
	}
	if direct {
		if takesDirect(f) {
			return f, true, SourceMedium, nil
		}
		if f, _, _, err = reopenBuffered(f, path); err != nil {
			return nil, false, "", err
		}
	}
	f, source, err = dropAndLook(f)
	return f, false, source, err
}

// takesDirect says whether f can be read directly: some systems refuse with the
// first read only. Any other error is of the bytes, and for whoever reads them.
func takesDirect(f *os.File) bool {
	buf := getBlock()
	defer putBlock(buf)
	_, err := pread(f, (*buf)[:diskAlign], 0)
	return !errors.Is(err, unix.EINVAL)
}

// dropAndLook empties the page cache of f, and says whether that worked. It
// closes f when it fails.
func dropAndLook(f *os.File) (*os.File, string, error) {
	// Pages that are dirty cannot be dropped.
	err := f.Sync()
	cached := true
	if err == nil {
		dropCache(f, 0, 0)
		cached, err = inCache(f)
	}
	switch {
	case err != nil:
		return nil, "", errors.Join(err, f.Close())
	case cached:
		return f, SourceCache, nil
	default:
		return f, SourceMedium, nil
	}
}

func reopenBuffered(f *os.File, path string) (*os.File, bool, string, error) {
	if err := f.Close(); err != nil {
		return nil, false, "", err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	return f, false, SourceCache, err
}

// inCache says whether any page of f is in the page cache.
func inCache(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	const window = 1 << 30
	page := int64(os.Getpagesize())
	for off := int64(0); off < info.Size(); off += window {
		n := min(window, info.Size()-off)
		mem, err := unix.Mmap(int(f.Fd()), off, int(n), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return false, os.NewSyscallError("mmap", err)
		}
		resident := make([]byte, (n+page-1)/page)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(n), uintptr(unsafe.Pointer(&resident[0]))) //nolint:gosec // x/sys has no wrapper for mincore
		if err := unix.Munmap(mem); err != nil {
			return false, os.NewSyscallError("munmap", err)
		}
		if errno != 0 {
			return false, os.NewSyscallError("mincore", errno)
		}
		for _, r := range resident {
			if r&1 != 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// pread reads until buf is full or the file ends. It does not ask again behind
// an unaligned end, which direct I/O answers with EINVAL.
func pread(f *os.File, buf []byte, off int64) (int, error) {
	got := 0
	for got < len(buf) {
		n, err := unix.Pread(int(f.Fd()), buf[got:], off+int64(got))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return got, fmt.Errorf("read at %d: %w", off+int64(got), os.NewSyscallError("pread", err))
		}
		got += n
		if n == 0 || got%diskAlign != 0 {
			break
		}
	}
	return got, nil
}
