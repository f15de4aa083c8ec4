// Package source is what an examiner names to be taken into custody, read as
// one stream of bytes.
//
// # Sets
//
// A source is one file, or a set: files that are kept as one copy, whose content
// is their bytes one after the other.
//
//	disk.dd                    one file
//	disk.001                   with disk.002 … beside it: a split image, found from its first part
//	disk.001 disk.002          the same, named in full; the order is checked
//	disk.0001                  likewise, with as many digits as the first part has
//	disk.E01                   likewise, up to E99; what follows has to be named
//	auth.log messages          a set of files in the order they were named
//	/var/log                   every regular file below it, in the order of their relative paths
//
// A part that is missing between two others is refused, and so is everything
// that is no regular file: reading a device is the work of an imaging tool, and
// a link is not what it points to. Below a directory such things can be left out,
// but only when the caller was told so and agreed.
//
// # One pass
//
// A [Pass] reads the source once. The same read feeds the digests and whoever
// reads, normally an upload. At every step (16 MiB, more for great sources) it
// leaves a [Mark], from which the pass can go on later: after a cut connection,
// in another process, after a reboot. A file is the one that was named if path,
// size, time of modification and, where the system has them, device and inode are
// the same when it is opened and when its last byte was read; otherwise the pass
// fails with [ErrChanged].
package source
