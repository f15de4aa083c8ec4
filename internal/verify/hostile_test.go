package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

// TestCutBack drops from the later of two exports all that came after the earlier one: a
// mismatch, its finding, a revocation. Both chains end as the earlier seal says.
func TestCutBack(t *testing.T) {
	s := bundletest.NewStory(t)
	s.Seal()
	sealed := s.Size() - 1
	other := digest.SHA256{7}
	s.Record(s.Event(s.Case, "custodyd", evidence.FixityChecked{
		Exhibit: "E-001", Number: "M1", Result: evidence.Mismatch, Source: "medium", SHA256: &other, Finding: 2,
	}))
	s.Record(s.Event(evidence.CaseID{}, "admin1", evidence.PersonRevoked{Principal: "analyst1", Reason: "lied"}))
	s.Seal()
	policy := verify.Policy{Key: s.Key()}
	packed := bundletest.Write(t, s.Bundle())
	if r := judge(t, packed, verify.Options{Policy: &policy}); r.Verdict != verify.Verified || len(r.Recorded) != 2 {
		t.Fatal(r.Verdict, r.Findings)
	}
	bag := bundletest.Unpack(t, packed)
	for _, l := range entries(t, bag) {
		if l.Seq > sealed {
			delete(bag, l.payload())
			delete(bag, l.signature())
			delete(bag, l.proof())
		}
	}
	edit(bag, func(lines [][]byte) [][]byte { return lines[:len(lines)-3] })
	bag.Recompute()
	r := judge(t, bag.Zip(t), verify.Options{Policy: &policy})
	if diff := cmp.Diff([]string{fmt.Sprintf("seal-checkpoint entry %d", sealed)}, codes(r.Findings)); diff != "" || r.Verdict != verify.Failed {
		t.Error(r.Verdict, diff)
	}
	agrees(t, bag.Zip(t), &policy, r.Verdict)
}

const screen = "\x1b[2J\x1b[Hverified: case 2026-0042\u202e"

// garbledSignature is an SSH signature whose inner algorithm has such a name.
func garbledSignature(t *testing.T, armoured []byte, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(armoured)
	if block == nil {
		t.Fatal("no signature")
	}
	// OpenSSH PROTOCOL.sshsig
	var sig struct {
		Magic                                    [6]byte
		Version                                  uint32
		PublicKey, Namespace, Reserved, Hash, Of string
	}
	if err := ssh.Unmarshal(block.Bytes, &sig); err != nil {
		t.Fatal(err)
	}
	sig.Of = string(ssh.Marshal(ssh.Signature{Format: name, Blob: []byte("x")}))
	text := base64.StdEncoding.EncodeToString(ssh.Marshal(sig))
	out := []byte("-----BEGIN SSH SIGNATURE-----\n")
	for line := range slices.Chunk([]byte(text), 70) {
		out = append(append(out, line...), '\n')
	}
	return append(out, "-----END SSH SIGNATURE-----\n"...)
}

