package arch

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// relative matches a link of a Markdown file into the tree.
var relative = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

func docsLinkToWhatIsThere(t tree) (found []string) {
	for name, text := range t.files {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range relative.FindAllSubmatch(text, -1) {
			if to := path.Join(path.Dir(name), string(m[1])); !t.has(to) {
				found = append(found, fmt.Sprintf("%s links to %s", name, to))
			}
		}
	}
	return found
}

// has reports whether there is a file or a folder of that name.
func (t tree) has(name string) bool {
	if _, ok := t.files[name]; ok || name == "." {
		return true
	}
	for file := range t.files {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

var (
	mentioned = regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z][A-Za-z0-9_]*[A-Za-z0-9])`")
	declared  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w+)\(`)
)

// tests returns the names of all tests there are.
func (t tree) tests() map[string]bool {
	tests := map[string]bool{}
	for name, text := range t.files {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range declared.FindAllSubmatch(text, -1) {
				tests[string(m[1])] = true
			}
		}
	}
	return tests
}

func docsNameTestsThatExist(t tree) (found []string) {
	tests := t.tests()
	for name, text := range t.files {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range mentioned.FindAllSubmatch(text, -1) {
			if !tests[string(m[1])] {
				found = append(found, fmt.Sprintf("%s mentions %s", name, m[1]))
			}
		}
	}
	return found
}

// numbered matches a rule or a reference case where it is defined.
var numbered = regexp.MustCompile(`(?m)^(?:- \*\*(R\d+)\*\*|\| ([BDEX]\d+) \|)`)

func rulesHaveTests(t tree) (found []string) {
	proved := map[string]bool{}
	for test := range t.tests() {
		for part := range strings.SplitSeq(strings.TrimPrefix(test, "Test"), "_") {
			proved[part] = true
		}
	}
	for _, m := range numbered.FindAllSubmatch(t.files["docs/rules.md"], -1) {
		if number := string(m[1]) + string(m[2]); !proved[number] {
			found = append(found, fmt.Sprintf("no test bears the number %s", number))
		}
	}
	return found
}

// unproved matches a row of the table of guarantees whose last cell names nothing.
var unproved = regexp.MustCompile("(?m)^\\| \\[R\\d+\\][^\n]*\\| *[^`|\n]*\\|$")

func guaranteesHaveProofs(t tree) (found []string) {
	for _, row := range unproved.FindAll(t.files["README.md"], -1) {
		found = append(found, string(row))
	}
	return found
}
