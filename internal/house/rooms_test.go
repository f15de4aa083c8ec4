package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A pattern is an import path, or one and everything below it: "net", "net/...".

// room is what never happens in a folder and the folders below it.
type room struct {
	dir    string
	direct []string // never imported by its own files
	deep   []string // never reached, however many packages lie between
	clock  bool     // the time is passed in
}

// bans reports whether a file of the room may not import dep.
func (r room) bans(dep string) bool {
	return !inside(strings.TrimPrefix(dep, ours+"/"), r.dir) &&
		slices.ContainsFunc(slices.Concat(r.direct, r.deep), func(bad string) bool { return matches(bad, dep) })
}

// rooms is the "never there" column of the plan of the house. Rooms that ban more
// than the plan says do so because the plan's flow of imports needs it.
var rooms = []room{
	// Behaviour. Wire types may be made of the pure nouns.
	{dir: "api", direct: []string{
		ours + "/internal/acquire", ours + "/internal/bundle", ours + "/internal/client", ours + "/internal/custody",
		ours + "/internal/database", ours + "/internal/objectstore", ours + "/internal/report", ours + "/internal/server",
		ours + "/internal/verify", ours + "/internal/web", "database/sql/...",
	}},
	// SQL and JSON, embedded.
	{dir: "schema", direct: []string{ours + "/...", "os", "database/sql/...", "net/..."}},
	// I/O beyond readers.
	{dir: "internal/digest", direct: []string{ours + "/...", "os/...", "path/filepath", "net/...", "database/sql/..."}},
	// Database, HTTP. An SSH agent is a socket: "net" is allowed.
	{dir: "internal/identity", deep: []string{"database/sql", "net/http", ours + "/internal/database"}},
	// Ledger, clock, network.
	{
		dir: "internal/evidence", clock: true, direct: []string{"net/...", "os/..."},
		deep: []string{ours + "/internal/ledger", "net/http", "database/sql"},
	},
	{dir: "internal/ledger", direct: []string{ours + "/..."}, deep: []string{"net/http", "database/sql"}},
	// Policy: it reads logs and containers, others judge them.
	{dir: "internal/acquire", direct: []string{"net/..."}, deep: []string{
		ours + "/internal/verify", ours + "/internal/custody", ours + "/internal/database", "net/http", "database/sql",
	}},
	{dir: "internal/bundle", direct: []string{"net/..."}, deep: []string{
		"net/http", "database/sql", ours + "/internal/database", ours + "/internal/server", ours + "/internal/client",
	}},
	{dir: "internal/verify", direct: []string{"net/..."}, deep: []string{
		"net/http", "database/sql", ours + "/internal/server", ours + "/internal/client", ours + "/internal/database",
	}},
	{dir: "internal/timestamp", direct: []string{ours + "/...", "os/...", "net/..."}, deep: []string{"net/http", "database/sql"}},
	// Where the log comes from is its callers' business.
	{dir: "internal/mirror", clock: true, direct: []string{"net/..."}, deep: []string{
		"net/http", "database/sql", ours + "/internal/custody", ours + "/internal/server", ours + "/internal/client", ours + "/internal/database",
	}},
	{dir: "internal/report", clock: true, deep: []string{"database/sql", ours + "/internal/database"}},
	// Policy, HTTP, signing.
	{
		dir: "internal/database", direct: []string{"crypto/ed25519", "golang.org/x/crypto/ssh/...", "github.com/hiddeco/sshsig"},
		deep: []string{"net/http", ours + "/internal/custody", ours + "/internal/verify", ours + "/internal/server"},
	},
	// A witness knows the ledger's arithmetic and nothing of what is in it.
	{dir: "internal/witness", clock: true, deep: []string{
		"database/sql", ours + "/internal/custody", ours + "/internal/database", ours + "/internal/evidence", ours + "/internal/server",
	}},
	// Whatever else the service does: the signer holds the key, and knows no more than the ledger.
	{dir: "internal/signer", deep: []string{
		"database/sql", ours + "/internal/custody", ours + "/internal/database", ours + "/internal/evidence", ours + "/internal/server",
	}},
	{dir: "internal/objectstore", direct: []string{ours + "/..."}},
	// SQL text is a rule of its own, in source_test.go.
	{
		dir: "internal/custody", clock: true, direct: []string{"os/...", "database/sql/...", "github.com/minio/minio-go/..."},
		deep: []string{"github.com/labstack/echo/...", ours + "/internal/server", ours + "/internal/web", ours + "/internal/client"},
	},
	// Decisions about custody: they ask custody, never the rows.
	{dir: "internal/server", direct: []string{ours + "/internal/database"}},
	{dir: "internal/web", direct: []string{ours + "/internal/database"}},
	// Judging.
	{dir: "internal/client", deep: []string{
		"database/sql", ours + "/internal/verify", ours + "/internal/custody", ours + "/internal/database", ours + "/internal/server",
	}},
}

