package verify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/verify"
)

// program is verify.py, the second verifier.
func program() string { return filepath.Join("..", "bundle", "verify.py") }

// second has verify.py judge a bundle, a zip or its directory, as a reader of it would.
func second(t *testing.T, path string, policy *verify.Policy) (verify.Verdict, string) {
	t.Helper()
	status, out := started(t, "", arguments(path, policy)...)
	return judged(t, status, out)
}

// started starts Python in a directory.
func started(t *testing.T, dir string, argv ...string) (status int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"-I"}, argv...)...)
	cmd.Dir = dir
	text, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		status = failed.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return status, string(text)
}

// arguments are those of verify.py, its name before them.
func arguments(path string, policy *verify.Policy) []string {
	if policy == nil {
		return []string{program(), path}
	}
	return []string{program(), path, policy.Key.String()}
}

// judged reads what verify.py said.
func judged(t *testing.T, status int, out string) (verify.Verdict, string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	verdict := verify.Verdict(lines[len(lines)-1])
	if want, ok := map[verify.Verdict]int{verify.Verified: 0, verify.Failed: 1, verify.Incomplete: 3}[verdict]; !ok || status != want {
		t.Fatalf("exit status %d and\n%s", status, out)
	}
	if verdict == verify.Failed && len(lines) == 1 {
		t.Error("failed without a finding")
	}
	return verdict, out
}

// forked is a Python that has imported what verify.py imports, and runs it in a process of
// its own for every line of arguments: to start it anew takes longer than most bundles.
const forked = `import hashlib, io, json, os, pathlib, re, struct, sys, zipfile
code = compile(open(sys.argv[1]).read(), sys.argv[1], "exec")
for line in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 1)
        sys.argv = json.loads(line)
        exec(code, {"__name__": "__main__"})
        sys.exit()
    os.close(write)
    with open(read, "rb") as out: text = out.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text.decode()]), flush=True)`

// python is one of them.
type python struct {
	in  *json.Encoder
	out *json.Decoder
}

// pythons that nobody uses. They end with the tests, when nobody writes to them any more.
var pythons = make(chan *python, runtime.GOMAXPROCS(0))

func startPython(t *testing.T) *python {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "python3", "-I", "-c", forked, program())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &python{json.NewEncoder(in), json.NewDecoder(out)}
}

// quickly is second, without a Python of its own.
func quickly(t *testing.T, path string, policy *verify.Policy) (verify.Verdict, string) {
	t.Helper()
	var p *python
	select {
	case p = <-pythons:
	default:
		p = startPython(t)
	}
	var status int
	var out string
	if err := errors.Join(p.in.Encode(arguments(path, policy)), p.out.Decode(&[]any{&status, &out})); err != nil {
		t.Fatal(err)
	}
	pythons <- p // no more tests run at once than there is room
	return judged(t, status, out)
}

// unseen are the attacks that verify.py does not see, and why. All others it must see.
var unseen = func() map[string]string {
	m := map[string]string{}
	for why, tests := range map[string][]string{
		"the law of custody": {
			"TestLaw/law", "TestNewer/what_stood_before_it", "TestDisclosureByService/three_hashes_that_differ",
			"TestDisclosureByService/who_may_not", "TestDisclosureByService/a_closed_case", "TestErased/under_a_hold",
		},
		"what has to be left of what is erased": {"TestErased/still_there,_what_is_left_is_not"},
		"whether two principals have one key":   {"TestDisclosureByService/two_principals_of_one_key"},
		"whether what the seal withholds was ever there": {
			"TestDisclosureByService/an_entry_of_another_case", "TestDisclosureByService/an_entry_to_come",
		},
		"which actions there are": {
			"TestNewer/action", "TestLaw/other_type", "TestNewer/a_known_action_with_more", "TestNewer/object_of_another_case's_entry",
		},
	} {
		for _, test := range tests {
			m[test] = why
		}
	}
	return m
}()

