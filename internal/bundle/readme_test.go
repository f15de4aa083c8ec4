package bundle_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// The paragraphs of commands in README.txt.
const (
	readManifests = iota
	readKey
	readCheckpoint
	readForm
	readInclusion
	readChains
	readSeal
	readPayloads
	readSigners
	readCopies
	readAnchors
	readStamps
	paragraphs
)

// commands gives the paragraphs of README.txt that are indented by four spaces, with
// the key that the reader knows.
func commands(t *testing.T, bag bundletest.Bag, key string) []string {
	t.Helper()
	var blocks []string
	for paragraph := range strings.SplitSeq(string(bag[bundle.ReadmeFile]), "\n\n") {
		if paragraph = strings.Trim(paragraph, "\n"); strings.HasPrefix(paragraph, "    ") {
			blocks = append(blocks, strings.Replace(paragraph, "'KEY'", "'"+key+"'", 1))
		}
	}
	if len(blocks) != paragraphs {
		t.Fatalf("%d paragraphs of commands", len(blocks))
	}
	return blocks
}

// enter has a shell execute a paragraph and reports whether it was in order.
func enter(t *testing.T, shell, bag, block string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shell, "-c", block)
	cmd.Dir = filepath.Join(bag, "data")
	out, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	said := strings.Contains(string(out), " is in order")
	if said != (err == nil) {
		t.Errorf("%v, but\n%s", err, out)
	}
	return string(out), err == nil
}

// TestReadme runs the commands of README.txt as they stand there, with contents and
// without.
func TestReadme(t *testing.T) {
	for shell, contents := range map[string][]evidence.Number{"sh": nil, "bash": {"W2"}} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			src := exported(t, contents...)
			bag := bundletest.Unpack(t, bundletest.Write(t, src))
			dir := bag.WriteTo(t)
			var output strings.Builder
			for _, block := range commands(t, bag, src.Key.String()) {
				out, ok := enter(t, shell, dir, block)
				if !ok {
					t.Errorf("not in order:\n%s\n%s", block, out)
				}
				output.WriteString(out)
			}
			for _, want := range []string{
				"Signature Verified Successfully", `Good "custody-event" signature for custodyd`,
				`Good "custody-event" signature for analyst1`, "  content/E-001-M1\n", "  content/E-002-M1\n",
			} {
				if !strings.Contains(output.String(), want) {
					t.Errorf("no %q in\n%s", want, &output)
				}
			}
		})
	}
}

// disclosed is the source of a bundle without people, one exhibit and what was declared of
// the first copy.
func disclosed(t *testing.T) bundle.Source {
	t.Helper()
	s := bundletest.NewStory(t)
	w := bundletest.Withhold(s.EntryOf("exhibit.added", 1), s.EntryOf("intake.declared", 0))
	w.People = true
	return s.Disclose(w, "W2")
}

// TestReadmeWithheld runs the commands on a bundle from which something is withheld.
func TestReadmeWithheld(t *testing.T) {
	only := bundletest.NewStory(t)
	erased := bundletest.NewStory(t)
	erased.Enrol("admin1", "custodian1", identity.RoleCustodian)
	for _, kind := range []evidence.Kind{"exhibit.added", "intake.declared", "copy.issued"} {
		erased.Erase("custodian1", erased.EntryOf(kind, 0))
	}
	for name, row := range map[string]struct {
		src   bundle.Source
		shell string
	}{
		"people and more": {disclosed(t), "sh"},
		"an exhibit":      {only.Disclose(bundletest.Withhold(only.EntryOf("exhibit.added", 0), only.EntryOf("copy.sealed", 0))), "bash"},
		"erased":          {erased.Disclose(bundletest.Withhold(erased.EntryOf("copy.returned", 0))), "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bag := bundletest.Unpack(t, bundletest.Write(t, row.src))
			dir := bag.WriteTo(t)
			var output strings.Builder
			for _, block := range commands(t, bag, row.src.Key.String()) {
				out, ok := enter(t, row.shell, dir, block)
				if !ok {
					t.Errorf("not in order:\n%s\n%s", block, out)
				}
				output.WriteString(out)
			}
			if !strings.Contains(output.String(), " is withheld: its payload is not here\n") || !strings.Contains(output.String(), "signature for analyst1") {
				t.Error(output.String())
			}
		})
	}
}

