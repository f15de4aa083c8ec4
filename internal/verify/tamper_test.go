package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// line is one entry of a bag.
type line struct {
	at int // its place in entries.jsonl
	ledger.Envelope
}

func (l line) payload() string   { return bundle.EntryPath(bundle.KindPayload, l.Seq) }
func (l line) signature() string { return bundle.EntryPath(bundle.KindSignature, l.Seq) }
func (l line) proof() string     { return bundle.EntryPath(bundle.KindProof, l.Seq) }
func (l line) subject() string   { return fmt.Sprintf("entry %d", l.Seq) }

func entries(tb testing.TB, bag bundletest.Bag) []line {
	tb.Helper()
	var list []line
	for i, text := range bytes.Split(bytes.TrimSuffix(bag[bundle.EntriesFile], []byte("\n")), []byte("\n")) {
		e, err := ledger.ParseEnvelope(text)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, line{i, e})
	}
	return list
}

// edit changes the lines of entries.jsonl.
func edit(bag bundletest.Bag, change func(lines [][]byte) [][]byte) {
	lines := bytes.SplitAfter(bag[bundle.EntriesFile], []byte("\n"))
	bag[bundle.EntriesFile] = bytes.Join(change(lines[:len(lines)-1]), nil)
}

func swap(bag bundletest.Bag, a, b string) { bag[a], bag[b] = bag[b], bag[a] }

