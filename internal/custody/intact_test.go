package custody_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// victim is a case whose entry somebody edits while no self-audit runs.
type victim struct {
	*lab
	entry              custody.HistoryEntry
	payload, signature []byte
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{lab: newLab(t)}
	v.openCase()
	x := exhibit("E-002")
	x.Note = "nothing to see"
	v.payload, v.signature = v.sign(v.event("custodian1", theCase, x))
	r, err := v.Record(t.Context(), v.people["custodian1"], v.payload, v.signature)
	must(t, err)
	v.record("custodian1", theCase, exhibit("E-003"))
	for _, e := range v.entries() {
		if e.Seq == r.Seq {
			v.entry = e
		}
	}
	v.published() // which reads it too
	return v
}

func (v *victim) entries() []custody.HistoryEntry {
	v.t.Helper()
	all, err := v.History(v.ctx(), v.people["legal1"], evidence.Path{Case: theCase}, -1, 0)
	must(v.t, err)
	return all
}

// set writes columns of the entry.
func (v *victim) set(columns string, args ...any) string {
	return fmt.Sprintf("UPDATE entries SET "+columns, args...) + fmt.Sprintf(" WHERE seq = %d", v.entry.Seq)
}

// falsified gives the payload with other words.
func (v *victim) falsified() []byte {
	return bytes.Replace(v.entry.Payload, []byte("nothing to see"), []byte("FALSIFIED TEXT"), 1)
}

// exports gives what an export says, whose seal was recorded before, or in vain.
func (v *victim) exports(o custody.ExportOptions) (string, error) {
	e, err := v.Export(v.ctx(), v.people["legal1"], theCase, o)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = e.WriteTo(v.ctx(), &b)
	return b.String(), err
}

func wordsOf(all []custody.HistoryEntry) (words string) {
	for _, e := range all {
		words += string(e.Envelope) + string(e.Payload) + string(e.Signature)
	}
	return words
}

var readers = map[string]func(*victim) (string, error){
	"history": func(v *victim) (string, error) {
		all, err := v.History(v.ctx(), v.people["legal1"], evidence.Path{Case: theCase}, -1, 0)
		return wordsOf(all), err
	},
	"history of an exhibit": func(v *victim) (string, error) {
		all, err := v.History(v.ctx(), v.people["legal1"], evidence.Path{Case: theCase, Exhibit: "E-002"}, -1, 0)
		return wordsOf(all), err
	},
	"receipt": func(v *victim) (string, error) {
		r, err := v.Proof(v.ctx(), v.people["legal1"], v.entry.Seq)
		return string(r.Envelope), err
	},
	"export": func(v *victim) (string, error) { return v.exports(custody.ExportOptions{}) },
	"withheld": func(v *victim) (string, error) {
		return v.exports(custody.ExportOptions{Withheld: []evidence.Withheld{{Entry: v.entry.Seq, Reason: "privileged"}}})
	},
	"the same payload again": func(v *victim) (string, error) {
		r, err := v.Record(v.ctx(), v.people["custodian1"], v.payload, v.signature)
		return string(r.Envelope), err
	},
	"erasure": func(v *victim) (string, error) {
		event, err := evidence.Parse(v.payload)
		must(v.t, err)
		left, err := evidence.Residue(event)
		must(v.t, err)
		residue, err := left.Encode()
		must(v.t, err)
		_, err = v.try("custodian1", theCase, evidence.PayloadErased{
			Entry: v.entry.Seq, Leaf: v.entry.Leaf, Authority: "court of Graz", Reason: "ordered", Residue: residue,
		})
		return "", err
	},
	"log": func(v *victim) (string, error) {
		b, err := v.Tile(v.ctx(), ledger.Tile{Entries: true, Width: int(v.entry.Seq + 1)})
		return string(b), err
	},
}