// TestReadmeFindsUnstated: more is missing than is stated, or less.
func TestReadmeFindsUnstated(t *testing.T) {
	src := disclosed(t)
	whole := bundletest.Unpack(t, bundletest.Write(t, src))
	drop := func(path string) func(bundletest.Bag) { return func(b bundletest.Bag) { delete(b, path) } }
	signers := func(from, to string) func(bundletest.Bag) {
		return func(b bundletest.Bag) {
			b[bundle.SignersFile] = []byte(strings.Replace(string(b[bundle.SignersFile]), from, to, 1))
		}
	}
	for name, row := range map[string]struct {
		change func(bundletest.Bag)
		block  int
	}{
		"another payload":       {drop("data/payloads/4.json"), readPayloads},
		"the seal's":            {drop("data/payloads/29.json"), readPayloads},
		"a signature":           {drop("data/payloads/1.json.sig"), readPayloads},
		"a payload put back":    {func(b bundletest.Bag) { b["data/payloads/1.json"] = []byte("{}") }, readPayloads},
		"somebody renamed":      {signers("examiner1", "examiner9"), readPayloads},
		"another's key":         {func(b bundletest.Bag) { b.Flip(bundle.SignersFile, len(b[bundle.SignersFile])-9) }, readSigners},
		"a key more":            {func(b bundletest.Bag) { b[bundle.SignersFile] = append(bytes.Clone(b[bundle.SignersFile]), "x\n"...) }, readSigners},
		"a comment":             {signers("\n", " Jane Roe\n"), readSigners},
		"a log put back":        {func(b bundletest.Bag) { b["data/logs/E-001-M1.log"] = bundletest.ToolLog }, readCopies},
		"a list of a shown set": {drop("data/files/E-001-M2.jsonl"), readCopies},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bag := whole.Clone()
			row.change(bag)
			bag.Recompute()
			dir := bag.WriteTo(t)
			if out, ok := enter(t, "sh", dir, commands(t, whole, src.Key.String())[row.block]); ok {
				t.Errorf("did not notice:\n%s", out)
			}
		})
	}
}