// agrees demands the verdict of verify.py, but where unseen says that it cannot.
func agrees(t *testing.T, packed []byte, policy *verify.Policy, ours verify.Verdict) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "case.zip")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, out := quickly(t, path, policy)
	if why := unseen[t.Name()]; why != "" {
		if theirs == ours {
			t.Errorf("verify.py agrees, though it is said: %s", why)
		}
		return
	}
	if theirs != ours {
		t.Errorf("verify.py says %s, not %s:\n%s", theirs, ours, out)
	}
}

// TestSecondIsShort: verify.py can be read aloud, and needs nothing but Python.
func TestSecondIsShort(t *testing.T) {
	text, err := os.ReadFile(program())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) >= 100 {
		t.Errorf("%d lines", len(lines))
	}
	for i, line := range lines {
		if len(line) > 150 {
			t.Errorf("line %d has %d columns", i+1, len(line))
		}
	}
	const names = `import ast, sys
for node in ast.walk(ast.parse(open(sys.argv[1]).read())):
    for name in [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []:
        assert name.split(".")[0] in sys.stdlib_module_names, name`
	if out, err := exec.CommandContext(t.Context(), "python3", "-c", names, program()).CombinedOutput(); err != nil {
		t.Errorf("it imports more than the standard library: %v\n%s", err, out)
	}
}

