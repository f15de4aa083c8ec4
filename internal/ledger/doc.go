// Package ledger is the format of the custody ledger and the arithmetic on it: the
// envelope, the two chains, the tree, the checkpoint, the signer and the receipt.
// It does no I/O but the signer's state file, takes the time from its callers, and
// this comment is all that is needed to write it again.
//
// # Envelope
//
// Each entry of the ledger has an envelope, one JSON object in ASCII with exactly
// these members in this order, no white space and no newline (broken here only
// for print):
//
//	{"case":"<32 hex>","cprev":"<64 hex>","cseq":<int>,"log":"<origin>",
//	"payload":"<64 hex>","prev":"<64 hex>","seq":<int>,"sig":"<64 hex>",
//	"time":"<time>","type":"<type>","v":1}
//
//	case     the case's id, 16 random bytes; zeros for the entries of no case
//	cprev    leaf hash of the same case's entry before, zeros for its first
//	cseq     place among the entries of the same case, from 0
//	log      origin of the ledger, 1 to 100 of a-z 0-9 . / _ -
//	payload  SHA-256 of the payload, what happened
//	prev     leaf hash of entry seq-1, zeros for entry 0
//	seq      place in the ledger, from 0
//	sig      SHA-256 of the payload's armoured SSH signature
//	time     the server's clock in UTC, YYYY-MM-DDTHH:MM:SS.ffffffZ, from 1970 on,
//	         no leap second, never less than in the entry before
//	type     event, keys, anchor, erase or seal
//	v        the version of this format
//
// Hexadecimal digits are lower-case, ints decimal from 0 to 2^53-1 without spare
// zeros. So a value has one spelling, and what ParseEnvelope accepts AppendTo
// writes back byte for byte. The entries of no case are chained by cseq and cprev
// like those of any case.
//
// The file entries.jsonl holds the envelopes from entry 0 on, each followed by a
// newline, the last one too.
//
// # Leaf hash and tree
//
// The leaf hash of an entry is SHA-256(0x00 || envelope), and the tree over the
// leaf hashes is that of RFC 6962, section 2.1: interior nodes are
// SHA-256(0x01 || left || right), the left subtree is the largest power of two
// smaller than the whole. By hand, for entry 7:
//
//	{ printf '\0'; sed -n 8p entries.jsonl | tr -d '\n'; } | sha256sum
//
// which is also prev of entry 8 and cprev of the case's next.
//
// # Checkpoint
//
// A checkpoint says what the ledger held at some size. It is a C2SP
// tlog-checkpoint without extension lines: origin, size in decimal, root in base64;
// an empty line; and a signature line of the ledger's Ed25519 key, whose name is
// the origin (C2SP signed-note). Lines of other keys, the witnesses, may follow.
//
//	example.org/custody
//	12
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.org/custody Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//
// What is signed is everything before the empty line. The verifier key is the text
// origin+id+base64, where the base64 is of 0x01 and the 32 bytes of the public key,
// and the id is the first four bytes of SHA-256(origin || 0x0A || 0x01 || key). By
// hand, for the key VKEY of the ledger ORIGIN, where the twelve bytes are how a
// SubjectPublicKeyInfo of Ed25519 begins (RFC 8410):
//
//	{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'
//	  echo "$VKEY" | cut -d+ -f3- | base64 -d | tail -c 32; } > ledger.der
//	sed '/^$/,$d' checkpoint > body
//	grep -F -- "— $ORIGIN " checkpoint | head -n 1 | cut -d' ' -f3 | base64 -d | tail -c 64 > sig
//	openssl pkeyutl -verify -pubin -keyform DER -inkey ledger.der -rawin -in body -sigfile sig
//
// # Cosignature
//
// A witness who has seen that a checkpoint continues all those that it saw before adds a
// signature line of its own (C2SP tlog-cosignature, Ed25519). Its key is the text
// name+id+base64, where the base64 is of 0x04 and the 32 bytes of the public key, and the
// id is the first four bytes of SHA-256(name || 0x0A || 0x04 || key). The line's base64 is
// of the id, eight bytes of seconds since 1970, big-endian, and the signature over
//
//	cosignature/v1
//	time 1770000000
//	<the checkpoint up to its empty line>
//
// The ledger's line stands first, the witnesses' after it.
//
// # Receipt
//
// A receipt shows that one entry stands in the ledger. It is a C2SP tlog-proof: the
// envelope in the extra line, its index, the inclusion proof (RFC 6962, section
// 2.1.1) one base64 hash a line from the leaf's sibling upwards, an empty line, and
// a signed checkpoint whose tree holds the entry.
//
//	c2sp.org/tlog-proof@v1
//	extra <base64 of the envelope>
//	index 7
//	<base64 of 32 bytes>
//	...
//
//	<checkpoint>
//
// # Segment
//
// A ledger lies in a store as segments, runs of 1 to 4096 entries: segment
// "ledger-N", N being the number of its first entry in 16 digits, and its payloads,
// "payload-N", apart. None is larger than 16 MiB, and the next begins where one ends.
// The first object has a header, then each envelope as in entries.jsonl, with the
// length of its armoured signature in bytes, the signature and a newline; an empty
// line; and a signed checkpoint over exactly the entries up to the segment's end:
//
//	custodyd ledger segment 1
//	from 7
//	to 8
//	payloads payload-0000000000000007 1134 <SHA-256 of that object, 64 hex>
//	{"case":"…","cprev":"…",…,"v":1}
//	signature 305
//	-----BEGIN SSH SIGNATURE-----
//	…
//	-----END SSH SIGNATURE-----
//
//
//	<checkpoint>
//
// The other has each payload behind the number of its entry and its length in bytes,
// and before a newline:
//
//	custodyd payload segment 1
//	from 7
//	to 8
//	payload 7 1037
//	{"action":"…",…}
//
// Payloads come first and their segment second, so a segment never names what is not
// there. Payloads that no segment names are left by an interruption between the two;
// then the segment names its own "payload-N-2", or -3, and so on. Where an object lies
// under the name of a segment that is none of the ledger's (whoever may only write to the
// store can put one there), the segment is "ledger-N-2", or -3, and so on: readers take
// the first that holds.
//
// # Tiles
//
// The tree and the envelopes are read by others as C2SP tlog-tiles: a tile is 256
// hashes of one height side by side, 32 bytes each, a bundle the 256 envelopes under a
// tile of level 0, each after its length in two bytes. The last ones of each level are
// narrower until the tree has grown. By hand, for the leaf hash of entry 7:
//
//	tail -c +225 tile/0/000.p/12 | head -c 32 | od -An -tx1
//
// # Checking
//
// Checker takes the envelopes of a whole ledger one by one. A change shows at the
// entry itself, or where the next entry was chained to what stood there before, and
// in the root. The check goes on after each finding, and no finding can hide another
// far away, because each line is judged only against the line before it and the
// newest line of its case before it, whatever was wrong with those:
//
//   - A line that is no envelope takes the place of the entry that was due. The
//     entry after it is not held against it by prev; its case may miss it by cseq.
//   - Where seq is less than the one due, nothing else about the place is judged.
//   - Where seq is more, prev is not: its entry is not there.
//
// Entries dropped from the end leave no trace in the envelopes. Only a checkpoint
// shows that: its size and root have to be those of the checker.
//
// CaseChecker takes the entries of some cases only. There seq has gaps; the chain
// of each case has none.
//
// # Signer
//
// A checkpoint is signed only with proof that its tree begins with the last signed
// one (RFC 6962, section 2.1.2). The signer keeps that last one in a file of its
// own and makes the next durable there before its signature leaves. Where that file is
// lost it begins again from a checkpoint with the key's own signature.
package ledger
