package objectstore

import "unsafe"

// Direct reads start, end and land in memory at multiples of diskAlign, which
// suits disks with sectors of 512 and of 4096 bytes.
const (
	diskAlign = 4096
	blockSize = 1 << 20
)

// spare are blocks that nobody uses now: as many as a few readers need, kept in
// order not to allocate for every step. (A sync.Pool forgets at every collection.)
var spare = make(chan *[]byte, 16)

func getBlock() *[]byte {
	select {
	case b := <-spare:
		return b
	default:
	}
	mem := make([]byte, blockSize+diskAlign)
	skip := -int(uintptr(unsafe.Pointer(&mem[0]))) & (diskAlign - 1) //nolint:gosec // the address decides the alignment
	b := mem[skip : skip+blockSize : skip+blockSize]
	return &b
}

func putBlock(b *[]byte) {
	select {
	case spare <- b:
	default:
	}
}
