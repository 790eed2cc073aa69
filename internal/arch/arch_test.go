package arch

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTree holds the rules against the module itself.
func TestTree(t *testing.T) {
	got := load(t, os.DirFS("../.."))
	for _, pkg := range []string{"operation", "subjects", "resolver", "ecsstore"} {
		if got.packages[pkg] == nil {
			t.Errorf("package %s was not found", pkg)
		}
	}
	for _, complaint := range breaches(got) {
		t.Error(complaint)
	}
}

// TestRulesBite holds each rule against the least file that breaks it, and all of
// them against a tree that breaks none.
func TestRulesBite(t *testing.T) {
	const own = `"` + module + "/"
	for _, c := range []struct{ rule, file, text string }{
		{"imports point down", "subjects/s.go", "import _ " + own + `resolver"`},
		{"imports point down", "resolver/r.go", "import _ " + own + `ecsstore"`},
		{"imports point down", "audit/a_test.go", "import _ " + own + `consumer"`},
		{"imports point down", "attic/a.go", ""},
		{"test packages serve tests", "consumer/c.go", "import _ " + own + `internal/natstest"`},
		{"pure packages import little", "resolver/r.go", `import _ "os"`},
		{"pure packages import little", "operation/o.go", `import _ "net/url"`},
		{"pure packages import little", "operation/o.go", `import _ "github.com/nats-io/nats.go"`},
		{"pure packages import little", "audit/a.go", `import _ "go.opentelemetry.io/otel"`},
		{"pure packages read no clock", "resolver/r.go", "import \"time\"\n\nvar began = time.Now()"},
		{"some modules belong to some", "client/c.go", `import _ "github.com/nats-io/nats-server/v2/server"`},
		{"some modules belong to some", "ecsstore/e.go", `import _ "go.opentelemetry.io/otel/sdk/trace"`},
		{"packages have telling names", "internal/util/u.go", ""},
		{"packages say what they do", "client/bare.go", "-"},
		{"files are short", "client/long.go", strings.Repeat("\n", maxLines)},
		{"tests do not skip", "client/c_test.go", "func f(t *testing.T) { t.Sk" + "ip(1) }"},
		{"docs link to what is there", "docs/d.md", "[a](d.md#x), [b](../client), [c](https://example.com/c), [d](nowhere.md)"},
		{"docs name tests that exist", "docs/d.md", "`TestNowhere`, but `TestR1_` is how names begin"},
		{"rules have tests", "docs/rules.md", "- **R1** *Inheritance.* It inherits."},
		{"rules have tests", "docs/rules.md", "| B1 | one root | critical wins |"},
		{"guarantees have proofs", "README.md", "| [R1](docs/rules.md) | it inherits | |"},
		{"no file names the place it comes from", "docs/d.md", "see /wor" + "k/notes"},
	} {
		t.Run(c.rule+"/"+c.file, func(t *testing.T) {
			files := sound()
			files[c.file] = &fstest.MapFile{Data: []byte(goFile(c.file, c.text))}
			if c.text == "-" {
				delete(files, "client/doc.go")
			}
			found := rules[c.rule](load(t, files))
			if len(found) != 1 {
				t.Errorf("%q finds %q in %s, want one complaint", c.rule, found, files[c.file].Data)
			}
		})
	}
	if found := breaches(load(t, sound())); found != nil {
		t.Errorf("a sound tree has breaches: %q", found)
	}
}

// TestEveryRuleIsTried fails when a rule has no example in TestRulesBite.
func TestEveryRuleIsTried(t *testing.T) {
	text, err := os.ReadFile("arch_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		if !strings.Contains(string(text), `{"`+rule+`", `) {
			t.Errorf("no example breaks the rule %q", rule)
		}
	}
}

// sound returns a module that breaks no rule: each package with its doc alone.
func sound() fstest.MapFS {
	files := fstest.MapFS{}
	for _, floor := range floors {
		for _, dir := range floor {
			name := dir[strings.LastIndex(dir, "/")+1:]
			files[dir+"/doc.go"] = &fstest.MapFile{Data: []byte("// Package " + name + " does its work.\npackage " + name + "\n")}
		}
	}
	return files
}

// goFile makes a file of Go out of text, or leaves it if it is none.
func goFile(name, text string) string {
	dir, _, _ := strings.Cut(name, "/")
	if !strings.HasSuffix(name, ".go") {
		return text
	}
	return "package " + dir + "\n\n" + strings.TrimPrefix(text, "-") + "\n"
}
