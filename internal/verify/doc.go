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
//	witnesses     those that the policy demands have cosigned the checkpoint
//	envelopes     form, both chains, order, ledger
//	inclusion     every envelope stands in the tree of the one checkpoint
//	payloads      hash, canonical form, and what they and their envelopes both say
//	signatures    by the key that was the actor's at that entry
//	law           evidence.Apply on a replay of all entries
//	ends          the newest entry of the case is the seal, both chains end as it says, and
//	              the checkpoint ends with it: else the bundle was cut back to an earlier one
//	bag           bag-info.txt, which nobody signs, says what the entries say
//	objects       midstate lists, logs and lists of files are those that were sealed; a list
//	              of files has the files and bytes that were declared
//	anchors       every time stamp is over a checkpoint of this ledger, by an authority of the
//	              policy, and not older than what it covers; as many as the policy demands
//	contents      every byte, on all cores by midstates, with the damaged ranges; of a set
//	              each file by its hash in the list
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
// What an attacker wrote is told in plain text, and of each code a thousand times at
// most: [Found] has the number of the others.
//
// # What is withheld
//
// A payload that is missing is a finding, unless the newest seal, whose bytes its envelope
// fixes, states that it is withheld; then it is a finding that it is there. Of a withheld
// entry everything else is judged: form, chains, inclusion, the signature's hash, and that
// the key in the signature was somebody's then; only whether it is a signature of that
// payload cannot be. The law is asked of all others. Where it finds that something is not
// there, or not in the state that it should be, in a case of which something was withheld
// before, that is no finding if it can come of what is not shown, see evidence.Absent. The
// entry is told as one of which the law could not be asked, and the nouns are then those that
// it states itself, beside those that are shown and never in their place. All else that the
// law says is a finding as ever: what events say of themselves, of people, of digests, of an
// intake that has ended, of a label or number that is taken, of a finding that is open. The
// other way round nobody can tell: what is withheld can be a hold, the end of the case, or
// what quarantines a copy, and forbid what is shown behind it. [Report.NotChecked] says so.
//
// In a pseudonymous bundle there are no people. Each principal signs with the key of its
// first signature, no two with the same one, and allowed_signers must be these keys; the
// law takes everybody to be enrolled and allowed. The verdict on what is shown is verified
// all the same, [Report.Withheld] and [Report.NotChecked] have the rest, and with
// [Options.Complete] such a bundle is incomplete: whether to be content is up to the verifier.
//
// # Entries of a newer service
//
// A payload of a later version, or with an action that is not in the closed set, is no
// tampering if its envelope, its canonical form and its signature are right: it is an
// unknown-action, and the verdict is incomplete. It may have changed anything of its
// case, or, of no case, of all; so what the law says behind it, and what is missing or
// too much, is an unknown-action too. If its entry is of type keys, so is a signer who is
// not known or a signature that does not hold. None of that is ever verified.
//
// # Erased payloads
//
// A payload may be missing if an entry of type erase of the same case, behind it, names the
// entry by number and leaf hash. What that leaves stands in its place in the replay, and
// [Report.Erased] says by whom and why; with [Options.Complete] the bundle is incomplete. What an entry erases that is not so is an erasure:
// an entry that is not there before it or has another hash, or, where the payload can still
// be had, a residue that is not that payload's. The signature of what is erased is only held
// against the key of its actor, and the report says so.
//
// # File
//
// [File] judges whether a file is a copy of a bundle, and which. Bytes that are the
// sealed ones of quarantined copies alone are a finding all the same: they are that
// copy, and the record says that the copy is not what it should have been.
//
// # Ledger
//
// [Ledger] judges a whole ledger with all that its keeper keeps beside it: columns,
// stored hashes of the tree, every signed checkpoint, and what the signer remembers. It
// is how a service audits itself.
//
// # Receipt
//
// [Receipt] and [Consistent] judge the answers of a service: that an entry is the one
// that was sent, and that the ledger goes on as it was.
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
//	witness court witness.court.example/w1+5a6b7c8d+BPk…
//	witness north lab-north.example/witness+9e8f7a6b+BOq…
//	witness south lab-south.example/witness+0c1d2e3f+BLr…
//	group labs any north south
//	group both all court labs
//	quorum both
//	authority lab2 MIIB…
//	authority notary MIIC…
//	anchors 1
//
// origin and log stand there once and agree. The other words are those of C2SP
// tlog-policy, with one space between them and without URLs. witness names a witness and
// its key, of type 0x04, no key twice and none that is the ledger's; group says how many
// of its members, which stand above it and in no other group, have to stand behind a
// checkpoint: a number, any or all; quorum says which witness or group has to, and where
// there are witnesses it must be there, if only as quorum none.
//
// # Witnesses
//
// The lines of witnesses in a checkpoint (C2SP tlog-cosignature) are told one by one in
// [Report.Witnesses]. Where the quorum is not reached it is a finding, and so is a line
// that stands there in the name of a witness of the policy and does not hold. Lines of
// keys that the policy does not know prove nothing to this verifier, and are only told.
//
// # Time stamps
//
// authority names a time-stamping authority (RFC 3161) as the ledger calls it, and a root
// certificate in base64 of its DER, no root twice; an authority with several roots has
// several lines. Roots under two names have neither the same key, nor did one issue the
// other. anchors says how many authorities must have stamped the bundle's own checkpoint,
// each with a key of its own: fewer are an anchor-quorum. The line of a root in PEM, by hand:
//
//	printf 'authority %s %s\n' lab2 "$(openssl x509 -in root.pem -outform DER | base64 -w0)"
//
// Each time stamp is told in [Report.Anchors]. It must be over a checkpoint that the
// ledger's key has signed and that the bundle's checkpoint continues, be the one that the
// ledger's own entry tells of, where it tells of one, and verify by package timestamp
// against the roots of its authority: else it is a finding, anchor. Without a root for it
// the authority is not believed, and the time stamp is unchecked.
//
// A time stamp that is dated before the newest entry that it covers, by more than its
// accuracy and timestamp.Tolerance, is a finding, anchor-time: one of the two clocks was
// wrong, or set so. The other way round, an entry that is dated before the time stamp that
// it tells of shows that the ledger's clock was behind: that is a note, for who dates an
// entry back says less of it, not more. That an entry is dated long before the first time
// stamp over it shows nothing but that nobody could be asked until then; where it is the
// bundle's own checkpoint and more than an hour, that is noted, as with witnesses.
//
// A time stamp that an entry tells of, the first over some entry of the case, belongs into
// the bundle: one that is not in it is named in [Report.NotChecked]. That alone is no
// finding, for who takes a proof away is left with less of it; anchors demands one.
package verify
