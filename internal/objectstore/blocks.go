package objectstore

import (
	"sync"
	"unsafe"
)

// Direct reads start, end and land in memory at multiples of diskAlign, which
// suits disks with sectors of 512 and of 4096 bytes.
const (
	diskAlign = 4096
	blockSize = 1 << 20
)

var blocks = sync.Pool{New: func() any {
	mem := make([]byte, blockSize+diskAlign)
	skip := -int(uintptr(unsafe.Pointer(&mem[0]))) & (diskAlign - 1) //nolint:gosec // the address decides the alignment
	b := mem[skip : skip+blockSize : skip+blockSize]
	return &b
}}

func getBlock() *[]byte  { return blocks.Get().(*[]byte) }
func putBlock(b *[]byte) { blocks.Put(b) }
