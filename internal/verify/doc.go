// Package verify judges what left the service: bundles, receipts and files, by the
// verifier's own [Policy] and the law of package evidence. It works without a network
// and believes nothing that a server or a bundle says of itself. It does no I/O of its
// own but reading the files that it is to judge.
//
// # Bundle
//
// [Bundle] lists everything that is wrong, not the first thing, each with a [Code]
// that stays for ever:
//
//	container     the faults of package bundle: names, bounds, manifests, sums
//	checkpoint    signed by the policy's key, and its parts for openssl are its parts
//	envelopes     form, both chains, order, ledger
//	inclusion     every envelope stands in the tree of the one checkpoint
//	payloads      hash, canonical form, and what they and their envelopes both say
//	signatures    by the key that was the actor's at that entry
//	law           evidence.Apply on a replay of all entries
//	ends          the newest entry of the case is the seal, and both chains end as it says
//	objects       midstate lists, logs and lists of files are those that were sealed
//	contents      every byte, on all cores by midstates, with the damaged ranges
//
// Without a policy all this is checked against the key that the bundle brings. That
// shows that the bundle agrees with itself and nothing more: the verdict is incomplete.
// [Report.NotChecked] says what no verdict covers.
//
// After a finding the judgement goes on: entries whose payload was exchanged are
// still replayed, so that the next finding is one of its own and not an echo. Where an
// entry cannot be read or breaks the law it changes nothing, and entries that build on
// it break the law too.
//
// # Policy
//
// A policy says which ledger the verifier means and whose key speaks for it. It is a
// text file, <origin>.policy with the slashes of the origin written as '+', of lines
// each ended by LF:
//
//	# comment
//	origin lab.example/custody
//	log lab.example/custody+1b2c3d4e+AfJ…
//	witness witness.example/w1
//
// origin and log stand there once and agree; witness may stand there for each witness
// whose signature the verifier demands. This version knows no witnesses' keys, so a
// policy that names one makes the verdict incomplete.
package verify