// TestTamper does everything to every entry. The attacker can recompute what needs no
// key: the manifests always, hashes where the row says so.
func TestTamper(t *testing.T) {
	story := tell(t)
	list := entries(t, story.bag)
	// next is the one after l in its chain.
	next := func(l line) (line, bool) {
		i := slices.IndexFunc(list, func(o line) bool { return o.Case == l.Case && o.CaseSeq == l.CaseSeq+1 })
		if i < 0 {
			return line{}, false
		}
		return list[i], true
	}
	chainBreaks := func(l line) []string {
		if n, ok := next(l); ok {
			return []string{"case-chain-sequence " + n.subject()}
		}
		if l.Case.IsZero() {
			return []string{"system-end entry 29"}
		}
		return []string{"seal-missing entry 28"}
	}
	for name, tamper := range map[string]func(bag bundletest.Bag, l, other line) []string{
		"payload flipped": func(bag bundletest.Bag, l, _ line) []string {
			before, after, _ := bytes.Cut(bag[l.payload()], []byte(`"salt":"`))
			digit := byte('0')
			if after[0] == digit {
				digit = '1'
			}
			bag[l.payload()] = slices.Concat(before, []byte(`"salt":"`), []byte{digit}, after[1:])
			return []string{"payload-hash " + l.subject(), "signature " + l.subject()}
		},
		"payload not JSON": func(bag bundletest.Bag, l, _ line) []string {
			bag.Flip(l.payload(), 0)
			return []string{"payload-hash " + l.subject(), "payload-form " + l.subject()}
		},
		"payload dropped": func(bag bundletest.Bag, l, _ line) []string {
			delete(bag, l.payload())
			return []string{"payload-missing " + l.subject()}
		},
		"payloads swapped": func(bag bundletest.Bag, l, other line) []string {
			swap(bag, l.payload(), other.payload())
			return []string{"payload-hash " + l.subject(), "payload-hash " + other.subject()}
		},
		"payload repeated": func(bag bundletest.Bag, l, other line) []string {
			bag[l.payload()] = bag[other.payload()]
			return []string{"payload-hash " + l.subject()}
		},
		"payload and its signature repeated": func(bag bundletest.Bag, l, other line) []string {
			bag[l.payload()], bag[l.signature()] = bag[other.payload()], bag[other.signature()]
			return []string{"payload-hash " + l.subject(), "signature-hash " + l.subject(), "payload-id " + fmt.Sprintf("entry %d", max(l.Seq, other.Seq))}
		},
		"signature flipped": func(bag bundletest.Bag, l, _ line) []string {
			bag.Flip(l.signature(), 200)
			return []string{"signature-hash " + l.subject(), "signature " + l.subject()}
		},
		"signature dropped": func(bag bundletest.Bag, l, _ line) []string {
			delete(bag, l.signature())
			return []string{"signature-missing " + l.subject()}
		},
		"signatures swapped": func(bag bundletest.Bag, l, other line) []string {
			swap(bag, l.signature(), other.signature())
			return []string{"signature-hash " + l.subject(), "signature " + l.subject(), "signature " + other.subject()}
		},
		"signature repeated": func(bag bundletest.Bag, l, other line) []string {
			bag[l.signature()] = bag[other.signature()]
			return []string{"signature-hash " + l.subject(), "signature " + l.subject()}
		},
		"proof flipped": func(bag bundletest.Bag, l, _ line) []string {
			r, err := ledger.ParseReceipt(bag[l.proof()])
			if err != nil {
				t.Fatal(err)
			}
			r.Proof[0][0] ^= 1
			bag[l.proof()] = r.Marshal()
			return []string{"inclusion " + l.subject()}
		},
		"proof malformed": func(bag bundletest.Bag, l, _ line) []string {
			bag.Flip(l.proof(), 0)
			return []string{"receipt-form " + l.subject()}
		},
		"proof dropped": func(bag bundletest.Bag, l, _ line) []string {
			delete(bag, l.proof())
			return []string{"receipt-missing " + l.subject()}
		},
		"proofs swapped": func(bag bundletest.Bag, l, other line) []string {
			swap(bag, l.proof(), other.proof())
			return []string{"receipt-entry " + l.subject(), "receipt-entry " + other.subject(), "inclusion " + l.subject()}
		},
		"proof repeated": func(bag bundletest.Bag, l, other line) []string {
			bag[l.proof()] = bag[other.proof()]
			return []string{"receipt-entry " + l.subject(), "inclusion " + l.subject()}
		},
		"proof under another checkpoint": func(bag bundletest.Bag, l, _ line) []string {
			bag[l.proof()] = append(bytes.Clone(bag[l.proof()]), "\n"...)
			return []string{"receipt-checkpoint " + l.subject()}
		},
		"envelope flipped": func(bag bundletest.Bag, l, _ line) []string {
			edit(bag, func(lines [][]byte) [][]byte {
				l.Sig[0] ^= 1
				lines[l.at] = append(l.Bytes(), '\n')
				return lines
			})
			want := []string{"signature-hash " + l.subject(), "receipt-entry " + l.subject(), "inclusion " + l.subject()}
			if n, ok := next(l); ok {
				want = append(want, "case-chain "+n.subject())
			}
			return want
		},
		"envelope malformed": func(bag bundletest.Bag, l, _ line) []string {
			edit(bag, func(lines [][]byte) [][]byte {
				lines[l.at] = append([]byte(" "), lines[l.at]...)
				return lines
			})
			return []string{fmt.Sprintf("envelope data/entries.jsonl line %d", l.at+1), "entry-file " + l.payload()}
		},
		"payload exchanged with its hashes": func(bag bundletest.Bag, l, _ line) []string {
			bag[l.payload()] = bytes.Replace(bag[l.payload()], []byte(`"tool":"bundletest 1"`), []byte(`"tool":"bundletest 2"`), 1)
			edit(bag, func(lines [][]byte) [][]byte {
				l.Payload = sha256.Sum256(bag[l.payload()])
				lines[l.at] = append(l.Bytes(), '\n')
				return lines
			})
			r, err := ledger.ParseReceipt(bag[l.proof()])
			if err != nil {
				t.Fatal(err)
			}
			r.Envelope = l.Bytes()
			bag[l.proof()] = r.Marshal()
			return []string{"signature " + l.subject(), "inclusion " + l.subject()}
		},
		"entry dropped": func(bag bundletest.Bag, l, _ line) []string {
			edit(bag, func(lines [][]byte) [][]byte { return slices.Delete(lines, l.at, l.at+1) })
			delete(bag, l.payload())
			delete(bag, l.signature())
			delete(bag, l.proof())
			return chainBreaks(l)
		},
		"line dropped": func(bag bundletest.Bag, l, _ line) []string {
			edit(bag, func(lines [][]byte) [][]byte { return slices.Delete(lines, l.at, l.at+1) })
			return append(chainBreaks(l), "entry-file "+l.payload(), "entry-file "+l.signature(), "entry-file "+l.proof())
		},
		"lines swapped": func(bag bundletest.Bag, l, other line) []string {
			edit(bag, func(lines [][]byte) [][]byte {
				lines[l.at], lines[other.at] = lines[other.at], lines[l.at]
				return lines
			})
			return []string{fmt.Sprintf("entry-repeated entry %d", min(l.Seq, other.Seq))}
		},
		"line repeated": func(bag bundletest.Bag, l, _ line) []string {
			edit(bag, func(lines [][]byte) [][]byte { return slices.Insert(lines, l.at, lines[l.at]) })
			return []string{"entry-repeated " + l.subject()}
		},
		"line repeated at the end": func(bag bundletest.Bag, l, _ line) []string {
			edit(bag, func(lines [][]byte) [][]byte { return append(lines, lines[l.at]) })
			return []string{"entry-repeated " + l.subject()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, l := range list {
				bag := story.bag.Clone()
				want := tamper(bag, l, list[(i+1)%len(list)])
				bag.Recompute()
				packed := bag.Zip(t)
				r := judge(t, packed, verify.Options{Policy: &story.policy})
				got := codes(r.Findings)
				for _, w := range want {
					if !slices.Contains(got, w) {
						t.Errorf("entry %d: no %q in\n%s", l.Seq, w, strings.Join(got, "\n"))
					}
				}
				if r.Verdict != verify.Failed {
					t.Errorf("entry %d: %s", l.Seq, r.Verdict)
				}
				if i%9 == 0 {
					agrees(t, packed, &story.policy, r.Verdict)
				}
			}
		})
	}
}