// TestReadmeFinds has an attacker change a bundle and mend its manifests.
func TestReadmeFinds(t *testing.T) {
	src := exported(t, "W2")
	whole := bundletest.Unpack(t, bundletest.Write(t, src))
	const code = "x[$(touch pwned)]"
	replace := func(path, from, to string) func(bundletest.Bag) {
		return func(b bundletest.Bag) {
			bad := strings.Replace(string(b[path]), from, to, 1)
			if bad == string(b[path]) {
				t.Errorf("%s: nothing to change", path)
			}
			b[path] = []byte(bad)
		}
	}
	drop := func(path string) func(bundletest.Bag) { return func(b bundletest.Bag) { delete(b, path) } }
	add := func(path, content string) func(bundletest.Bag) {
		return func(b bundletest.Bag) { b[path] = append(bytes.Clone(b[path]), content...) }
	}
	// The newest entries are replaced by a seal of the attacker's, in a line without end.
	unended := func(b bundletest.Bag) {
		lines := strings.SplitAfter(string(b[bundle.EntriesFile]), "\n")
		seal := strings.TrimSuffix(lines[len(lines)-2], "\n")
		b[bundle.EntriesFile] = []byte(strings.Join(lines[:len(lines)-4], "") + strings.Replace(seal, `"prev":"`, `"prev":"0`, 1))
	}
	sealCode := func(b bundletest.Bag) {
		text := string(b[bundle.EntriesFile])
		at := strings.LastIndex(text, `"seq":`) + len(`"seq":`)
		b[bundle.EntriesFile] = []byte(text[:at] + code + text[at:])
	}
	empty := func(b bundletest.Bag) { b[bundle.EntriesFile] = nil }
	// The newest entry of no case is left out.
	system := func(b bundletest.Bag) {
		text := string(b[bundle.EntriesFile])
		from := strings.LastIndex(text, `{"case":"00000000000000000000000000000000"`)
		b[bundle.EntriesFile] = []byte(text[:from] + text[from+strings.Index(text[from:], "\n")+1:])
	}
	for name, row := range map[string]struct {
		change func(bundletest.Bag)
		block  int // that must notice
	}{
		"other key":            {replace("data/ledger.vkey", "+", "+0"), readKey},
		"second key":           {add("data/ledger.vkey", string(whole[bundle.KeyFile])), readKey},
		"other pem":            {replace("data/ledger.pem", "MCowBQYDK2VwAyEA", "MCowBQYDK2VwAyEB"), readKey},
		"signature":            {replace("data/checkpoint.body", "lab", "bal"), readCheckpoint},
		"checkpoint":           {replace("data/checkpoint", "lab", "bal"), readCheckpoint},
		"no entries":           {empty, readForm},
		"entries of nothing":   {add("data/entries.jsonl", "\x00\n"), readForm},
		"entries of another":   {replace("data/entries.jsonl", `"log":"lab`, `"log":"bal`), readForm},
		"spaces":               {replace("data/entries.jsonl", `,"seq":3`, `, "seq":3`), readForm},
		"line without end":     {unended, readForm},
		"line not in it":       {unended, readInclusion},
		"inclusion":            {replace("data/entries.jsonl", `"time":"2026`, `"time":"2025`), readInclusion},
		"proof":                {drop("data/proofs/3.tlog-proof"), readInclusion},
		"size is code":         {replace("data/checkpoint.body", "\n", "\n"+code+"\n"), readInclusion},
		"number is code":       {replace("data/entries.jsonl", `"seq":3`, `"seq":`+code), readInclusion},
		"chains":               {replace("data/entries.jsonl", `"time":"2026`, `"time":"2025`), readChains},
		"seal":                 {replace("data/entries.jsonl", `"type":"seal"`, `"type":"event"`), readSeal},
		"newest dropped":       {unended, readChains},
		"seal is code":         {sealCode, readSeal},
		"system dropped":       {system, readSeal},
		"payload":              {replace("data/payloads/3.json", "examiner1", "examiner2"), readPayloads},
		"payload is gone":      {drop("data/payloads/3.json"), readPayloads},
		"payload too many":     {add("data/payloads/900.json", "{}"), readPayloads},
		"payload's line":       {unended, readPayloads},
		"payload's is code":    {replace("data/entries.jsonl", `"seq":3`, `"seq":`+code), readPayloads},
		"signers":              {replace("data/allowed_signers", "custodyd", "custodye"), readPayloads},
		"keys":                 {replace("data/allowed_signers", "custodyd", "custodye"), readSigners},
		"one key more":         {add("data/allowed_signers", "x namespaces=\"custody-event\" ssh-ed25519 AAAA\n"), readSigners},
		"log":                  {replace("data/logs/E-001-M1.log", "0 bad", "9 bad"), readCopies},
		"log is gone":          {drop("data/logs/E-001-M1.log"), readCopies},
		"log too many":         {add("data/logs/E-001-M2.log", "all is well\n"), readCopies},
		"log of another":       {func(b bundletest.Bag) { b["data/logs/E-001-M2.log"] = b["data/logs/E-001-M1.log"] }, readCopies},
		"files":                {replace("data/files/E-001-M2.jsonl", "image.001", "image.003"), readCopies},
		"midstates":            {func(b bundletest.Bag) { b.Flip("data/midstates/E-001-M1.midstates", 3) }, readCopies},
		"content":              {func(b bundletest.Bag) { b.Flip("data/content/E-001-W2.bin", 3) }, readCopies},
		"log of nobody's copy": {add("data/payloads/900.json", string(whole["data/payloads/10.json"])), readPayloads},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bag := whole.Clone()
			row.change(bag)
			bag.Recompute()
			dir := bag.WriteTo(t)
			for _, shell := range []string{"sh", "bash"} {
				if out, ok := enter(t, shell, dir, commands(t, whole, src.Key.String())[row.block]); ok {
					t.Errorf("%s did not notice:\n%s", shell, out)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "data", "pwned")); err == nil {
				t.Error("the bundle had the reader's shell execute something")
			}
		})
	}
	t.Run("manifests", func(t *testing.T) {
		bag := whole.Clone()
		bag.Flip(bundle.ReadmeFile, 3)
		if out, ok := enter(t, "sh", bag.WriteTo(t), commands(t, whole, "")[readManifests]); ok {
			t.Error(out)
		}
	})
}

