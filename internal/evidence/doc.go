// Package evidence is the custody law: the nouns of the field, the closed set
// of events that may happen to them, and [Apply], the one function that knows
// which event may follow which. The server asks it before it records an event;
// the offline verifier asks the same function on replay. It is pure: no ledger,
// no clock, no network, no database.
//
// # Payload
//
// A payload is what happened, in the words of whoever signs it: one JSON object
// in RFC 8785 (JCS) form, at most 48 KiB, made once and never marshalled again.
//
//		{"action":"exhibit.added","actor":"examiner1","at":"2026-03-01T09:30:00.000000Z",
//		 "body":{"kind":"disk","label":"E-001",…},"case":"<32 hex>","id":"<UUIDv7>","log":"<origin>",
//		 "salt":"<64 hex>","seen":"<64 hex>","tool":"custody-cli 1.0","v":1}
//
//	  - action selects the shape of body, see the table below; members that a
//	    shape does not have, and second spellings of a value, are refused: what
//	    [Parse] accepts re-encodes to the same bytes. An empty member is left out.
//	  - actor signs. Entries the service makes itself are signed by the principal
//	    "custodyd" and name the person they were made for in on_behalf_of, which
//	    no other entry has.
//	  - at is the actor's own clock; the ledger's clock stands in the envelope.
//	  - id is the idempotency key, unique in the log. salt is 32 random bytes, so
//	    that the payload's hash in the public envelope tells nothing.
//	  - seen is the hash of the newest entry of that case the actor had seen, 64
//	    zeros when there is none. It must stand in the case's chain, and the
//	    subject of the event must not have changed since ([ErrStale]): nobody
//	    signs over a state they did not see.
//
// The form of every payload stands in schema/payload, as JSON Schema.
//
// # Events
//
//	action             signed by  permission       what it does
//	person.enrolled    person     person.enrol     a principal, its key and roles (entry type keys)
//	person.revoked     person     person.revoke    the key signs nothing from here on (keys)
//	service.started    service    -                version, object store and what it can prove
//	checkpoint.anchored service   -                which authorities time-stamped which checkpoint (anchor)
//	case.opened        person     case.open
//	case.closed        person     case.close       nothing comes in, no content leaves
//	hold.placed        person     hold.place       a legal hold: nothing of the case is erased
//	hold.lifted        person     hold.lift        one hold less
//	payload.erased     person     payload.erase    an entry's payload is taken away (entry type erase)
//	exhibit.added      person     exhibit.add      the original, where found and who witnessed
//	intake.declared    person     intake.declare   an upload is announced, with its acquisition
//	intake.abandoned   person     intake.abandon   an announced copy will not come
//	copy.sealed        person     intake.seal      three equal hashes and the locked objects
//	copy.quarantined   service    -                the hashes differ: sealed away, with a finding
//	copy.requested     person     copy.issue       a working copy is to be made, for whom and why
//	copy.issued        person     copy.issue       it was made, re-hashed, bound to that person
//	content.read       service    copy.fetch       bytes are about to leave, to whom
//	copy.received      person     copy.fetch       what arrived at the person, by its own hash
//	copy.returned      person     copy.return      what came back
//	fixity.checked     service    copy.verify      match, mismatch (a finding) or unreadable
//	access.denied      service    -                somebody asked for what they may not have
//	case.exported      service    export.create    a bundle left; the end of its chain, and what was withheld (seal)
//
// Where the service signs, the permission is that of the person it acts for.
//
// # A closed case
//
// A case closes when all that was announced has been sealed, issued, quarantined
// or abandoned. From then on no exhibit, intake or copy is added and no content
// read, into a bundle neither. What remains lawful is to look at what there is, and
// to say what becomes of what had left: fixity.checked, with its findings;
// case.exported without content; access.denied; copy.received of what was fetched
// before; copy.returned. Working copies stay bound to their persons until they are
// returned, and open findings stay open: closing decides neither. No event opens
// the case again.
//
// # Holds
//
// A case, open or closed, is under any number of legal holds, each with a name, the
// authority that demands it and a reason. A hold stops what would take something away:
// while there is one, nothing of the case is erased ([ErrHeld]). It does not stop the
// work, and a case is closed under it: closing takes nothing away. Whoever may erase
// cannot lift a hold by the same role.
//
// # Erasure
//
// payload.erased takes the payload of an earlier entry of its case away, by number and
// leaf hash. The envelope stays, with the hashes of payload and signature; so does the
// signature, which nobody can check any more. In the payload's place stands its residue,
// which the erasure carries and its actor signs: the same event with "[erased]" for every
// text that somebody wrote in its body (titles, descriptions, names of witnesses and
// places, reasons, purposes, file names, command lines), and with the SHA-256 of that word
// for its salt, as with the true salt a guess at the text could be compared with the
// envelope. [Residue] is the table. What the state is folded from stays: ids, references,
// labels, principals, sizes, digests, objects. (So no name of a person belongs into a
// reference or a label.) The nouns lose the texts with the entry: the state then is what a
// replay comes to that reads the residue in the entry's place.
//
// Only entries of type event that a person signed are erased: people, exports, erasures and
// what the service records stay, and an entry without a text in it has nothing to erase. So
// a finding cannot be erased in the guise of something else, for a signature shows whose it
// is. The text "[erased]" and that salt stand together in a residue and in nothing that is
// recorded. The service holds the residue against the
// payload before it records the erasure. Later nobody can: that the residue says the truth
// of what is gone rests on that check and on who signed it.
//
// # Three hashes
//
// copy.sealed needs declared (what the examiner's tool and client computed),
// received (what the server hashed while the bytes arrived) and read_back (what
// it hashed reading them from the store) to agree in every algorithm, SHA-256
// among them. Anything else is copy.quarantined, which in turn is refused when
// nothing differs: neither verdict can be recorded against the facts.
package evidence
