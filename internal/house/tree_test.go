package house

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// ours is the module path; what lies below it is ours.
const ours = "github.com/custodyd/custodyd"

// file is one file of the repository. Go files outside testdata are parsed.
type file struct {
	path string
	mode fs.FileMode
	text []byte
	dir  string // its folder, which for Go files is the package

	fset      *token.FileSet
	ast       *ast.File // nil: no Go source
	test      bool
	generated bool
}

// product reports whether the file is Go code that a person wrote for the product.
func (f file) product() bool { return f.ast != nil && !f.test && !f.generated }

// at is the place of a node, for findings.
func (f file) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.fset.Position(n.Pos()).Line)
}

// imports are the import paths of a Go file.
func (f file) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			p = spec.Path.Value
		}
		paths = append(paths, p)
	}
	return paths
}

// load reads a whole repository, without .git and what .gitignore names: an
// untracked file is read too, because it is on its way in.
func load(fsys fs.FS) ([]file, error) {
	ignored, err := readIgnore(fsys)
	if err != nil {
		return nil, err
	}
	var files []file
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case name == ".git" || ignored(name):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		f, err := read(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's, gone since the folder was listed
		}
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func read(fsys fs.FS, name string) (file, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return file{}, err
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return file{}, err
	}
	f := file{path: name, mode: info.Mode(), text: text, dir: path.Dir(name)}
	if path.Ext(name) != ".go" || slices.Contains(strings.Split(name, "/"), "testdata") {
		return f, nil
	}
	f.fset = token.NewFileSet()
	f.ast, err = parser.ParseFile(f.fset, name, text, parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	f.test = strings.HasSuffix(name, "_test.go")
	f.generated = ast.IsGenerated(f.ast)
	return f, nil
}

// readIgnore understands the two forms that our .gitignore has, "/folder/" and
// "*.ext", and refuses others rather than misread them.
func readIgnore(fsys fs.FS) (func(name string) bool, error) {
	text, err := fs.ReadFile(fsys, ".gitignore")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var folders, patterns []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "/") && strings.HasSuffix(line, "/"):
			folders = append(folders, strings.Trim(line, "/"))
		case strings.HasPrefix(line, "*."):
			patterns = append(patterns, line)
		default:
			return nil, fmt.Errorf(".gitignore: %q is neither /folder/ nor *.ext", line)
		}
	}
	return func(name string) bool {
		return slices.Contains(folders, name) || slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, path.Base(name))
			return err == nil && ok
		})
	}, nil
}

// rule is one law of the house: it gives its findings, each beginning with the
// path it is about.
type rule struct {
	name  string
	check func([]file) []string
	good  fstest.MapFS            // a tree without a finding
	bad   map[string]fstest.MapFS // trees that are each found, by what is wrong
}

// TestHouse holds the repository against every rule.
func TestHouse(t *testing.T) {
	files, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(files, func(f file) bool { return f.path == "internal/house/tree_test.go" }) {
		t.Fatal("the house is not in the tree that was read")
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.check(files) {
				t.Error(finding)
			}
		})
	}
}

// TestRules breaks every rule.
func TestRules(t *testing.T) {
	check := func(t *testing.T, r rule, tree fstest.MapFS) []string {
		t.Helper()
		files, err := load(tree)
		if err != nil {
			t.Fatal(err)
		}
		return r.check(files)
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if findings := check(t, r, r.good); len(findings) > 0 {
				t.Errorf("the good tree: %q", findings)
			}
			if len(r.bad) == 0 {
				t.Error("nothing shows that this rule can fail")
			}
			for name, tree := range r.bad {
				if findings := check(t, r, tree); len(findings) != 1 {
					t.Errorf("%s: findings %q, want one", name, findings)
				}
			}
		})
	}
}

func rules() []rule {
	return slices.Concat(roomRules(), sourceRules(), textRules())
}

// goFile is a Go file of a small tree.
func goFile(lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n")}
}

// TestLoad: what is ignored is not read, what is merely untracked is.
func TestLoad(t *testing.T) {
	tree := fstest.MapFS{
		".gitignore":           {Data: []byte("/bin/\n*.test\n")},
		".git/config":          {},
		"bin/custodyd":         {},
		"a/a.test":             {},
		"a/bin/b.go":           goFile("package b"),
		"a/testdata/broken.go": {Data: []byte("this is no Go")},
	}
	files, err := load(tree)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.path)
	}
	if want := []string{".gitignore", "a/bin/b.go", "a/testdata/broken.go"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}

	tree[".gitignore"] = &fstest.MapFile{Data: []byte("!important\n")}
	if _, err := load(tree); err == nil {
		t.Error("a .gitignore that is not understood was accepted")
	}
	if _, err := load(fstest.MapFS{"a.go": goFile("pakkage a")}); err == nil {
		t.Error("a Go file that does not parse was accepted")
	}
}
