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

func docsNameTestsThatExist(t tree) (found []string) {
	tests := map[string]bool{}
	for name, text := range t.files {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range declared.FindAllSubmatch(text, -1) {
				tests[string(m[1])] = true
			}
		}
	}
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
