package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/verify"
)

// program is verify.py, the second verifier.
func program() string { return filepath.Join("..", "bundle", "verify.py") }

// second has verify.py judge a bundle, a zip or its directory, as a reader of it would.
func second(t *testing.T, path string, policy *verify.Policy) (verify.Verdict, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"-I"}, arguments(path, policy)...)...)
	out, err := cmd.Output()
	status := 0
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		status = failed.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return judged(t, status, string(out))
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
const forked = `import hashlib, json, os, pathlib, struct, sys, zipfile
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
		"a file for other tools, which it does not read": {
			"TestTamperParts/checkpoint.body", "TestTamperParts/checkpoint.sig", "TestTamperParts/ledger.pem",
			"TestTamperParts/signer_changed", "TestTamperParts/signer_dropped", "TestTamperParts/signer_added", "TestTamperParts/signers_swapped",
		},
		"the name of the directory, which nobody signs": {"TestOtherTop"},
		"the law of custody": {
			"TestLaw/law", "TestNewer/what_stood_before_it", "TestDisclosureByService/three_hashes_that_differ",
			"TestDisclosureByService/who_may_not", "TestDisclosureByService/a_closed_case", "TestErased/under_a_hold",
		},
		"by whose key a withheld payload is signed":                  {"TestDisclosureByService/a_stranger's_entry"},
		"what has to be left of what is erased":                      {"TestErased/still_there,_what_is_left_is_not"},
		"by what number an erasure calls the entry, beside its hash": {"TestErased/another_entry"},
		"whether two principals have one key":                        {"TestDisclosureByService/two_principals_of_one_key"},
		"whether what the seal withholds was ever there": {
			"TestDisclosureByService/an_entry_of_another_case", "TestDisclosureByService/an_entry_to_come",
		},
		"which logs and lists are withheld with a payload": {
			"TestDisclosureTampered/the_log_of_a_copy_that_is_shown", "TestWithheldObjects",
		},
		"what stands in allowed_signers and is no signer's key": {
			"TestDisclosureTampered/a_comment", "TestDisclosureTampered/a_key_more",
		},
		"which actions there are": {
			"TestNewer/action", "TestNewer/a_known_action_with_more", "TestNewer/object_of_another_case's_entry",
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
