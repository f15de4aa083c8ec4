// Package signer lets the checkpoints of a ledger be signed by another process, as
// another user of the operating system: it holds the ledger's secret key and its own
// record of what it signed last, and gives a signature only over a checkpoint that
// provably continues that one. Whoever takes over the service, or its database, can
// neither read the key nor have anything else signed.
//
// # Protocol
//
// HTTP/1.1 on a unix socket, with three requests; the names in a request's Host do
// not matter. Bodies are plain text.
//
//	GET /key     200, the verifier key of the ledger (package ledger) and a newline
//	GET /last    200, the body of the newest checkpoint that may have been signed:
//	             origin, size and root, a line each; size 0 before the first
//	POST /sign   asks for a signature, in the manner of C2SP tlog-witness: at most 63
//	             lines with a base64 hash each, the consistency proof from the newest
//	             one (RFC 6962, section 2.1.2); an empty line; and the body of the
//	             checkpoint to be signed
//
// To the last one the answer is
//
//	200  the signed note; what it is over was made durable before. The newest one
//	     itself is signed again, to the same bytes, and its proof is not looked at
//	400  the request is not of that form
//	404  the checkpoint is of another ledger
//	409  refused: it is smaller than the newest one, whose body is the answer
//	422  refused: it is not proven to continue the newest one, whose body is the answer
//	500  what was signed could not be made durable. The signer ends: a new one reads
//	     what the medium holds
//
// By hand:
//
//	curl --unix-socket /run/custodyd/signer.sock http://signer/last
//
// A request has at most 8 KiB and five seconds, and there are at most 16 connections:
// more of them wait.
//
// # Who may ask
//
// The socket is made with the mode 0660, in a directory that not everybody can write
// to, and never in a wider one: whoever may connect is in its group. Each connection
// is logged with the user that the system names (SO_PEERCRED), and refused unless
// that user is root, the signer's own, or allowed, where a list of users was given.
// What a stranger could do with a connection is to have true continuations of the
// ledger signed that the service has not asked for, and so to stop the service.
//
// # When the signer goes away
//
// A request that is not answered is asked again, on a new connection, until the
// client's patience ends. Nothing is lost by that: what a signer had made durable
// when it was killed, its successor signs again, and what it had not, its successor
// signs as new. While it waits the service acknowledges nothing; then it stops, and
// the next start has signed what was committed. A signer that comes back with another
// key is refused by its signature, one that comes back with an older record by the
// proof that it does not accept.
package signer
