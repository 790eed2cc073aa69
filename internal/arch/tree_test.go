package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree is the source of a module.
type tree struct {
	packages map[string]*source // by folder, from the root of the module
	files    map[string][]byte  // by path; nil if it is no text
}

// source is the package in one folder. The files of an external test package
// count as its test files.
type source struct {
	name        string
	doc         string            // of all files that are not tests
	imports     map[string]string // import path to a file that has it, tests apart
	testImports map[string]string
	clock       map[string]string // functions of package time that read or follow the clock, likewise
}

// load reads a module. It reads through fsys alone, so that the test cache knows
// what the result depends on.
func load(t *testing.T, fsys fs.FS) tree {
	t.Helper()
	got := tree{packages: map[string]*source{}, files: map[string][]byte{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return leaveOut(path.Base(name))
		}
		if !entry.Type().IsRegular() || entry.Name() == ".git" {
			return nil
		}
		return got.add(fsys, name)
	})
	if err != nil {
		t.Fatalf("reading the tree: %v", err)
	}
	return got
}

// leaveOut skips folders that hold nothing we commit.
func leaveOut(dir string) error {
	hidden := strings.HasPrefix(dir, ".") && !slices.Contains([]string{".", ".ci", ".github"}, dir)
	if hidden || slices.Contains([]string{"bin", "dist", "node_modules"}, dir) {
		return fs.SkipDir
	}
	return nil
}

func (t tree) add(fsys fs.FS, name string) error {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		text = nil // not a text
	}
	t.files[name] = text
	if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing %s: %w", name, err)
	}
	pkg := t.packages[path.Dir(name)]
	if pkg == nil {
		pkg = &source{imports: map[string]string{}, testImports: map[string]string{}, clock: map[string]string{}}
		t.packages[path.Dir(name)] = pkg
	}
	pkg.add(path.Base(name), file)
	return nil
}

func (s *source) add(name string, file *ast.File) {
	into := s.imports
	if strings.HasSuffix(name, "_test.go") {
		into = s.testImports
	} else {
		s.name = file.Name.Name
		s.doc += file.Doc.Text()
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := clockFunction(n); ok {
				s.clock[f] = name
			}
			return true
		})
	}
	for _, spec := range file.Imports {
		if imp, err := strconv.Unquote(spec.Path.Value); err == nil {
			into[imp] = name
		}
	}
}

// clockFunction returns the name of the function that n takes from package time if
// its result depends on when it is called.
func clockFunction(n ast.Node) (string, bool) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok || pkg.Name != "time" {
		return "", false
	}
	reads := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	return "time." + sel.Sel.Name, slices.Contains(reads, sel.Sel.Name)
}

// synopsis returns the first sentence of the package's doc.
func (s *source) synopsis() string { return new(doc.Package).Synopsis(s.doc) }
