// Package custody holds every operation of the service. Each makes one
// permission check, asks the law of package evidence once, and commits once.
//
// # Order
//
// Object first, entry second, published checkpoint third. Before the database
// transaction of an operation commits, nothing happened; after it, everything
// did. What a crash leaves between two durable steps, and what makes it good:
//
//	after the step                        what is there                     who goes on
//	intake.declared committed             the entry, an upload to receive   the client sends bytes, or abandons
//	Begin of the store's upload           an empty upload, not noted        Open, or the next write, has the store
//	                                                                        forget it, and the next write begins another
//	a part is durable                     a part, not noted                 the same part is written again
//	the part is noted                     offset and hash state, and with   the client sends from the offset; after the
//	                                      the last one that all are there   last one Open resumes the job
//	Complete of the store's upload        the object, not noted             Open resumes the job: Complete again gives
//	                                                                        the same object
//	inside a Copy, or a Put of the        an upload that nobody knows,      Open has the store forget it, before it
//	midstate list, a log or a file list   perhaps as large as the copy      resumes the job; the client attaches again
//	a Copy                                the object, not noted             Open resumes the job: the key is taken, what
//	                                                                        is there is made durable and locked (Extend)
//	the midstate list is put              the list, not noted               the same; the list is read and must be the same
//	Attach put a log or a file list       the object, not noted             the client attaches it again: the same
//	facts noted (phase ready)             all objects, explained by the     the client asks for the facts and signs
//	                                      declaration
//	copy.sealed committed                 the copy, no checkpoint over it   Open signs a checkpoint; the client sends the
//	                                                                        same payload and gets the receipt
//	intake.abandoned committed            an upload nobody will go on with  Open resumes the job: the writer ends, the
//	                                                                        store forgets the upload, then the database
//	payload.erased committed              the pages as they were before, in       Open has the database write its log back and
//	                                      the log of the database                 cut it (Scrub)
//	a time stamp is noted                 the token, and no entry that      the loop of the time stamps writes the entry
//	                                      tells of it
//	checkpoint.anchored committed         the entry, no object with what    the same loop puts the object
//	                                      it tells of
//	checkpoint signed                     it is with the signer, not in     Open signs the same checkpoint again
//	                                      the database
//	the payloads of a segment are put     payloads that no segment names    the next segment names its own, under the
//	                                      yet                               next name if they are others
//	the segment is put                    it is in the store, not noted     Open, or whoever finds the key taken, holds
//	                                                                        it against the database and takes it up
//	inside a Put of either                an upload that nobody knows       Open has the store forget it
//	rebuild made the database             a ledger without the signer's     rebuild says what to move away, and is run
//	                                      state or the marker: not served   again
//
// What the service notes for itself may be lost, and so may the store forget an
// upload: then the intake begins again at its first byte.
//
// The third hash is read from the medium after the bytes were made durable there:
// part by part while later parts still come, where the store can give them back,
// and otherwise once the object is complete. What happens to the medium after
// that is for the next fixity check to find.
//
// An object is therefore always explained: its key is that of an intake, and
// the intake was declared before the first byte. A read of content is an entry
// before the first byte leaves.
//
// # Publication
//
// What is signed is put into the object store under object lock, as segments of package
// ledger, after Config.PublishWithin: that long an entry that was acknowledged is in the
// database alone, and others share its segment. Nothing waits that an export's seal
// covers, nor a full segment; [Service.Close] waits for the last one, and what was signed
// before an alarm is put too. Config.MaxUnpublished bounds
// what would be lost with the database; beyond it no entry is taken (nor is evidence
// read, which would be one) until the store takes segments again. Segments are noted in
// the transaction of the next entries, so nobody waits for that.
//
// Whoever puts a segment where one lies that the database does not hold, or starts on a
// database that the store is ahead of, meets a [ConflictError]: the database was rolled
// back, or two of them go on from one. What the ledger's key did not sign is no conflict:
// whoever may only write to the store can put it there. It is told of, and the segment gets
// its next name. A delete marker hides nothing from that. [Rebuild]
// makes the database again from the store and the keys alone.
//
// # Suspects
//
// Whoever finds that the store does not give an object as it was sealed has the
// service check that copy: a fetch, which hashes what it sends, an export, or the
// making of a working copy, which waits until the check is an entry, and begins again
// after a crash. The service signs what the check finds for nobody but itself. A
// store that cannot be asked at all is no finding, and is waited for.
//
// # Erasure
//
// An erased payload leaves the database in the transaction of the entry that erases it,
// with the texts that nouns had of it, and its bytes the files soon after (scrubs). In its
// place is what is left ([evidence.Residue]), which the service holds against the payload
// before it records the erasure, and the start and every audit against the erasure. What
// erasing does not reach: the segments in the store until their lock ends, tool logs and
// lists of files sealed with a copy, bundles, backups. A rebuild brings nothing back.
//
// # One committer
//
// One goroutine takes all waiting appends, without a timer, into one
// transaction, up to an export's seal: with that the checkpoint of its bundle
// ends. An append that the law refuses fails alone. When a commit's
// outcome is unknown, or the signer refuses, the service stops for good
// ([Service.Stopped]): the restart reads what is there, the client retries with
// the same payload and gets the same receipt.
//
// # Self-audit
//
// The database is not believed while the service runs. What a transaction committed, and
// the entry before it, is read again through another connection before it is signed over:
// it has to be what was handed in, nothing else may stand beside it, and the root to be
// signed has to be that of the tree that the service holds in memory. A start judges what
// lies behind the signer's last checkpoint, signatures and law included, before it signs
// it: a crash leaves true entries only.
//
// And the whole ledger is audited again and again, at Config.AuditRate entries a second:
// tables and triggers as they were made, then every entry up to the newest checkpoint as
// [verify.Ledger] judges it, with the tree's hashes and the checkpoints, and at the end
// the rows against the state that the entries make. It reads a page a transaction; only
// the rows are read in one, after what was recorded meanwhile has been taken into the
// state. It holds what [verify.Ledger] holds, at most 1.5 KB an entry. A finding is an alarm,
// and so is a database that cannot be read three times in a row, minutes apart
// ([ErrUnread]): nothing more is written or signed ([Service.Alarm]), and what only reads
// the ledger goes on. What was changed and
// put back between two passes is not found, and is not there.
//
// Who meets an edited entry first does not wait for that. For a history, a receipt, an
// export or the public log each entry is held against its envelope, and that against the
// tree, and what is left of an erased one against its erasure. One that does not hold is
// the same alarm, and the reader is told which it is ([EntryError]) and gets nothing of it.
//
// # Witnesses
//
// One loop has the outside witnesses cosign the newest checkpoint whose entries all lie in
// the object store, all of them the same one, never in an append's way. So what is lost
// with the database was not cosigned, and a ledger that is rebuilt from the store goes on.
// (A start asks about all that is signed: it puts what a crash left right after.) The
// checkpoint that an export's seal made comes before any larger one: the bundle carries
// exactly that. A witness that knows a larger checkpoint, or one that this ledger does not
// continue, is a [*ConflictError]: at the start, before anything is written, the service
// does not begin; later it stops writing. The proof is what it shows, signed by this
// ledger's key. One that refuses and shows nothing that contradicts is told of, and
// believed after three rounds in a row: nobody signed that answer. One that is not reached,
// or loses its memory, is told of and asked again.
//
// What was cosigned for an export, and now and then beside that, is kept for good: it is
// noted as kept, put into the store as witnessed-SIZE, and the object is noted. What a
// crash leaves between these the next start goes on with. Where a stranger's object has that
// name it is witnessed-SIZE-2, or -3, and so on; readers take the first that holds. One that
// cannot be put waits, and others do not wait for it. Time stamps are named in the same way.
// Who may write to the store can have put the checkpoint there first, with fewer lines: a
// rebuild takes that one, nothing rests on it, and the other stays in the store.
//
// # Who signs
//
// A person signs what a person decides: [Service.Record]. What the service
// itself does or notices (reads, fixity, quarantine, denials, exports, its own
// start) it signs with its own SSH key, naming the person it acted for.
package custody
