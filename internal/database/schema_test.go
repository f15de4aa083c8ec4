package database

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
)

// furnish fills every table with a few good rows.
var furnish = []string{
	"INSERT INTO entries VALUES " + rowOfEntry(0, "aa", 0) + ", " + rowOfEntry(1, "aa", 1) + ", " + rowOfEntry(2, "bb", 0),
	"INSERT INTO hashes VALUES (0, zeroblob(32)), (1, zeroblob(32)), (2, zeroblob(32)), (3, zeroblob(32))",
	"INSERT INTO checkpoints VALUES (1, x'01'), (2, x'02')",
	"INSERT INTO published VALUES (0, 1, '{}', '{}'), (1, 2, '{}', '{}')",
	"INSERT INTO people (principal, key, changed, doc) VALUES ('p1', 'k1', 0, '{}'), ('p2', 'k2', 0, '{}')",
	"INSERT INTO cases VALUES (" + blobOf("aa", 16) + ", 'r1', 'open', 0, '{}'), (" + blobOf("bb", 16) + ", 'r2', 'closed', 0, '{}')",
	"INSERT INTO exhibits VALUES (" + blobOf("aa", 16) + ", 'E-001', 0, '{}')",
	"INSERT INTO intakes VALUES (" + blobOf("01", 16) + ", " + blobOf("aa", 16) + ", 'E-001', 'sealed', 0, '{}')",
	"INSERT INTO intakes VALUES (" + blobOf("02", 16) + ", " + blobOf("aa", 16) + ", 'E-001', 'declared', 0, '{}')",
	"INSERT INTO copies VALUES (" + blobOf("aa", 16) + ", 'E-001', 'M1', 'master', " + blobOf("01", 16) + ", 'sealed', 0, '{}')",
	"INSERT INTO findings VALUES (" + blobOf("aa", 16) + ", 1, 'E-001', 'M1', 'open', 0, '{}')",
	"INSERT INTO erasures VALUES (1, " + blobOf("aa", 16) + ", " + blobOf("01", 32) + ", x'22', 0, '{}')",
	"UPDATE entries SET payload = x'22' WHERE seq = 1",
	"INSERT INTO cosigned VALUES (1, x'01', 1, '{}'), (2, x'02', 0, '')",
	"INSERT INTO sessions VALUES (" + blobOf("01", 32) + ", 'p1', 'session', 0)",
	"INSERT INTO uploads VALUES (" + blobOf("02", 16) + ", 'receiving', '{}')",
	"INSERT INTO upload_parts VALUES (" + blobOf("02", 16) + ", 1, 0, 100, '{}', x'', x'')",
}

// blobOf writes a BLOB of n times the same byte.
func blobOf(hex string, n int) string { return "x'" + strings.Repeat(hex, n) + "'" }

// rowOfEntry writes an entry whose event id and leaf derive from its number.
func rowOfEntry(seq int, caseID string, caseSeq int) string {
	return fmt.Sprintf("(%d, %s, %d, %s, %s, x'01', x'02', x'03')",
		seq, blobOf(caseID, 16), caseSeq, blobOf(fmt.Sprintf("%02x", seq), 16), blobOf(fmt.Sprintf("%02x", seq), 32))
}

func entryWith(replacements ...string) string {
	return strings.NewReplacer(replacements...).Replace("INSERT INTO entries VALUES " + rowOfEntry(3, "aa", 2))
}

