package attack

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"os"
	"slices"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
)

// kept is a row of the ledger as its attacker holds it.
type kept struct {
	event                        []byte
	envelope, payload, signature []byte
}

// recompute gives the attacker all entries, and writes what he makes of them as a
// ledger that agrees with itself: envelopes, both chains, columns and the tree.
func (l *lab) recompute(change func([]kept) []kept) {
	l.t.Helper()
	l.edit(func(t *testing.T, db *sql.DB) {
		var entries []kept
		each(t, db, "SELECT event_id, envelope, payload, signature FROM entries ORDER BY seq", func(scan func(...any) error) error {
			var k kept
			err := scan(&k.event, &k.envelope, &k.payload, &k.signature)
			entries = append(entries, k)
			return err
		})
		for _, s := range []string{"DELETE FROM entries", "DELETE FROM hashes", "DELETE FROM checkpoints"} {
			_, err := db.ExecContext(t.Context(), s)
			must(t, err)
		}
		var head ledger.Head
		heads := map[ledger.CaseID]ledger.CaseHead{}
		var tree ledger.Tree
		var hashes []ledger.Hash
		for _, k := range change(entries) {
			e, err := ledger.ParseEnvelope(k.envelope)
			must(t, err)
			e.Payload, e.Sig = sha256.Sum256(k.payload), sha256.Sum256(k.signature)
			at := e.Time
			e = ledger.Next(head, heads[e.Case], e)
			e.Time = at // the law would not have it go back
			line := e.Bytes()
			leaf := ledger.LeafHash(line)
			head, heads[e.Case] = head.After(e, leaf), heads[e.Case].After(e, leaf)
			hashes = tree.Append(hashes, leaf)
			_, err = db.ExecContext(t.Context(), `INSERT INTO entries (seq, case_id, case_seq, event_id, leaf, envelope, payload, signature)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, e.Seq, e.Case[:], e.CaseSeq, k.event, leaf[:], line, k.payload, k.signature)
			must(t, err)
		}
		for i, h := range hashes {
			_, err := db.ExecContext(t.Context(), "INSERT INTO hashes (idx, hash) VALUES (?, ?)", i, h[:])
			must(t, err)
		}
	})
}

const rewritten = "is not a continuation of what was signed"

// exhibitAdded is the entry that the attacks change, with which a person said where the
// exhibit was found.
const exhibitAdded = 6

// lie changes what the entry says.
func lie(all []kept) []kept {
	all[exhibitAdded].payload = bytes.Replace(all[exhibitAdded].payload, []byte("Office 3.12"), []byte("Office 3.13"), 1)
	return all
}

var ledgerRows = []row{
	{
		attacker: "the database", does: "edits an entry",
		caught: "the service itself, which reads its ledger again and again, and stops writing; the next start (no signature), `custodyd audit`, any receipt or bundle",
		attack: func(l *lab) {
			l.up("--audit-rate", "100000")
			l.insider(`UPDATE entries SET payload = CAST(replace(CAST(payload AS TEXT), 'Office 3.12', 'Office 3.13') AS BLOB) WHERE seq = 6`)
			l.alarmed("payload-hash")
			l.down()
			l.refuses(rewritten)
			l.audit("payload-hash", "signature", "row-differs")
		},
	},
	{
		attacker: "the database", does: "deletes an entry",
		caught: "the next start, `custodyd audit`, any receipt or bundle",
		attack: func(l *lab) {
			l.insider(`DELETE FROM entries WHERE seq = 6`)
			l.refuses(rewritten)
			l.audit("entry-missing", "case-chain-sequence", "rolled-back", "root")
		},
	},
	{
		attacker: "the database", does: "puts entries in another order",
		caught: "the same",
		attack: func(l *lab) {
			l.insider(`UPDATE entries SET seq = 99 WHERE seq = 6`, `UPDATE entries SET seq = 6 WHERE seq = 7`, `UPDATE entries SET seq = 7 WHERE seq = 99`)
			l.refuses(rewritten)
			l.audit("entry-columns", "entry-repeated", "root")
		},
	},
	{
		attacker: "the database", does: "inserts an entry",
		caught: "the same",
		attack: func(l *lab) {
			l.recompute(func(all []kept) []kept {
				again := all[exhibitAdded]
				again.event = make([]byte, 16)
				return slices.Insert(all, exhibitAdded+1, again)
			})
			l.refuses(rewritten)
			l.audit("payload-id", "entry-columns", "law", "root")
		},
	},
	{
		attacker: "the database", does: "cuts off the newest entries",
		caught: "the same",
		attack: func(l *lab) {
			l.recompute(func(all []kept) []kept { return all[:len(all)-3] })
			l.refuses(rewritten)
			l.audit("rolled-back")
		},
	},
	{
		attacker: "the database", does: "restores an old one and goes on",
		caught: "the signer's own memory (no start), the store, every client's last checkpoint, any receipt or bundle",
		not:    "the service, if signer and store are taken back too",
		attack: func(l *lab) {
			old, err := os.ReadFile(l.path("data", "ledger.db"))
			must(l.t, err)
			l.up()
			l.must("examiner1", "case", "open", "--reference", "2026-0043", "--title", "T")
			l.down()
			l.write("data/ledger.db", old)
			l.refuses(rewritten)
			l.audit("rolled-back")
		},
	},
	{
		attacker: "the database", does: "changes an entry and recomputes all that follow, without the ledger's key",
		caught: "the next start, `custodyd audit`, any receipt or bundle; and the person's signature does not hold, nor those of all who saw that entry",
		attack: func(l *lab) {
			l.recompute(lie)
			l.refuses(rewritten)
			l.audit("signature", "law", "root")
		},
	},
	{
		attacker: "the database", does: "edits a projection (who holds what)",
		caught: "the service itself, in its next pass, and `custodyd audit`: the fold over the entries says otherwise",
		not:    "the running service, until then",
		attack: func(l *lab) {
			l.up("--audit-rate", "100000")
			l.insider(`UPDATE exhibits SET doc = replace(doc, 'Office 3.12', 'Office 3.13')`)
			l.alarmed("row-differs")
			l.down()
			l.audit("row-differs")
		},
	},
	{
		attacker: "the database", does: "appends entries that nobody signed",
		caught: "the next start, `custodyd audit`, `verify` of any bundle with them: no signature",
		attack: func(l *lab) {
			l.recompute(func(all []kept) []kept {
				forged := all[exhibitAdded]
				forged.event = bytes.Repeat([]byte{1}, 16)
				forged.payload = bytes.Replace(forged.payload, []byte("E-001"), []byte("E-002"), 1)
				return append(all, forged)
			})
			l.refuses(rewritten)
			l.audit("signature")
		},
	},
}