// TestSecondVerified: a bundle with everything in it, packed and unpacked, with and without
// a key from elsewhere.
func TestSecondVerified(t *testing.T) {
	story, other := tell(t, "W2", "W3"), tell(t)
	packed := filepath.Join(t.TempDir(), "case.zip")
	if err := os.WriteFile(packed, story.packed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{packed, story.bag.WriteTo(t)} {
		for want, policy := range map[verify.Verdict]*verify.Policy{verify.Verified: &story.policy, verify.Incomplete: nil, verify.Failed: &other.policy} {
			if verdict, out := second(t, path, policy); verdict != want {
				t.Errorf("%s, not %s:\n%s", verdict, want, out)
			}
		}
	}
	golden, policy := golden(t)
	agrees(t, golden, &policy, verify.Verified)
}

// TestSecondInside: verify.py lies in the bundle, and can be run in its directory.
func TestSecondInside(t *testing.T) {
	story := tell(t)
	for _, path := range []string{".", "./", "../case"} {
		top := filepath.Join(t.TempDir(), "case")
		if err := os.Rename(story.bag.WriteTo(t), top); err != nil {
			t.Fatal(err)
		}
		status, out := started(t, top, "data/verify.py", path, story.policy.Key.String())
		if status != 0 || !strings.HasSuffix(out, "verified\n") {
			t.Errorf("%s: exit status %d and\n%s", path, status, out)
		}
	}
}

// TestSecondUsage: where there is nothing to check, it says how it is run, and no verdict.
func TestSecondUsage(t *testing.T) {
	for _, argv := range [][]string{nil, {"--help"}, {filepath.Join(t.TempDir(), "none.zip")}, {".", "KEY", "more"}} {
		status, out := started(t, "", append([]string{program()}, argv...)...)
		if status != 2 || !strings.Contains(out, "verify.py BUNDLE [KEY]") || strings.HasSuffix(out, "failed\n") {
			t.Errorf("%q: exit status %d and\n%s", argv, status, out)
		}
	}
}

// TestSecondContainer: what lies in a zip or directory beside the files of a bundle.
func TestSecondContainer(t *testing.T) {
	story := tell(t)
	const script = "#!/bin/sh\n"
	bag := func(change func(bundletest.Bag)) []byte {
		b := story.bag.Clone()
		change(b)
		b.Recompute()
		return b.Zip(t)
	}
	add := func(path string) []byte {
		return bag(func(b bundletest.Bag) { b[path] = []byte(script) })
	}
	move := func(from, to string) []byte {
		return bag(func(b bundletest.Bag) { b[to] = b[from]; delete(b, from) })
	}
	whole := bag(func(bundletest.Bag) {})
	exchange := func(path, old, by string) []byte {
		return bag(func(b bundletest.Bag) { b[path] = bytes.ReplaceAll(b[path], []byte(old), []byte(by)) })
	}
	// rows changes manifest-sha256.txt, and adds a row to the list that has its hash.
	rows := func(change func(list []byte) (by, more []byte)) []byte {
		b := story.bag.Clone()
		by, more := change(b[bundle.ManifestFile])
		was, is := sha256.Sum256(b[bundle.ManifestFile]), sha256.Sum256(by)
		tags := bytes.Replace(b[bundle.TagManifestFile], fmt.Appendf(nil, "%x", was), fmt.Appendf(nil, "%x", is), 1)
		b[bundle.ManifestFile], b[bundle.TagManifestFile] = by, append(tags, more...)
		return b.Zip(t)
	}
	// directory changes bytes of the first header of the zip's directory.
	directory := func(at int, by ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[bytes.Index(b, []byte("PK\x01\x02"))+at:], by)
		return b
	}
	comment := append(bytes.Clone(whole), 'x')
	comment[len(whole)-2] = 1
	for name, packed := range map[string][]byte{
		"another bagit.txt":              exchange("bagit.txt", "1.0", "9.9"),
		"another case in bag-info.txt":   exchange("bag-info.txt", "2026-0042", "2026-9999"),
		"another ledger in bag-info.txt": exchange("bag-info.txt", "lab.example", "other.example"),
		"another date in bag-info.txt":   exchange("bag-info.txt", "2026-03-01", "2027-03-01"),
		"no signers":                     bag(func(b bundletest.Bag) { b["data/allowed_signers"] = nil }),
		"a key without newline":          exchange("data/ledger.vkey", "\n", ""),
		"a manifest with CRLF":           rows(func(list []byte) (by, more []byte) { return bytes.ReplaceAll(list, []byte("\n"), []byte("\r\n")), nil }),
		"a row in the other manifest": rows(func(list []byte) (by, more []byte) {
			at := bytes.IndexByte(list, '\n') + 1
			return list[at:], list[:at]
		}),
		"a stamped checkpoint alone":      add("data/anchors/5.checkpoint"),
		"a time stamp alone":              add("data/anchors/5-x.tsr"),
		"a consistency proof alone":       add("data/anchors/5.consistency"),
		"bzip2":                           directory(10, 12),
		"lzma":                            directory(10, 14),
		"a longer file by the directory":  directory(24, 0xff, 0xff, 0xff, 0x7f),
		"another top directory":           bytes.ReplaceAll(whole, []byte("2026-0042/"), []byte("2026-0043/")),
		"a script for a key":              move("data/ledger.pem", "data/evil.sh"),
		"a script among time stamps":      add("data/anchors/evil.sh"),
		"a script like a time stamp":      add("data/anchors/7-.tsr"),
		"a log under another name":        move("data/logs/E-001-M1.log", "data/logs/E-001-M1.sh"),
		"a log for another tool":          add("data/logs/E-001-M1.sh"),
		"a file outside of data":          add("README"),
		"a script before the zip":         append([]byte(script), whole...),
		"a script behind the zip":         append(bytes.Clone(whole), script...),
		"a comment":                       comment,
		"a directory above the directory": bytes.ReplaceAll(whole, []byte("2026-0042/d"), []byte("2026-0043/d")),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "case.zip")
			if err := os.WriteFile(path, packed, 0o600); err != nil {
				t.Fatal(err)
			}
			if theirs, out := second(t, path, &story.policy); theirs != verify.Failed {
				t.Errorf("verify.py says %s:\n%s", theirs, out)
			}
			if b, err := bundle.Open(t.Context(), bytes.NewReader(packed), int64(len(packed))); err == nil {
				if r, err := verify.Bundle(t.Context(), b, verify.Options{Policy: &story.policy}); err != nil || r.Verdict != verify.Failed {
					t.Errorf("ours: %v %s", err, r.Verdict)
				}
			}
		})
	}
	for name, change := range map[string]func(top string) error{
		"a link": func(top string) error {
			log := filepath.Join(top, "data/logs/E-001-M1.log")
			return errors.Join(os.Rename(log, top+".log"), os.Symlink(top+".log", log))
		},
		"a link to a directory": func(top string) error {
			logs := filepath.Join(top, "data/logs")
			return errors.Join(os.Rename(logs, top+".logs"), os.Symlink(top+".logs", logs))
		},
		"a link more": func(top string) error { return os.Symlink("/dev/zero", filepath.Join(top, "data/zero")) },
		"a pipe":      func(top string) error { return syscall.Mkfifo(filepath.Join(top, "data/pipe"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			top := filepath.Join(t.TempDir(), "case")
			if err := errors.Join(os.Rename(story.bag.WriteTo(t), top), change(top)); err != nil {
				t.Fatal(err)
			}
			if theirs, out := second(t, top, &story.policy); theirs != verify.Failed {
				t.Errorf("verify.py says %s:\n%s", theirs, out)
			}
		})
	}
}

