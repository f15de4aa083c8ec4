// Package bundle is the export container: one case, complete, in a form that can
// be checked years later with this program or with stock tools. It writes bundles
// as a stream and reads them as hostile input; whether what stands in one is true
// is judged by package verify.
//
// # Container
//
// A bundle is a bag (RFC 8493, BagIt 1.0) in a zip file, or unpacked in a directory.
// The zip has one top directory, named like the case's reference, and in it exactly
//
//	bagit.txt bag-info.txt manifest-sha256.txt tagmanifest-sha256.txt
//	data/README.txt                how to check all this by hand
//	data/verify.py                 how to check all this with Python alone
//	data/checkpoint                the signed checkpoint that all proofs lead to
//	data/checkpoint.body           what was signed, for openssl
//	data/checkpoint.sig            the 64 bytes of the Ed25519 signature, for openssl
//	data/ledger.vkey               the ledger's key as package ledger writes it, and a newline
//	data/ledger.pem                the same as SubjectPublicKeyInfo, for openssl
//	data/allowed_signers           every key that the bundle's keys entries enrol, for ssh-keygen
//	data/entries.jsonl             envelopes of the case's chain and of the chain of no case, by seq
//	data/payloads/SEQ.json         what happened, verbatim
//	data/payloads/SEQ.json.sig     its armoured SSH signature
//	data/proofs/SEQ.tlog-proof     receipt of the entry under data/checkpoint
//	data/midstates/COPY.midstates  SHA-256 chaining values of a copy (package digest)
//	data/logs/COPY.log             the imaging tool's log, verbatim
//	data/files/COPY.jsonl          the list of the files whose concatenation is the copy
//	data/content/COPY.bin          the bytes of a working copy issued for the export
//	data/anchors/SIZE.checkpoint   a checkpoint that was given to time-stamping authorities: what
//	                               they stamped, signed by the ledger and nobody else
//	data/anchors/SIZE.consistency  proof that data/checkpoint continues it (RFC 6962, section
//	                               2.1.2), a line of base64 for each hash; empty at the same size
//	data/anchors/SIZE-NAME.tsr     RFC 3161 response of the authority NAME
//	data/anchors/SIZE-NAME.pem     the certificates behind it, the signer's first
//	data/anchors/SIZE-NAME.crl.pem revocation lists of their issuers, as they were then
//
// where SEQ is the entry's number and COPY the exhibit's label and the copy's number
// with a hyphen between, such as E-001-M1, SIZE a number of entries, and NAME 1 to 40 of
// a-z 0-9 and hyphen. No name comes from a user's file.
// allowed_signers has a line for each enrolment, in the ledger's order, without
// validity: whether a key was valid is decided by the entry's place in the ledger.
//
// The newest entry of the case is case.exported, of type seal. It states where both
// chains stood, so that newest entries dropped from a bundle show.
//
// # Disclosure
//
// The seal also states what a bundle was made without. Of an entry that is withheld the
// payload is absent, and nothing else: envelope, signature and proof are there. With an
// entry that sealed a copy go all files of that copy, and with one that declared a copy
// its log and its list of files, which repeat it. Entries of type keys are withheld all
// together (pseudonymous): then allowed_signers has, instead of who was enrolled, a line
// for each principal that signed one of the payloads that are there, in the order of the
// first, with the key that stands in that signature. So its every byte follows from what
// the envelopes fix, and nobody is in it who does not act in the bundle. Text that people
// wrote into other payloads, logs and lists stays as it is, and can name somebody: withhold
// it too. So can a principal, or the application that a security key was made for.
//
// The payload of an entry that was erased is absent too. That is not stated by the seal
// but by the entry, of type erase and of the same case, that erased it and that carries what
// is left; logs and lists stay.
//
// The manifests have a line "<64 hex>  <path>" for each file and no more, paths
// without escapes. bag-info.txt has the four lines External-Identifier (the case's
// reference), Internal-Sender-Identifier (the ledger's origin), Bagging-Date and
// Payload-Oxum. Neither it nor README.txt nor verify.py is signed by anybody.
//
// # Writing
//
// [Write] needs no seeking. The same source gives the same bytes; the time of every
// file is that of the export. Metadata is deflated; manifests, envelopes, what belongs to one entry, content, midstates, logs
// and lists are stored, so that content can be read at any place. A source that is not what it
// states to be leaves a zip without its directory, which nothing opens.
//
// # Reading
//
// Every file must have one of the names above. A [Fault] is what is wrong with the
// container itself, and reading goes on behind it: names that are unknown, unsafe,
// double or alike but for case; links, encryption, unknown compression; sizes and
// compression beyond the bounds; rows of the manifests without file, files without row,
// sums that differ. Of each kind [MaxFaults] are kept, and the number of the others.
//
// A zip must read the same to all programs, be it by its directory or from member to
// member. From its first byte to its last it is members, each a local header, its bytes
// and perhaps a data descriptor (with signature), then the directory, then its end,
// without a comment; every number that stands twice is the same. Names, times and owners
// are all that a header can carry; compressed bytes end where the member does;
// directories are empty. So the writer and Info-ZIP's zip make it. Where the directory
// cannot be told, it is no bundle.
//
// Bounds are in path.go, open.go, zip.go and ziplayout.go.
package bundle
