// Package witness is both sides of C2SP tlog-witness: the server that other labs, law
// firms and courts can run for a ledger, and the client with which a ledger asks them.
//
// A witness keeps, of each ledger that it was told to, the largest checkpoint that it has
// cosigned, and cosigns another one only with proof that it continues that one. Who has
// shown one ledger to a witness cannot show it another, whatever keys it holds. That is
// all a witness says: it never sees an entry.
//
// # Protocol
//
// A ledger sends POST PREFIX/add-checkpoint with
//
//	old 12
//	<consistency proof from size 12, one base64 hash a line, at most 63>
//
//	<checkpoint>
//
// and is answered with
//
//	200  the witness's signature line over the checkpoint (C2SP tlog-cosignature, type 0x04)
//	400  this is no such request, or old is larger than the checkpoint's size
//	403  the checkpoint does not carry a valid signature of the ledger's key
//	404  the witness does not know the ledger
//	409  old is not the size that the witness holds; that is the body, as text/x.tlog.size
//	422  the proof does not hold, or a checkpoint of this size has another root
//
// To another root of the same size the C2SP text has a 409 (SPEC: "If they don't match, the
// witness MUST respond with a \"409 Conflict\" HTTP status code."), transparency-dev/witness
// answers 422, and so does this one: a 409 without a size tells a client nothing that any
// proxy could not. The client takes both.
//
// Everybody may ask GET PREFIX/<SHA-256 of the origin in hex>/checkpoint for what the
// witness holds, with both signatures: two who compare what they were shown need no more.
// Checkpoints with extension lines are a 400: nobody could audit what those claim.
//
// A 409 and a 422 are not signed, and http addresses are allowed. So a client that is
// refused asks what the witness shows, and takes that, signed by its own ledger, as proof of
// a fork; the bare words of an answer it has to hear more than once.
//
// # State
//
// The directory of a witness holds
//
//	witness.key        its secret key; also the lock, so that no two run on one state
//	HASH.checkpoint    the largest checkpoint cosigned of the ledger with that origin hash,
//	                   with the ledger's line and the witness's
//	HASH.fork          the first signed checkpoint that proved the ledger forked: as large
//	                   as one cosigned before, with another root
//
// A checkpoint is durable in its file before its cosignature leaves. A file appears whole
// or not at all, and must carry both signatures when it is read again. Who can delete the
// file makes the witness forget: its host is what a witness is trusted for.
package witness
