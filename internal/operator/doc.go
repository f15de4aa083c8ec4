// Package operator is the place from which a person works with a service: whom
// this machine trusts, with which key it signs, and what it remembers so that
// the service cannot change its story.
//
// # Directory
//
// All of it lies in one directory, $CUSTODY_CONFIG or custody in the user's
// configuration directory, readable by its owner only:
//
//	server.json                  server, principal, key, pinned ledger key
//	session.json                 the bearer token of the present session
//	ORIGIN.policy                the policy of package verify for that ledger
//	checkpoints/ORIGIN           the newest checkpoint this machine saw, a signed note
//	receipts/ID.tlog-proof       the receipt of the entry with that payload id
//	receipts/entry-SEQ.tlog-proof  that of an entry the service made for this person
//	forks/ORIGIN-SIZE-HASH-*.note  two signed notes that are not of one history, or not shown to be
//	forks/ORIGIN-SIZE-HASH.notes   the same, one of which another machine saw
//	intakes/ID.json, ID.marks    an intake that is not sealed yet
//
// where the slashes of an origin are written as '+'.
//
// # Trust
//
// The ledger's key is pinned once, by [Setup]. From then on every receipt must be
// signed by it, must show exactly the payload and signature that were sent, and
// its checkpoint must be proven consistent with the newest one seen before; so
// must the checkpoint that each command asks for first. Two notes of the ledger
// that contradict each other are kept, and the error is verify.ErrNotConsistent; so are
// two of which the service refuses to prove that one became the other, as ErrUnproven.
//
// # Recording
//
// A payload is made and signed once. When no answer comes the same bytes are sent
// again, which records them once. When the subject has changed meanwhile, the
// payload is made anew only where the operation says the same about any state
// of its subject; everything else is for the person to look at.
//
// # Intakes
//
// An intake is written down before it is declared, and its marks (package source)
// as they come, so that another process goes on without hashing or sending again
// what is durable. Losing the newest marks costs hashing, never correctness.
package operator