// TestTamperParts does it to everything that is not an entry, and wants exactly the
// findings of the row.
func TestTamperParts(t *testing.T) {
	story, other := tell(t, "W2", "W3"), tell(t, "W2", "W3")
	segment := digest.Range{Off: digest.Segment, Len: digest.Segment}
	const w2, w3 = "data/content/E-001-W2.bin", "data/content/E-001-W3.bin"
	for name, row := range map[string]struct {
		change func(bundletest.Bag)
		want   []string
		ranges []digest.Range
	}{
		"nothing":           {change: func(bundletest.Bag) {}},
		"checkpoint root":   {change: checkpointRoot, want: all("checkpoint-signature data/checkpoint", "inclusion", "receipt-checkpoint")},
		"checkpoint no sig": {change: checkpointSig, want: all("checkpoint-signature data/checkpoint", "receipt-checkpoint")},
		"checkpoint of another ledger": {
			change: func(b bundletest.Bag) { b["data/checkpoint"] = other.bag["data/checkpoint"] },
			want:   all("checkpoint-signature data/checkpoint", "inclusion", "receipt-checkpoint"),
		},
		"checkpoint of nothing": {
			change: func(b bundletest.Bag) { b["data/checkpoint"] = []byte("x\n\n") },
			want:   all("checkpoint-form data/checkpoint", "inclusion", "receipt-checkpoint"),
		},
		"checkpoint.body": {change: flip("data/checkpoint.body", 3), want: []string{"checkpoint-parts data/checkpoint.body"}},
		"checkpoint.sig":  {change: flip("data/checkpoint.sig", 3), want: []string{"checkpoint-parts data/checkpoint.sig"}},
		"ledger.pem":      {change: func(b bundletest.Bag) { b["data/ledger.pem"] = other.bag["data/ledger.pem"] }, want: []string{"key-pem data/ledger.pem"}},
		"ledger.vkey": {
			change: func(b bundletest.Bag) { b["data/ledger.vkey"] = other.bag["data/ledger.vkey"] },
			want:   []string{"key-differs data/ledger.vkey", "key-pem data/ledger.pem"},
		},
		"ledger.vkey malformed": {change: flip("data/ledger.vkey", 60), want: []string{"key-form data/ledger.vkey"}},
		"signer changed":        {change: flip("data/allowed_signers", 120), want: []string{"allowed-signers data/allowed_signers"}},
		"signer dropped": {
			change: func(b bundletest.Bag) {
				_, b["data/allowed_signers"], _ = bytes.Cut(b["data/allowed_signers"], []byte("\n"))
			},
			want: []string{"allowed-signers data/allowed_signers"},
		},
		"signer added": {
			change: func(b bundletest.Bag) {
				b["data/allowed_signers"] = append(bytes.Clone(b["data/allowed_signers"]), other.bag["data/allowed_signers"]...)
			},
			want: []string{"allowed-signers data/allowed_signers"},
		},
		"signers swapped": {
			change: func(b bundletest.Bag) {
				lines := bytes.SplitAfter(b["data/allowed_signers"], []byte("\n"))
				lines[0], lines[1] = lines[1], lines[0]
				b["data/allowed_signers"] = bytes.Join(lines, nil)
			},
			want: []string{"allowed-signers data/allowed_signers"},
		},
		"no newline at the end": {
			change: func(b bundletest.Bag) {
				b["data/entries.jsonl"] = bytes.TrimSuffix(b["data/entries.jsonl"], []byte("\n"))
			},
			want: []string{
				"content-unknown data/content/E-001-W2.bin", "content-unknown data/content/E-001-W3.bin",
				"entry-file data/payloads/29.json", "entry-file data/payloads/29.json.sig", "entry-file data/proofs/29.tlog-proof",
				"envelope data/entries.jsonl line 28", "seal-missing entry 28",
			}[2:],
		},
		"endless line": {
			change: func(b bundletest.Bag) {
				b["data/entries.jsonl"] = append(bytes.Clone(b["data/entries.jsonl"]), bytes.Repeat([]byte("endless"), 10000)...)
			},
			want: []string{"entries-form data/entries.jsonl"},
		},
		"log changed":       {change: flip("data/logs/E-001-M1.log", 3), want: []string{"object-differs data/logs/E-001-M1.log"}},
		"log dropped":       {change: drop("data/logs/E-001-M1.log"), want: []string{"object-missing data/logs/E-001-M1.log"}},
		"log added":         {change: func(b bundletest.Bag) { b["data/logs/E-001-M2.log"] = nil }, want: []string{"object-unknown data/logs/E-001-M2.log"}},
		"log of no copy":    {change: func(b bundletest.Bag) { b["data/logs/E-007-M2.log"] = nil }, want: []string{"object-unknown data/logs/E-007-M2.log"}},
		"files changed":     {change: flip("data/files/E-001-M2.jsonl", 3), want: []string{"object-differs data/files/E-001-M2.jsonl"}},
		"files dropped":     {change: drop("data/files/E-001-M2.jsonl"), want: []string{"object-missing data/files/E-001-M2.jsonl"}},
		"midstates changed": {change: flip("data/midstates/E-001-W3.midstates", 3), want: []string{"object-differs data/midstates/E-001-W3.midstates"}},
		"midstates dropped": {change: drop("data/midstates/E-001-W3.midstates"), want: []string{"object-missing data/midstates/E-001-W3.midstates"}},
		"content changed":   {change: flip(w2, 3), want: []string{"content-differs E-001/W2"}},
		"content dropped":   {change: drop(w2), want: []string{"content-missing " + w2}},
		"content added": {
			change: func(b bundletest.Bag) { b["data/content/E-001-M2.bin"] = bundletest.Small },
			want:   []string{"content-unknown data/content/E-001-M2.bin"},
		},
		"content of no copy": {
			change: func(b bundletest.Bag) { b["data/content/E-007-M2.bin"] = bundletest.Small },
			want:   []string{"content-unknown data/content/E-007-M2.bin"},
		},
		"contents swapped": {
			change: func(b bundletest.Bag) { swap(b, w2, w3) },
			want:   []string{"content-differs E-001/W2", "content-differs E-001/W3"},
		},
		"content longer":  {change: func(b bundletest.Bag) { b[w3] = append(bytes.Clone(b[w3]), 0) }, want: []string{"content-differs E-001/W3"}},
		"content shorter": {change: func(b bundletest.Bag) { b[w3] = b[w3][1:] }, want: []string{"content-differs E-001/W3"}},
		"segment changed": {change: flip(w3, digest.Segment+9), want: []string{"content-differs E-001/W3"}, ranges: []digest.Range{segment}},
		"segment and list changed": {
			change: func(b bundletest.Bag) { b.Flip(w3, 9); b.Flip("data/midstates/E-001-W3.midstates", 9) },
			want:   []string{"content-differs E-001/W3", "object-differs data/midstates/E-001-W3.midstates"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bag := story.bag.Clone()
			row.change(bag)
			bag.Recompute()
			packed := bag.Zip(t)
			r := judge(t, packed, verify.Options{Policy: &story.policy})
			got := codes(r.Findings)
			if slices.Contains(row.want, everywhere) {
				got = slices.Compact(slices.Sorted(func(yield func(string) bool) {
					for _, g := range got {
						code, subject, _ := strings.Cut(g, " ")
						if strings.HasPrefix(subject, "entry ") {
							g = code
						}
						if !yield(g) {
							return
						}
					}
				}))
				got = append([]string{everywhere}, got...)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("%s\n%v", diff, r.Findings)
			}
			agrees(t, packed, &story.policy, r.Verdict)
			if row.ranges != nil {
				if diff := cmp.Diff(row.ranges, r.Findings[0].Ranges); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// everywhere marks findings that every entry has: only their codes are compared.
const everywhere = "everywhere"

func all(found ...string) []string { return append([]string{everywhere}, found...) }

func flip(path string, at int) func(bundletest.Bag) {
	return func(b bundletest.Bag) { b.Flip(path, at) }
}

func drop(path string) func(bundletest.Bag) {
	return func(b bundletest.Bag) { delete(b, path) }
}

// checkpointRoot changes the root in the checkpoint and leaves its signature.
func checkpointRoot(b bundletest.Bag) {
	lines := strings.SplitN(string(b["data/checkpoint"]), "\n", 4)
	lines[2] = base64.StdEncoding.EncodeToString(make([]byte, 32))
	b["data/checkpoint"] = []byte(strings.Join(lines, "\n"))
}

// checkpointSig changes a byte of the checkpoint's signature.
func checkpointSig(b bundletest.Bag) {
	note := bytes.Clone(b["data/checkpoint"])
	at := bytes.LastIndexByte(note, ' ') + 40
	note[at] = map[bool]byte{true: 'B', false: 'A'}[note[at] == 'A']
	b["data/checkpoint"] = note
}

// TestManifestOnly changes only what the manifests say of a content that is proven
// without them.
func TestManifestOnly(t *testing.T) {
	story := tell(t, "W3")
	bag := story.bag.Clone()
	sum := sha256.Sum256(bundletest.Image())
	bag[bundle.ManifestFile] = bytes.Replace(bag[bundle.ManifestFile], fmt.Appendf(nil, "%x  data/content", sum), fmt.Appendf(nil, "%x  data/content", sha256.Sum256(nil)), 1)
	r := judge(t, bag.Zip(t), verify.Options{Policy: &story.policy})
	want := []string{"manifest-sum data/content/E-001-W3.bin", "manifest-sum manifest-sha256.txt"}
	if got := codes(r.Findings); !slices.Equal(got, want) {
		t.Error(got)
	}
	if c := r.Copies[4]; c.Copy != "E-001/W3" || c.Content != verify.ContentVerified {
		t.Errorf("%+v", c)
	}
}

// TestNewestDropped leaves out the newest entries of each chain, one more each time.
func TestNewestDropped(t *testing.T) {
	story := tell(t)
	list := entries(t, story.bag)
	for _, row := range []struct {
		system bool
		want   string
	}{{true, "system-end entry 29"}, {false, "seal-missing"}} {
		bag := story.bag.Clone()
		for i := len(list) - 1; i > 0; i-- {
			l := list[i]
			if l.Case.IsZero() != row.system {
				continue
			}
			edit(bag, func(lines [][]byte) [][]byte { return slices.Delete(lines, l.at, l.at+1) })
			delete(bag, l.payload())
			delete(bag, l.signature())
			delete(bag, l.proof())
			bag.Recompute()
			r := judge(t, bag.Zip(t), verify.Options{Policy: &story.policy})
			if got := codes(r.Findings); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, row.want) }) {
				t.Errorf("without %d and later: %q", l.Seq, got)
			}
			if i%4 == 0 {
				agrees(t, bag.Zip(t), &story.policy, r.Verdict)
			}
			if row.system {
				for j := range list[i:] { // the lines behind have moved up
					list[i+j].at--
				}
			}
		}
		list = entries(t, story.bag)
	}
}

// TestOtherTop puts the bundle under the name of another case.
func TestOtherTop(t *testing.T) {
	story := tell(t)
	bag := story.bag.Clone()
	bag[bundle.BagInfoFile] = bytes.Replace(bag[bundle.BagInfoFile], []byte("2026-0042"), []byte("2026-0043"), 1)
	bag.Recompute()
	packed := bytes.ReplaceAll(bag.Zip(t), []byte("2026-0042/"), []byte("2026-0043/"))
	r := judge(t, packed, verify.Options{Policy: &story.policy})
	if got := codes(r.Findings); !slices.Equal(got, []string{"bundle-reference 2026-0043", "bundle-reference bag-info.txt"}) {
		t.Error(got)
	}
	agrees(t, packed, &story.policy, r.Verdict)
}

// TestNotFromHere judges a bundle that is nothing but a directory of the right names.
func TestNotFromHere(t *testing.T) {
	for _, content := range []string{"", "x", "\n", "{}\n"} {
		story := tell(t)
		bag := bundletest.Bag{}
		for path := range story.bag {
			bag[path] = []byte(content)
		}
		bag["bagit.txt"] = story.bag["bagit.txt"]
		top := bag.WriteTo(t)
		if theirs, out := second(t, top, &story.policy); theirs != verify.Failed {
			t.Errorf("%q: verify.py says %s:\n%s", content, theirs, out)
		}
		b, err := bundle.OpenDir(t.Context(), top)
		if err != nil {
			t.Fatal(err)
		}
		r, err := verify.Bundle(t.Context(), b, verify.Options{Policy: &story.policy})
		if err != nil || r.Verdict != verify.Failed || r.Case != nil {
			t.Errorf("%q: %v %+v", content, err, r)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
