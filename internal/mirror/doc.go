// Package mirror keeps a copy of a ledger as C2SP tlog-tiles files, for monitors and
// for anybody who wants the ledger to be in more than one place.
//
// # Directory
//
//	checkpoint                the newest signed checkpoint that was mirrored
//	tile/LEVEL/N              a full tile of hashes; N in elements of three digits
//	tile/LEVEL/N.p/WIDTH      a partial one
//	tile/entries/N            a bundle of 256 envelopes
//	tile/entries/N.p/WIDTH    a partial one
//	forks/SIZE-HASH.notes     signed checkpoints that contradict each other
//
// Any web server may serve it as it is. Partial tiles of earlier checkpoints stay until
// the full one is there.
//
// # Trust
//
// Nothing is written that was not shown to lie under the checkpoint: the checkpoint is
// signed by the ledger's key, which is the caller's; the partial tiles lead to its root;
// each full tile leads to its hash in the tile above; each envelope hashes to its place
// in the tile of level 0; and the tree begins with the tree that was mirrored before. A
// checkpoint that does not go on from the mirror's own is kept with it in forks: the two
// prove it to anybody. Whether envelopes are chained is for package verify.
//
// # Order
//
// Tiles go from the root down, bundles behind their tiles, each file written aside,
// made durable and renamed, and the checkpoint comes last. So an update that was
// interrupted goes on where it was, with what is there checked again, and the
// checkpoint never speaks of a file that is not there.
package mirror