// TestTerminal: nothing in a bundle moves the cursor of who reads the report.
func TestTerminal(t *testing.T) {
	story := tell(t)
	for name, change := range map[string]func(bundletest.Bag){
		"signature's algorithm": func(b bundletest.Bag) {
			b["data/payloads/7.json.sig"] = garbledSignature(t, b["data/payloads/7.json.sig"], screen)
		},
		"key's algorithm": func(b bundletest.Bag) {
			key := base64.StdEncoding.EncodeToString(ssh.Marshal(struct{ Name string }{screen}))
			b["data/payloads/0.json"] = bytes.Replace(b["data/payloads/0.json"], []byte(`"key":"ssh-ed25519 `), []byte(`"key":"ssh-ed25519 `+key), 1)
		},
		"file name":  func(b bundletest.Bag) { b["data/logs/"+screen] = nil },
		"member":     func(b bundletest.Bag) { b["data/payloads/7.json"] = []byte(`{"` + screen + `":1}`) },
		"case's log": func(b bundletest.Bag) { b["data/payloads/7.json"] = []byte(`{"action":"` + screen + `"}`) },
		"bag-info": func(b bundletest.Bag) {
			b["bag-info.txt"] = bytes.Replace(b["bag-info.txt"], []byte("lab.example"), []byte(screen), 1)
		},
		"checkpoint":  func(b bundletest.Bag) { b["data/checkpoint"] = []byte(screen + "\n1\n" + screen + "\n\n" + screen) },
		"ledger.vkey": func(b bundletest.Bag) { b["data/ledger.vkey"] = []byte(screen) },
		"manifest":    func(b bundletest.Bag) { b["manifest-sha256.txt"] = []byte(screen + "  " + screen + "\n") },
		"receipt":     func(b bundletest.Bag) { b["data/proofs/7.tlog-proof"] = []byte(screen) },
		"list":        func(b bundletest.Bag) { b["data/files/E-001-M2.jsonl"] = []byte(screen) },
	} {
		bag := story.bag.Clone()
		change(bag)
		if name != "manifest" {
			bag.Recompute()
		}
		r := judge(t, bag.Zip(t), verify.Options{Policy: &story.policy})
		agrees(t, bag.Zip(t), &story.policy, r.Verdict)
		var out strings.Builder
		if err := r.Text(&out); err != nil || r.Verdict != verify.Failed {
			t.Fatal(name, r.Verdict, err)
		}
		for _, f := range r.Findings {
			fmt.Fprintln(&out, f)
		}
		if i := strings.IndexFunc(out.String(), func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' }); i >= 0 {
			t.Errorf("%s: %.100q", name, out.String()[i:])
		}
		if strings.Contains(out.String(), "\nverified") {
			t.Errorf("%s: %s", name, &out)
		}
	}
}

// TestManyFindings: of each code a thousand are kept, and all are counted.
func TestManyFindings(t *testing.T) {
	story := tell(t)
	bag := story.bag.Clone()
	const lines = 50_000
	bag["data/entries.jsonl"] = bytes.Repeat([]byte("\n"), lines)
	bag["data/logs/E-001-M1.log"] = nil
	bag.Recompute()
	r := judge(t, bag.Zip(t), verify.Options{Policy: &story.policy})
	kept := map[verify.Code]int{}
	for _, f := range r.Findings {
		kept[f.Code]++
	}
	if kept[verify.CodeEnvelope] != 1000 || r.More[verify.CodeEnvelope] != lines-1000 || kept[verify.CodeSealMissing] != 1 || kept[verify.CodeObjectUnknown] != 5 {
		t.Errorf("%v, more %v", kept, r.More)
	}
	var out strings.Builder
	if err := r.Text(&out); err != nil || !strings.Contains(out.String(), fmt.Sprintf(", %d findings\n", r.Total())) ||
		!strings.Contains(out.String(), fmt.Sprintf("  and %d more\n", r.Total()-200)) {
		t.Errorf("%v\n%.2000s", err, &out)
	}
	text, err := json.Marshal(r)
	if err != nil || !bytes.Contains(text, fmt.Appendf(nil, `"more":{"envelope":%d}`, lines-1000)) {
		t.Errorf("%v %.200s", err, text)
	}
}

// TestLists seals lists that are not those of the sealed bytes.
func TestLists(t *testing.T) {
	small := bundletest.Small
	right := bundletest.ListOf(small[:9], nil, small[9:])
	for name, row := range map[string]struct {
		files   int
		list    []byte
		content bool // in the bundle
		want    []string
	}{
		"right":              {3, right, true, nil},
		"without content":    {3, right, false, nil},
		"fewer files":        {4, right, true, []string{"has 3 files of 57 bytes, E-001/M3 was declared as 4 files of 57 bytes"}},
		"fewer bytes":        {1, bundletest.ListOf(small[:9]), true, []string{"has 1 files of 9 bytes, E-001/M3 was declared as 1 files of 57 bytes"}},
		"other files":        {2, bundletest.ListOf(small[:28], flipped(small[28:], 3)), true, []string{"line 2: the file's bytes have the SHA-256 "}},
		"all others":         {2, bundletest.ListOf(flipped(small[:28], 0), flipped(small[28:], 3)), true, []string{"line 1: the file's bytes have the SHA-256 "}},
		"unseen other files": {2, bundletest.ListOf(small[:28], flipped(small[28:], 3)), false, nil},
		"past the end":       {2, bundletest.ListOf(small, small), true, []string{"line 2: the content ends within", "has 2 files of 114 bytes"}},
		"not a list":         {2, []byte("a b c\n"), true, []string{"line 1: malformed list of files"}},
		"no end":             {3, right[:len(right)-1], true, []string{"no line break at the end"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			s.Set("M3", "W4", row.files, row.list)
			var contents []evidence.Number
			if row.content {
				contents = []evidence.Number{"W4"}
			}
			s.Seal(contents...)
			policy := verify.Policy{Key: s.Key()}
			r := judge(t, bundletest.Write(t, s.Bundle(contents...)), verify.Options{Policy: &policy})
			if len(r.Findings) != len(row.want) {
				t.Fatal(r.Findings)
			}
			for i, f := range r.Findings {
				if f.Code != verify.CodeList || f.Subject != "data/files/E-001-M3.jsonl" || !strings.Contains(f.Detail, row.want[i]) {
					t.Errorf("%s, want %q", f, row.want[i])
				}
			}
			open := slices.ContainsFunc(r.NotChecked, func(s string) bool {
				return strings.Contains(s, "the hash of each file that data/files/E-001-M3.jsonl")
			})
			if open == row.content {
				t.Errorf("not checked: %q", r.NotChecked)
			}
		})
	}
}

