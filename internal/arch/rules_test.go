package arch

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

const module = "github.com/hierarchy-events/hierarchy"

// floors lists the packages of each floor from the ground up. A package imports
// only packages on floors below its own; its tests may also import its neighbours.
var floors = [][]string{
	{"operation", "internal/natstest", "internal/traceheader"},
	{"subjects"},
	{"resolver", "ecsstore", "audit"},
	{"consumer", "client", "ecsstore/storetest"},
	{"cmd/hierarchy", "examples/systems"},
	{"integration", "integration/chaos", "internal/arch"},
}

// testOnly lists packages that serve tests: only tests and each other import them.
// A test may import them whatever its own floor.
var testOnly = []string{"internal/natstest", "ecsstore/storetest", "integration", "integration/chaos"}

// modules lists what a package may import from other modules; packages not listed
// may import anything that the list reserved allows them.
var modules = map[string][]string{
	"operation": {"github.com/google/uuid"},
	"subjects":  {"github.com/google/uuid"},
	"resolver":  {"github.com/google/uuid"},
	"audit":     {"github.com/google/uuid", "github.com/nats-io/nats.go"},
}

// standard lists what a package may import from the standard library; a package
// that is not listed may import all of it.
var standard = map[string][]string{
	"operation": {
		"bytes", "cmp", "crypto/sha256", "embed", "encoding", "encoding/hex", "encoding/json", "errors", "fmt",
		"io", "io/fs", "iter", "maps", "math", "math/big", "path", "regexp", "slices", "sort", "strconv", "strings",
		"sync", "time", "unicode", "unicode/utf16", "unicode/utf8",
	},
	"subjects": {"cmp", "errors", "fmt", "hash/fnv", "maps", "slices", "strconv", "strings"},
	"resolver": {"cmp", "errors", "fmt", "maps", "slices", "strings", "time"},
}

// timeless lists the packages that may not read the clock: time comes in on the
// message.
var timeless = []string{"operation", "subjects", "resolver"}

// reserved names modules that only some packages may import.
var reserved = map[string][]string{
	"github.com/nats-io/nats-server": {"cmd/hierarchy", "internal/natstest", "integration"},
	"go.opentelemetry.io/otel/sdk":   {"cmd/hierarchy"},
	"go.opentelemetry.io/contrib":    {"cmd/hierarchy"},
	"github.com/spf13/cobra":         {"cmd/hierarchy"},
}

// vague names say nothing of what a package is for.
var vague = []string{"util", "utils", "common", "types", "models", "pkg", "helpers", "misc", "base", "shared"}

// maxLines is the length of the longest file of Go.
const maxLines = 400

// maySkip lists the folders and files of tests that may say t.Skip: those of real
// containers, where there may be no daemon, and what runs Prometheus' promtool or the standard
// nats command. They fail instead when CI is set.
var maySkip = []string{"integration", "cmd/hierarchy/promtool_test.go", "cmd/hierarchy/natscli_test.go"}

// rules lists every rule by what it demands; a rule returns a complaint per breach.
var rules = map[string]func(tree) []string{
	"imports point down":                    importsPointDown,
	"test packages serve tests":             testPackagesServeTests,
	"pure packages import little":           purePackagesImportLittle,
	"pure packages read no clock":           purePackagesReadNoClock,
	"some modules belong to some":           modulesBelong,
	"packages have telling names":           packagesHaveTellingNames,
	"packages say what they do":             packagesSayWhatTheyDo,
	"files are short":                       filesAreShort,
	"tests do not skip":                     testsDoNotSkip,
	"no file names the place it comes from": noFileNamesTheWorkplace,
	"docs link to what is there":            docsLinkToWhatIsThere,
	"docs name tests that exist":            docsNameTestsThatExist,
	"rules have tests":                      rulesHaveTests,
	"guarantees have proofs":                guaranteesHaveProofs,
}

// floorOf returns the floor of a package, or -1.
func floorOf(pkg string) int {
	return slices.IndexFunc(floors, func(floor []string) bool { return slices.Contains(floor, pkg) })
}

// ours returns the folder of an import of this module.
func ours(imp string) (string, bool) {
	if imp == module {
		return ".", true
	}
	return strings.CutPrefix(imp, module+"/")
}

// within reports whether the import path imp is that of a module or below it.
func within(imp, mod string) bool {
	rest, ok := strings.CutPrefix(imp, mod)
	return ok && (rest == "" || rest[0] == '/')
}

func isStandard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