// only says in which rooms a dependency may be imported. Glue that was generated
// into api imports what its generator wants.
var only = []struct {
	dep  string
	dirs []string
}{
	{"github.com/labstack/echo/...", []string{"internal/server", "internal/web"}},
	{"github.com/oapi-codegen/echo-middleware/...", []string{"internal/server"}},
	{"github.com/tus/tusd/...", []string{"internal/server"}},
	{"github.com/minio/minio-go/...", []string{"internal/objectstore"}},
	{"database/sql/...", []string{"internal/database"}},
	{"github.com/jmoiron/sqlx/...", []string{"internal/database"}},
	{"github.com/mattn/go-sqlite3/...", []string{"internal/database"}},
	{"github.com/pressly/goose/...", []string{"internal/database"}},
}

func matches(pattern, path string) bool {
	below, ok := strings.CutSuffix(pattern, "/...")
	return path == below || ok && strings.HasPrefix(path, below+"/")
}

func inside(dir string, rooms ...string) bool {
	return slices.ContainsFunc(rooms, func(room string) bool { return matches(room+"/...", dir) })
}

func roomRules() []rule {
	direct := rule{
		name: "rooms",
		check: func(files []file) (findings []string) {
			for _, f := range files {
				if f.ast == nil || f.test {
					continue
				}
				for _, dep := range f.imports() {
					for _, r := range rooms {
						if inside(f.dir, r.dir) && r.bans(dep) {
							findings = append(findings, fmt.Sprintf("%s: %s never imports %s", f.path, r.dir, dep))
						}
					}
				}
			}
			return findings
		},
		good: fstest.MapFS{
			"internal/verify/verify.go":          goFile("package verify", "import _ \""+ours+"/internal/ledger\""),
			"internal/verify/verify_test.go":     goFile("package verify", "import _ \"net/http\""),
			"internal/objectstore/s3/s3.go":      goFile("package s3", "import _ \""+ours+"/internal/objectstore/keys\""),
			"internal/verification/unrelated.go": goFile("package verification", "import _ \"net/http\""),
		},
		bad: map[string]fstest.MapFS{
			"below the room": {"internal/verify/tsa/tsa.go": goFile("package tsa", "import _ \"net/http\"")},
			"generated":      {"api/x.gen.go": goFile("// Code generated by x. DO NOT EDIT.", "package api", "import _ \""+ours+"/internal/custody\"")},
		},
	}
	for _, r := range rooms {
		for _, bad := range slices.Concat(r.direct, r.deep) {
			dep := strings.TrimSuffix(bad, "/...")
			direct.bad[r.dir+" with "+dep] = fstest.MapFS{r.dir + "/x.go": goFile("package x", "import _ \""+dep+"\"")}
		}
	}

	sole := rule{
		name: "one room for each dependency",
		check: func(files []file) (findings []string) {
			for _, f := range files {
				if f.ast == nil || f.test || f.generated && inside(f.dir, "api") {
					continue
				}
				for _, dep := range f.imports() {
					for _, o := range only {
						if matches(o.dep, dep) && !inside(f.dir, o.dirs...) {
							findings = append(findings, fmt.Sprintf("%s: %s is imported in %s only", f.path, dep, strings.Join(o.dirs, ", ")))
						}
					}
				}
			}
			return findings
		},
		good: fstest.MapFS{"api/server.gen.go": goFile("// Code generated by x. DO NOT EDIT.", "package api", "import _ \"github.com/labstack/echo/v4\"")},
		bad:  map[string]fstest.MapFS{},
	}
	for _, o := range only {
		dep := strings.TrimSuffix(o.dep, "/...")
		sole.good[o.dirs[0]+"/"+filepath.Base(dep)+".go"] = goFile("package x", "import _ \""+dep+"\"")
		sole.bad[dep] = fstest.MapFS{"internal/acquire/x.go": goFile("package acquire", "import _ \""+dep+"\"")}
	}
	return []rule{direct, sole}
}

// TestReach asks the go command what each room reaches through the packages it
// imports, ours and others.
func TestReach(t *testing.T) {
	packages, err := reach(t, "../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range deepFindings(packages) {
		t.Error(finding)
	}
}

// TestReachFinds builds a house in which verify reaches the network through a
// package that is allowed to.
func TestReachFinds(t *testing.T) {
	dir := t.TempDir()
	tree := map[string]string{
		"go.mod":                    "module " + ours + "\n\ngo 1.26\n",
		"internal/verify/verify.go": "package verify\n\nimport _ \"" + ours + "/internal/fetch\"\n",
		"internal/fetch/fetch.go":   "package fetch\n\nimport _ \"net/http\"\n",
	}
	for name, text := range tree {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := reach(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"internal/verify reaches net/http"}
	if got := deepFindings(packages); !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

// reach gives everything that each package of the module in dir depends on. What
// does not build is listed too (-e): that it does not is for the build to say.
func reach(t *testing.T, dir string) (map[string][]string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Deps", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.Bytes())
	}
	packages := map[string][]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages[strings.TrimPrefix(p.ImportPath, ours+"/")] = p.Deps
	}
	if len(packages) == 0 {
		return nil, errors.New("go list: no packages")
	}
	return packages, nil
}

func deepFindings(packages map[string][]string) (findings []string) {
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		for _, r := range rooms {
			for _, dep := range packages[dir] {
				if inside(dir, r.dir) && slices.ContainsFunc(r.deep, func(bad string) bool { return matches(bad, dep) }) {
					findings = append(findings, fmt.Sprintf("%s reaches %s", dir, dep))
				}
			}
		}
	}
	return findings
}