// TestLocks: a copy is told as locked only as well as all its objects are.
func TestLocks(t *testing.T) {
	s := bundletest.NewStory(t)
	s.Locks = map[evidence.Role]string{evidence.Content: "compliance", evidence.Files: "none"}
	s.Set("M3", "W4", 2, bundletest.List)
	s.Seal()
	policy := verify.Policy{Key: s.Key()}
	r := judge(t, bundletest.Write(t, s.Bundle()), verify.Options{Policy: &policy})
	var out strings.Builder
	if err := r.Text(&out); err != nil || r.Verdict != verify.Verified {
		t.Fatal(err, r.Verdict, r.Findings)
	}
	for _, want := range []string{
		"  E-001/M3  master, sealed, with examiner1, 57 bytes, sha256 5a8254196bd88d5a32b22421c980e019044ab907e51e134f64028deeb061a068, not locked\n",
		"  E-001/M3 (files): nothing in the store keeps them from being changed or deleted (lock: none)\n",
		"sha256 5a8254196bd88d5a32b22421c980e019044ab907e51e134f64028deeb061a068, locked (compliance) until 20",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// TestBagInfo compares what nobody signs.
func TestBagInfo(t *testing.T) {
	story := tell(t)
	for name, row := range map[string]struct {
		change func(bundletest.Bag)
		dir    bool
		want   []string
		note   bool
	}{
		"right":       {change: func(bundletest.Bag) {}},
		"directory":   {change: func(bundletest.Bag) {}, dir: true},
		"other lab":   {change: replace("bag-info.txt", "lab.example/custody", "lab.example/other"), want: []string{"bag bag-info.txt"}},
		"other date":  {change: replace("bag-info.txt", "2026-03-01", "2027-03-01"), want: []string{"bag bag-info.txt"}},
		"other case":  {change: replace("bag-info.txt", "2026-0042", "2026-0043"), dir: true, want: []string{"bundle-reference bag-info.txt"}},
		"other words": {change: replace("data/README.txt", "sha256sum", "sha257sum"), note: true},
	} {
		t.Run(name, func(t *testing.T) {
			bag := story.bag.Clone()
			row.change(bag)
			bag.Recompute()
			var r verify.Report
			if row.dir {
				b, err := bundle.OpenDir(t.Context(), bag.WriteTo(t))
				if err != nil {
					t.Fatal(err)
				}
				if r, err = verify.Bundle(t.Context(), b, verify.Options{Policy: &story.policy}); err != nil {
					t.Fatal(err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			} else {
				r = judge(t, bag.Zip(t), verify.Options{Policy: &story.policy})
			}
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" {
				t.Error(diff)
			}
			if noted := slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "README.txt") }); noted != row.note {
				t.Errorf("notes %q", r.Notes)
			}
		})
	}
}

func replace(path, old, by string) func(bundletest.Bag) {
	return func(b bundletest.Bag) { b[path] = bytes.ReplaceAll(b[path], []byte(old), []byte(by)) }
}