// TestSecondDisclosed: what is withheld or erased hides nothing else.
func TestSecondDisclosed(t *testing.T) {
	for name, test := range map[string]struct {
		before  func(*bundletest.Story)
		without func(*bundletest.Story) bundletest.Without
		tamper  func(bundletest.Bag)
	}{
		"content":   {nil, of("access.denied"), drop("data/content/E-001-W2.bin")},
		"midstates": {nil, of("access.denied"), drop("data/midstates/E-001-M1.midstates")},
		"a log":     {nil, of("access.denied"), drop("data/logs/E-001-M1.log")},
		"an erasure": {func(s *bundletest.Story) {
			s.Enrol("admin1", "custodian1", identity.RoleCustodian)
			s.Erase("custodian1", s.EntryOf("exhibit.added", 1))
		}, of("payload.erased"), nil},
		"another's signature under what is erased": {func(s *bundletest.Story) {
			s.Enrol("admin1", "custodian1", identity.RoleCustodian)
			added := evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}
			event := s.Event(s.Case, "examiner1", added)
			payload := encode(t, event)
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("admin1", payload))
			n := s.Size() - 1
			leaf := leafOf(t, bundletest.Unpack(t, bundletest.Write(t, s.Bundle())), n)
			s.Append(s.Event(s.Case, "custodian1", evidence.PayloadErased{Entry: n, Leaf: leaf, Authority: "court", Reason: "ordered", Residue: residue(t, event)}))
		}, of("access.denied"), drop("data/payloads/30.json")},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			if test.before != nil {
				test.before(s)
			}
			bag := bundletest.Unpack(t, bundletest.Write(t, s.Disclose(test.without(s), "W2")))
			if test.tamper != nil {
				test.tamper(bag)
				bag.Recompute()
			}
			policy := verify.Policy{Key: s.Key()}
			r := judge(t, bag.Zip(t), verify.Options{Policy: &policy})
			if r.Verdict != verify.Failed {
				t.Errorf("%s %v", r.Verdict, r.Findings)
			}
			agrees(t, bag.Zip(t), &policy, r.Verdict)
		})
	}
}

// TestSecondNewer: entries of a newer service, of each type but keys, which nothing here writes.
func TestSecondNewer(t *testing.T) {
	for _, kind := range []evidence.EntryType{evidence.EventEntry, evidence.AnchorEntry, evidence.EraseEntry, evidence.SealEntry} {
		t.Run(string(kind), func(t *testing.T) {
			s := bundletest.NewStory(t)
			added := encode(t, s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}))
			payload := []byte(strings.NewReplacer("exhibit.added", "thing.done", `"v":1`, `"v":2`).Replace(string(added)))
			s.AppendRaw(s.Case, kind, payload, s.Sign("examiner1", payload))
			s.Seal()
			policy := verify.Policy{Key: s.Key()}
			packed := bundletest.Write(t, s.Bundle())
			r := judge(t, packed, verify.Options{Policy: &policy})
			if r.Verdict != verify.Incomplete {
				t.Errorf("%s %v", r.Verdict, r.Findings)
			}
			agrees(t, packed, &policy, r.Verdict)
		})
	}
}