func importsPointDown(t tree) (found []string) {
	for dir, pkg := range t.packages {
		at := floorOf(dir)
		if at < 0 {
			found = append(found, dir+" is on no floor")
			continue
		}
		for imp, file := range pkg.imports {
			if dep, ok := ours(imp); ok && floorOf(dep) >= at {
				found = append(found, fmt.Sprintf("%s/%s (floor %d) imports %s (floor %d)", dir, file, at, dep, floorOf(dep)))
			}
		}
		for imp, file := range pkg.testImports {
			if dep, ok := ours(imp); ok && floorOf(dep) > at && !slices.Contains(testOnly, dep) {
				found = append(found, fmt.Sprintf("%s/%s (floor %d) imports %s (floor %d)", dir, file, at, dep, floorOf(dep)))
			}
		}
	}
	return found
}

func testPackagesServeTests(t tree) (found []string) {
	for dir, pkg := range t.packages {
		for imp, file := range pkg.imports {
			dep, _ := ours(imp)
			if slices.Contains(testOnly, dep) && !slices.Contains(testOnly, dir) {
				found = append(found, fmt.Sprintf("%s/%s is no test but imports %s", dir, file, dep))
			}
		}
	}
	return found
}

func purePackagesImportLittle(t tree) (found []string) {
	for dir, pkg := range t.packages {
		for imp, file := range pkg.imports {
			if _, own := ours(imp); own {
				continue
			}
			allowed, limited := modules[dir]
			if isStandard(imp) {
				allowed, limited = standard[dir]
			}
			if limited && !slices.ContainsFunc(allowed, func(m string) bool { return imp == m || !isStandard(imp) && within(imp, m) }) {
				found = append(found, fmt.Sprintf("%s/%s imports %s", dir, file, imp))
			}
		}
	}
	return found
}

func purePackagesReadNoClock(t tree) (found []string) {
	for _, dir := range timeless {
		if pkg := t.packages[dir]; pkg != nil {
			for f, file := range pkg.clock {
				found = append(found, fmt.Sprintf("%s/%s uses %s", dir, file, f))
			}
		}
	}
	return found
}

func modulesBelong(t tree) (found []string) {
	for dir, pkg := range t.packages {
		for imp, file := range pkg.imports {
			for mod, users := range reserved {
				if within(imp, mod) && !slices.Contains(users, dir) {
					found = append(found, fmt.Sprintf("%s/%s imports %s", dir, file, imp))
				}
			}
		}
	}
	return found
}

func packagesHaveTellingNames(t tree) (found []string) {
	for dir := range t.packages {
		for part := range strings.SplitSeq(dir, "/") {
			if slices.Contains(vague, part) {
				found = append(found, fmt.Sprintf("%s: %q says nothing", dir, part))
			}
		}
	}
	return found
}

// says is how a package's doc begins: its name, then a verb.
var says = regexp.MustCompile(`^(Package|Command) ([a-z]+) [a-z]+s [^.]+\.`)

func packagesSayWhatTheyDo(t tree) (found []string) {
	for dir, pkg := range t.packages {
		m := says.FindStringSubmatch(pkg.synopsis())
		if m == nil || m[2] != path.Base(dir) {
			found = append(found, fmt.Sprintf("%s: the doc begins %q; want the package's name and a verb", dir, pkg.synopsis()))
		}
	}
	return found
}

func filesAreShort(t tree) (found []string) {
	for name, text := range t.files {
		if n := bytes.Count(text, []byte("\n")); path.Ext(name) == ".go" && n > maxLines {
			found = append(found, fmt.Sprintf("%s has %d lines; more than %d want another file", name, n, maxLines))
		}
	}
	return found
}

var skips = regexp.MustCompile(`\b[tbf]b?\.Skip(f|Now)?\(`)

func testsDoNotSkip(t tree) (found []string) {
	for name, text := range t.files {
		may := slices.Contains(maySkip, path.Dir(name)) || slices.Contains(maySkip, name)
		if strings.HasSuffix(name, "_test.go") && skips.Match(text) && !may {
			found = append(found, name+" skips")
		}
	}
	return found
}

// workplace matches the names of machines and folders that mean nothing to a
// reader. It is put together from pieces so that it does not match itself.
var workplace = regexp.MustCompile(strings.Join([]string{
	"/wor" + "k/", "/far" + "m/", "/tm" + "p/bri" + "ef", "/roo" + "t/", `\.librar` + "y", "BEHAVIOU" + `R\.md`, "DESIG" + `N\.md`, "STYL" + `E\.md`,
}, "|"))

func noFileNamesTheWorkplace(t tree) (found []string) {
	for name, text := range t.files {
		if m := workplace.Find(text); m != nil {
			found = append(found, fmt.Sprintf("%s mentions %s", name, m))
		}
	}
	return found
}

// breaches returns every complaint of every rule, sorted.
func breaches(t tree) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		for _, complaint := range rules[name](t) {
			all = append(all, name+": "+complaint)
		}
	}
	slices.Sort(all)
	return all
}