// TestReadersMeet: somebody edits an entry, and whoever reads it first raises the alarm.
// Nobody gets the words of the one who did it.
func TestReadersMeet(t *testing.T) {
	edits := map[string]struct {
		edit func(*victim) string
		told string // of the entry
	}{
		"payload":   {func(v *victim) string { return v.set("payload = x'%x'", v.falsified()) }, ": payload"},
		"signature": {func(v *victim) string { return v.set("signature = zeroblob(9)") }, ": signature"},
		"leaf":      {func(v *victim) string { return v.set("leaf = zeroblob(32)") }, ": leaf"},
		"envelope": {func(v *victim) string {
			return v.set("envelope = x'%x'", bytes.Replace(v.entry.Envelope, []byte(`"time":"2026`), []byte(`"time":"2025`), 1))
		}, ": leaf"},
		"all of it": {func(v *victim) string {
			was, is := sha256.Sum256(v.entry.Payload), sha256.Sum256(v.falsified())
			envelope := bytes.Replace(v.entry.Envelope, fmt.Appendf(nil, "%x", was), fmt.Appendf(nil, "%x", is), 1)
			leaf := ledger.LeafHash(envelope)
			return v.set("payload = x'%x', envelope = x'%x', leaf = x'%x'", v.falsified(), envelope, leaf[:])
		}, "the tree has another"},
		"place":   {func(v *victim) string { return v.set("case_seq = 99") }, ": case seq"},
		"deleted": {func(v *victim) string { return fmt.Sprintf("DELETE FROM entries WHERE seq = %d", v.entry.Seq) }, "there is none"},
		"tree hash": {func(v *victim) string {
			return fmt.Sprintf("DELETE FROM hashes WHERE idx = %d", ledger.StoredHashCount(v.entry.Seq))
		}, "is missing"},
		"as erased": {func(v *victim) string {
			return v.set("payload = x'%x'", v.falsified()) + fmt.Sprintf(`; INSERT INTO erasures
				SELECT seq, case_id, leaf, payload, 2, '{}' FROM entries WHERE seq = %d`, v.entry.Seq)
		}, ""},
	}
	for reader, read := range readers {
		for name, row := range edits {
			switch {
			case reader == "log" && (name == "payload" || name == "signature" || name == "leaf" || name == "place" || name == "as erased"):
				continue // it is the envelopes only
			case name == "deleted" && (reader == "withheld" || reader == "erasure" || reader == "the same payload again"):
				continue // there is nothing to withhold or to erase
			case name == "leaf" && reader == "erasure", name == "all of it" && reader == "erasure":
				continue // whose leaf hash is another is refused before
			case name == "as erased" && reader != "history" && reader != "export" && reader != "receipt":
				continue
			}
			t.Run(reader+"/"+name, func(t *testing.T) {
				t.Parallel()
				v := newVictim(t)
				v.insider(row.edit(v))
				said, err := read(v)
				wantErr(t, err, custody.ErrStopped)
				if reader != "log" && !strings.Contains(err.Error(), row.told) {
					t.Errorf("%v; want %q", err, row.told)
				}
				if _, ok := errors.AsType[*custody.EntryError](err); !ok && name != "tree hash" && name != "as erased" {
					t.Errorf("%v names no entry", err)
				}
				if strings.Contains(said+err.Error()+v.logged.String(), "FALSIFIED") {
					t.Error("the falsified words were given away")
				}
				v.stopped()
			})
		}
	}
}

// TestCheckAtAlarm: nothing is read back whose verdict cannot be recorded.
func TestCheckAtAlarm(t *testing.T) {
	v := newVictim(t)
	v.seal([]byte("a small image"))
	v.published()
	v.insider(v.set("payload = x'%x'", v.falsified()))
	_, err := readers["history"](v)
	wantErr(t, err, custody.ErrStopped)
	read := v.Stats().ReadBack
	_, err = v.StartCheck(t.Context(), v.people["legal1"], at("M1"))
	wantErr(t, err, custody.ErrStopped)
	if v.Stats().ReadBack != read {
		t.Error("the copy was read")
	}
}

// stopped demands that nothing more is written and the rest is read.
func (v *victim) stopped() {
	v.t.Helper()
	if v.Alarm() == nil || !v.Stats().Audit.Alarm {
		v.t.Fatal("there is no alarm")
	}
	wantErr(v.t, v.Ready(v.ctx()), custody.ErrStopped)
	if said := v.logged.String(); !strings.Contains(said, "ALARM") || !strings.Contains(said, "custodyd audit") {
		v.t.Errorf("the log does not say what to do: %s", said)
	}
	_, err := v.try("custodian1", theCase, exhibit("E-004"))
	wantErr(v.t, err, custody.ErrStopped)
	_, err = v.Proof(v.ctx(), v.people["auditor1"], 0)
	must(v.t, err)
}

// TestReadErased: what is left of an erased payload, and what is said of its erasure, are
// those of the entry that erases it.
func TestReadErased(t *testing.T) {
	erase := func(t *testing.T) *victim {
		t.Helper()
		v := newVictim(t)
		v.record("custodian1", theCase, v.erasure(v.entry.Seq))
		return v
	}
	v := erase(t)
	for reader, read := range readers {
		if reader == "withheld" || reader == "erasure" || reader == "the same payload again" {
			continue
		}
		if _, err := read(v); err != nil {
			t.Errorf("%s: %v", reader, err)
		}
	}
	v.insider(`UPDATE erasures SET doc = replace(doc, 'ordered', 'FALSIFIED')`)
	for _, e := range v.entries() {
		if e.Erased != nil && e.Erased.Reason != "ordered" {
			t.Errorf("erased: %s", e.Erased.Reason)
		}
	}
	for name, edit := range map[string]string{
		"residue": v.set(`payload = CAST(replace(CAST(payload AS TEXT), 'E-002', 'E-009') AS BLOB)`),
		"erasure": `UPDATE entries SET payload = CAST(replace(CAST(payload AS TEXT), 'ordered', 'FALSIFI') AS BLOB) WHERE seq = (SELECT max(seq) FROM entries)`,
	} {
		t.Run(name, func(t *testing.T) {
			v := erase(t)
			v.insider(edit)
			said, err := readers["history"](v)
			wantErr(t, err, custody.ErrDiscrepancy)
			if said != "" {
				t.Errorf("said %s", said)
			}
			v.stopped()
		})
	}
}