// Whoever writes SQL of his own on our connections gets no further than this.
func TestSchemaRefuses(t *testing.T) {
	var (
		check   = sqlite3.ErrConstraintCheck
		foreign = sqlite3.ErrConstraintForeignKey
		null    = sqlite3.ErrConstraintNotNull
		primary = sqlite3.ErrConstraintPrimaryKey
		trigger = sqlite3.ErrConstraintTrigger
		unique  = sqlite3.ErrConstraintUnique
		kind    = sqlite3.ErrNoExtended(3091) // SQLITE_CONSTRAINT_DATATYPE, of STRICT tables
	)
	caseA, intake1, intake2 := blobOf("aa", 16), blobOf("01", 16), blobOf("02", 16)
	for name, test := range map[string]struct {
		statement string
		want      sqlite3.ErrNoExtended
	}{
		"meta: update":            {"UPDATE meta SET value = 'other' WHERE key = 'origin'", trigger},
		"meta: delete":            {"DELETE FROM meta", trigger},
		"meta: replace":           {"INSERT OR REPLACE INTO meta VALUES ('origin', 'other')", trigger},
		"meta: upsert":            {"INSERT INTO meta VALUES ('origin', 'x') ON CONFLICT (key) DO UPDATE SET value = 'x'", trigger},
		"entries: update":         {"UPDATE entries SET payload = x'00' WHERE seq = 1", trigger},
		"entries: update nothing": {"UPDATE entries SET payload = payload", trigger},
		"entries: update or replace": {
			"UPDATE OR REPLACE entries SET event_id = " + blobOf("00", 16) + " WHERE seq = 1", trigger,
		},
		"entries: delete":      {"DELETE FROM entries WHERE seq = 2", trigger},
		"entries: truncate":    {"DELETE FROM entries", trigger},
		"entries: same row":    {"INSERT INTO entries VALUES " + rowOfEntry(2, "bb", 0), trigger},
		"entries: replace row": {"INSERT OR REPLACE INTO entries VALUES " + rowOfEntry(2, "bb", 0), trigger},
		"entries: ignore row":  {"INSERT OR IGNORE INTO entries VALUES " + rowOfEntry(7, "bb", 1), trigger},
		// The next entry with the event id of an older one: REPLACE would delete that.
		"entries: replace by event id": {entryWith("INSERT", "INSERT OR REPLACE", blobOf("03", 16), blobOf("00", 16)), trigger},
		"entries: upsert": {
			entryWith(blobOf("03", 16), blobOf("00", 16)) + " ON CONFLICT (event_id) DO UPDATE SET payload = x'00'", trigger,
		},
		"entries: event id twice":            {entryWith(blobOf("03", 16), blobOf("00", 16)), unique},
		"entries: gap":                       {"INSERT INTO entries VALUES " + rowOfEntry(4, "aa", 2), trigger},
		"entries: back":                      {entryWith("(3,", "(-1,"), trigger},
		"entries: number of nobody":          {entryWith("(3,", "(NULL,"), trigger},
		"entries: gap in case":               {"INSERT INTO entries VALUES " + rowOfEntry(3, "aa", 3), trigger},
		"entries: repeated in case":          {"INSERT INTO entries VALUES " + rowOfEntry(3, "aa", 1), trigger},
		"entries: case begins at 1":          {"INSERT INTO entries VALUES " + rowOfEntry(3, "cc", 1), trigger},
		"entries: short case":                {"INSERT INTO entries VALUES " + strings.Replace(rowOfEntry(3, "cc", 0), "cccc", "cc", 1), check},
		"entries: short event id":            {entryWith(blobOf("03", 16), blobOf("03", 15)), check},
		"entries: long leaf":                 {entryWith(blobOf("03", 32), blobOf("03", 33)), check},
		"entries: empty envelope":            {entryWith("x'01'", "x''"), check},
		"entries: empty payload":             {entryWith("x'02'", "x''"), check},
		"entries: empty signature":           {entryWith("x'03')", "x'')"), check},
		"entries: no signature":              {entryWith("x'03')", "NULL)"), null},
		"entries: text as payload":           {entryWith("x'02'", "'two'"), kind},
		"entries: erased to something else":  {"UPDATE entries SET payload = x'23' WHERE seq = 1", trigger},
		"entries: erased by nobody":          {"UPDATE entries SET payload = x'22' WHERE seq = 0", trigger},
		"entries: erased with the signature": {"UPDATE entries SET payload = x'22', signature = x'00' WHERE seq = 1", trigger},
		"entries: erased with the envelope":  {"UPDATE entries SET payload = x'22', envelope = x'00' WHERE seq = 1", trigger},
		"entries: erased and moved":          {"UPDATE entries SET payload = x'22', case_seq = 7 WHERE seq = 1", trigger},
		"erasures: of no entry":              {"INSERT INTO erasures VALUES (7, " + blobOf("aa", 16) + ", " + blobOf("07", 32) + ", x'22', 0, '{}')", trigger},
		"erasures: of another case":          {"INSERT INTO erasures VALUES (0, " + blobOf("bb", 16) + ", " + blobOf("00", 32) + ", x'22', 0, '{}')", trigger},
		"erasures: another leaf":             {"INSERT INTO erasures VALUES (0, " + blobOf("aa", 16) + ", " + blobOf("01", 32) + ", x'22', 0, '{}')", trigger},
		"erasures: nothing left":             {"INSERT INTO erasures VALUES (0, " + blobOf("aa", 16) + ", " + blobOf("00", 32) + ", x'', 0, '{}')", check},
		"erasures: update":                   {"UPDATE erasures SET residue = x'23'", trigger},
		"erasures: delete":                   {"DELETE FROM erasures", trigger},
		"erasures: replace":                  {"INSERT OR REPLACE INTO erasures VALUES (1, " + blobOf("aa", 16) + ", " + blobOf("01", 32) + ", x'23', 0, '{}')", trigger},
		"hashes: update":                     {"UPDATE hashes SET hash = zeroblob(32) WHERE idx = 0", trigger},
		"hashes: delete":                     {"DELETE FROM hashes WHERE idx = 3", trigger},
		"hashes: replace":                    {"INSERT OR REPLACE INTO hashes VALUES (3, zeroblob(32))", trigger},
		"hashes: gap":                        {"INSERT INTO hashes VALUES (5, zeroblob(32))", trigger},
		"hashes: gap in a list":              {"INSERT INTO hashes VALUES (4, zeroblob(32)), (6, zeroblob(32))", trigger},
		"hashes: short":                      {"INSERT INTO hashes VALUES (4, zeroblob(31))", check},
		"checkpoints: update":                {"UPDATE checkpoints SET note = x'03' WHERE size = 2", trigger},
		"checkpoints: delete":                {"DELETE FROM checkpoints", trigger},
		"checkpoints: same size":             {"INSERT INTO checkpoints VALUES (2, x'03')", trigger},
		"checkpoints: replace":               {"INSERT OR REPLACE INTO checkpoints VALUES (2, x'03')", trigger},
		"checkpoints: smaller":               {"INSERT INTO checkpoints VALUES (1, x'03')", trigger},
		"checkpoints: too large":             {"INSERT INTO checkpoints VALUES (4, x'03')", trigger},
		"published: update":                  {"UPDATE published SET until = 3 WHERE first = 1", trigger},
		"published: delete":                  {"DELETE FROM published", trigger},
		"published: replace":                 {"INSERT OR REPLACE INTO published VALUES (1, 3, '{}', '{}')", trigger},
		"published: gap":                     {"INSERT INTO published VALUES (3, 4, '{}', '{}')", trigger},
		"published: again":                   {"INSERT INTO published VALUES (1, 3, '{}', '{}')", trigger},
		"published: too large":               {"INSERT INTO published VALUES (2, 4, '{}', '{}')", trigger},
		"published: none":                    {"INSERT INTO published VALUES (2, 2, '{}', '{}')", check},
		"checkpoints: empty":                 {"INSERT INTO checkpoints VALUES (3, x'')", check},
		"cosigned: too large":                {"INSERT INTO cosigned VALUES (4, x'03', 0, '')", trigger},
		"cosigned: empty":                    {"INSERT INTO cosigned VALUES (3, x'', 0, '')", check},
		"cosigned: of nothing":               {"INSERT INTO cosigned VALUES (0, x'03', 0, '')", check},
		"cosigned: stored and not kept":      {"INSERT INTO cosigned VALUES (3, x'03', 0, '{}')", check},
		"cosigned: kept, another note":       {"UPDATE cosigned SET note = x'03' WHERE size = 1", trigger},
		"cosigned: kept, elsewhere":          {"UPDATE cosigned SET object = '{1}' WHERE size = 1", trigger},
		"cosigned: kept no more":             {"UPDATE cosigned SET kept = 0, object = '' WHERE size = 1", trigger},
		"cosigned: kept, deleted":            {"DELETE FROM cosigned WHERE size = 1", trigger},
		"cosigned: kept, replaced":           {"INSERT OR REPLACE INTO cosigned VALUES (1, x'03', 1, '{}')", trigger},

		"people: principal twice":     {"INSERT INTO people (principal, key, changed, doc) VALUES ('p1', 'k3', 0, '{}')", unique},
		"people: key twice":           {"INSERT INTO people (principal, key, changed, doc) VALUES ('p3', 'k1', 0, '{}')", unique},
		"cases: id twice":             {"INSERT INTO cases VALUES (" + caseA + ", 'r3', 'open', 0, '{}')", primary},
		"cases: reference twice":      {"INSERT INTO cases VALUES (" + blobOf("cc", 16) + ", 'r1', 'open', 0, '{}')", unique},
		"cases: unknown state":        {"UPDATE cases SET state = 'ajar'", check},
		"cases: changed before start": {"UPDATE cases SET changed = -1", check},
		"cases: deleted with exhibit": {"DELETE FROM cases WHERE reference = 'r1'", foreign},
		"exhibits: of no case":        {"INSERT INTO exhibits VALUES (" + blobOf("cc", 16) + ", 'E-001', 0, '{}')", foreign},
		"exhibits: label twice":       {"INSERT INTO exhibits VALUES (" + caseA + ", 'E-001', 0, '{}')", unique},
		"exhibits: label alike":       {"INSERT INTO exhibits VALUES (" + caseA + ", 'e-001', 0, '{}')", unique},
		"intakes: of no exhibit":      {"INSERT INTO intakes VALUES (" + blobOf("03", 16) + ", " + caseA + ", 'E-002', 'sealed', 0, '{}')", foreign},
		"intakes: id twice":           {"INSERT INTO intakes VALUES (" + intake1 + ", " + caseA + ", 'E-001', 'sealed', 0, '{}')", primary},
		"intakes: unknown state":      {"UPDATE intakes SET state = 'lost'", check},
		"copies: of no intake": {
			"INSERT INTO copies VALUES (" + caseA + ", 'E-001', 'M2', 'master', " + blobOf("03", 16) + ", 'sealed', 0, '{}')", foreign,
		},
		"copies: two of one intake": {
			"INSERT INTO copies VALUES (" + caseA + ", 'E-001', 'M2', 'master', " + intake1 + ", 'sealed', 0, '{}')", unique,
		},
		"copies: number twice": {
			"INSERT INTO copies VALUES (" + caseA + ", 'E-001', 'M1', 'master', " + intake2 + ", 'sealed', 0, '{}')", primary,
		},
		"copies: of no exhibit": {
			"INSERT INTO copies VALUES (" + caseA + ", 'E-002', 'M1', 'master', " + intake2 + ", 'sealed', 0, '{}')", foreign,
		},
		"copies: unknown class":             {"UPDATE copies SET class = 'best'", check},
		"copies: unknown state":             {"UPDATE copies SET state = 'lost'", check},
		"findings: of no copy":              {"INSERT INTO findings VALUES (" + caseA + ", 2, 'E-001', 'M2', 'open', 0, '{}')", foreign},
		"findings: number twice":            {"INSERT INTO findings VALUES (" + caseA + ", 1, 'E-001', 'M1', 'open', 0, '{}')", primary},
		"findings: number 0":                {"INSERT INTO findings VALUES (" + caseA + ", 0, 'E-001', 'M1', 'open', 0, '{}')", check},
		"sessions: of nobody":               {"INSERT INTO sessions VALUES (" + blobOf("02", 32) + ", 'p3', 'session', 0)", foreign},
		"sessions: hash twice":              {"INSERT INTO sessions VALUES (" + blobOf("01", 32) + ", 'p2', 'session', 0)", primary},
		"uploads: of no intake":             {"INSERT INTO uploads VALUES (" + blobOf("03", 16) + ", 'receiving', '{}')", foreign},
		"uploads: no phase":                 {"INSERT INTO uploads VALUES (" + intake1 + ", '', '{}')", check},
		"uploads: deleted before its parts": {"DELETE FROM uploads", foreign},
		"parts: of no upload":               {"INSERT INTO upload_parts VALUES (" + intake1 + ", 1, 0, 1, '{}', x'', x'')", foreign},
		"parts: number twice":               {"INSERT INTO upload_parts VALUES (" + intake2 + ", 1, 0, 1, '{}', x'', x'')", trigger},
		"parts: number left out":            {"INSERT INTO upload_parts VALUES (" + intake2 + ", 3, 100, 1, '{}', x'', x'')", trigger},
		"parts: bytes left out":             {"INSERT INTO upload_parts VALUES (" + intake2 + ", 2, 101, 1, '{}', x'', x'')", trigger},
		"parts: bytes twice":                {"INSERT INTO upload_parts VALUES (" + intake2 + ", 2, 99, 1, '{}', x'', x'')", trigger},
		"parts: half a midstate":            {"INSERT INTO upload_parts VALUES (" + intake2 + ", 2, 100, 1, '{}', x'', x'00')", check},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			for _, s := range furnish {
				if _, err := db.writer.ExecContext(t.Context(), s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			before := contents(t, db)
			err := db.Update(t.Context(), func(tx *Tx) error { return tx.exec(test.statement) })
			if !errors.Is(err, ErrConstraint) {
				t.Fatalf("error is %v, want %v", err, ErrConstraint)
			}
			if e, _ := errors.AsType[sqlite3.Error](err); e.ExtendedCode != test.want {
				t.Errorf("refused by %d (%v), want %d", e.ExtendedCode, err, test.want)
			}
			if after := contents(t, db); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// contents prints all rows of all tables of the ledger.
func contents(t *testing.T, db *DB) string {
	t.Helper()
	var all strings.Builder
	view(t, db, func(tx *Tx) error {
		var errs []error
		for _, table := range []string{"entries", "hashes", "checkpoints", "meta"} {
			errs = append(errs, tx.each("SELECT * FROM "+table+" ORDER BY 1", nil, func(rows *sql.Rows) error {
				row, err := sqlx.SliceScan(rows)
				_, _ = fmt.Fprintf(&all, "%s %x\n", table, row)
				return err
			}))
		}
		return errors.Join(errs...)
	})
	return all.String()
}

// Without recursive_triggers SQLite deletes the row that is in the way and tells
// nobody. If it ever learns to, this fails and the setting can go.
func TestWhyRecursiveTriggers(t *testing.T) {
	db, path := createDatabase(t)
	for _, s := range furnish {
		if _, err := db.writer.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	closeDB(t, db)
	tamper(t, path, entryWith("INSERT", "INSERT OR REPLACE", blobOf("03", 16), blobOf("00", 16)))
	db, err := Open(t.Context(), path)
	must(t, err)
	defer closeDB(t, db)
	view(t, db, func(tx *Tx) error {
		if _, err := tx.EntryAt(0); !errors.Is(err, ErrNotFound) {
			t.Errorf("entry 0: %v, want it deleted", err)
		}
		return nil
	})
}