// TestReadmeCutBack: of the later of two exports only what the earlier one held is left,
// under the later checkpoint.
func TestReadmeCutBack(t *testing.T) {
	s := bundletest.NewStory(t)
	s.Seal()
	s.Seal()
	src := s.Bundle()
	bag := bundletest.Unpack(t, bundletest.Write(t, src))
	blocks := commands(t, bag, src.Key.String())
	if out, ok := enter(t, "sh", bag.WriteTo(t), blocks[readSeal]); !ok {
		t.Fatal(out)
	}
	text := bytes.TrimSuffix(bag[bundle.EntriesFile], []byte("\n"))
	bag[bundle.EntriesFile] = text[:bytes.LastIndexByte(text, '\n')+1]
	dir := bag.WriteTo(t)
	if out, ok := enter(t, "sh", dir, blocks[readChains]); !ok {
		t.Fatal(out)
	}
	const want = "the checkpoint does not end with the seal"
	if out, ok := enter(t, "sh", dir, blocks[readSeal]); ok || !strings.Contains(out, want) {
		t.Errorf("want %q:\n%s", want, out)
	}
}

// TestReadmeForged: a whole bundle made with other keys, with the ledger's real key as
// text beside it.
func TestReadmeForged(t *testing.T) {
	real := exported(t)
	bag := bundletest.Unpack(t, bundletest.Write(t, exported(t)))
	bag[bundle.KeyFile] = []byte(real.Key.String() + "\n")
	bag.Recompute()
	if out, ok := enter(t, "sh", bag.WriteTo(t), commands(t, bag, real.Key.String())[readKey]); ok {
		t.Error(out)
	}
}

// TestReadmeBorrowed: the ledger itself puts a payload where it was not signed for.
func TestReadmeBorrowed(t *testing.T) {
	want := map[string]string{
		"of another case": "was signed for another case",
		"twice":           "stands in two entries",
	}
	for name, lie := range map[string]func(*bundletest.Story){
		"of another case": func(s *bundletest.Story) {
			payload := encode(t, s.Event(s.Other, "examiner1", evidence.CaseClosed{Reason: "done"}))
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("examiner1", payload))
		},
		"twice": func(s *bundletest.Story) {
			payload := encode(t, s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "done"}))
			for range 2 {
				s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("examiner1", payload))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			lie(s)
			seal := s.Event(s.Case, "custodyd", s.Exported())
			s.Append(seal)
			src := s.Bundle()
			bag := bundletest.Unpack(t, bundletest.Write(t, src))
			out, ok := enter(t, "sh", bag.WriteTo(t), commands(t, bag, src.Key.String())[readPayloads])
			if ok || !strings.Contains(out, want[name]) {
				t.Errorf("want %q:\n%s", want[name], out)
			}
		})
	}
}

func encode(t *testing.T, e evidence.Event) []byte {
	t.Helper()
	payload, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
