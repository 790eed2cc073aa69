package operation

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// constants returns the values of the string constants of a type, sorted.
func constants(t *testing.T, typ string) []string {
	t.Helper()
	var found []string
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if ident, named := specType(spec, ok); !named || ident != typ {
				return true
			}
			for _, value := range spec.Values {
				text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, text)
			}
			return true
		})
	}
	slices.Sort(found)
	return found
}

func specType(spec *ast.ValueSpec, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	ident, named := spec.Type.(*ast.Ident)
	if !named {
		return "", false
	}
	return ident.Name, true
}

// sources parses the files of the package that are no tests.
func sources(t *testing.T) []*ast.File {
	t.Helper()
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// enum returns the values a schema allows, sorted.
func enum(t *testing.T, ref string) []string {
	t.Helper()
	doc, _ := find(t, "", ref)
	values, _ := doc["enum"].([]any)
	var found []string
	for _, value := range values {
		found = append(found, value.(string))
	}
	slices.Sort(found)
	return found
}

// TestSchemasKnowEveryWord compares the words of the package with those of the
// schemas, both ways.
func TestSchemasKnowEveryWord(t *testing.T) {
	for typ, ref := range map[string]string{
		"Status":     "terms.json#/$defs/status",
		"Verdict":    "terms.json#/$defs/verdict",
		"Separator":  "terms.json#/$defs/separator",
		"OnLoss":     "terms.json#/$defs/on_loss",
		"Action":     "terms.json#/$defs/action",
		"CloseCause": "window.json#/$defs/cause",
		"Fate":       "window.json#/$defs/fate",
		"Role":       "record.json#/$defs/role",
	} {
		words := constants(t, typ)
		if diff := cmp.Diff(words, enum(t, ref)); diff != "" || len(words) < 2 {
			t.Errorf("%s (-constants +%s):\n%s", typ, ref, diff)
		}
	}
}

// names returns the texts of a list, sorted.
func names[T ~string](list []T) []string {
	var out []string
	for _, word := range list {
		out = append(out, string(word))
	}
	slices.Sort(out)
	return out
}

// TestListsAreComplete compares what the functions list with the constants.
func TestListsAreComplete(t *testing.T) {
	for typ, listed := range map[string][]string{
		"Kind": names(Kinds()), "Type": names(BuiltinTypes()), "Status": names(Statuses()),
	} {
		if diff := cmp.Diff(constants(t, typ), listed); diff != "" {
			t.Errorf("%s (-constants +listed):\n%s", typ, diff)
		}
	}
	var types, kinds, priorities []string
	operation, _ := find(t, "", "operation.json#/$defs")
	for name := range operation {
		types = append(types, name)
	}
	slices.Sort(types)
	if diff := cmp.Diff(names(BuiltinTypes()), types); diff != "" {
		t.Errorf("params (-types +operation.json):\n%s", diff)
	}
	for _, kind := range Kinds() {
		kinds = append(kinds, EventType(kind))
	}
	slices.Sort(kinds)
	if diff := cmp.Diff(kinds, enum(t, "event.json#/properties/type")); diff != "" {
		t.Errorf("kinds (-kinds +event.json):\n%s", diff)
	}
	for _, p := range Priorities() {
		priorities = append(priorities, p.String())
	}
	slices.Sort(priorities)
	if diff := cmp.Diff(priorities, enum(t, "terms.json#/$defs/priority")); diff != "" {
		t.Errorf("priorities (-priorities +terms.json):\n%s", diff)
	}
}

// TestParamsHaveRules compares the params that Decode knows with the types and the
// schemas.
func TestParamsHaveRules(t *testing.T) {
	for _, typ := range BuiltinTypes() {
		rules, ok := builtinParams[typ]
		if !ok {
			t.Errorf("Decode knows no params of %s", typ)
		}
		var all, must []string
		for _, p := range rules {
			all = append(all, p.name)
			if p.required {
				must = append(must, p.name)
			}
		}
		slices.Sort(all)
		slices.Sort(must)
		properties, required := shape(t, "", "operation.json#/$defs/"+string(typ))
		if diff := cmp.Diff(all, properties, equateEmpty); diff != "" {
			t.Errorf("%s (-Decode +schema):\n%s", typ, diff)
		}
		if diff := cmp.Diff(must, required, equateEmpty); diff != "" {
			t.Errorf("%s, required (-Decode +schema):\n%s", typ, diff)
		}
	}
	if len(builtinParams) != len(BuiltinTypes()) {
		t.Errorf("Decode knows params of %d types, there are %d", len(builtinParams), len(BuiltinTypes()))
	}
}

// TestFieldNamesAreThoseOfTheType keeps the list for messages complete.
func TestFieldNamesAreThoseOfTheType(t *testing.T) {
	properties, _ := shape(t, "", "operation.json")
	if diff := cmp.Diff(properties, slices.Sorted(slices.Values(fieldNames))); diff != "" {
		t.Errorf("fields (-schema +fieldNames):\n%s", diff)
	}
}
