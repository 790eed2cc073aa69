package audit

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDocsListTheInvariants compares docs/audit.md with the statements and the
// mutants.
func TestDocsListTheInvariants(t *testing.T) {
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for l := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(l, "|\n"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if strings.HasPrefix(l, "| I") && len(cells) == 5 {
			rows[cells[0]] = cells
		}
	}
	for _, i := range Statements() {
		cells := rows[string(i.Invariant)]
		if cells == nil || cells[1] != i.Text {
			t.Errorf("docs/audit.md has %q for %s, want %q", cells, i.Invariant, i.Text)
			continue
		}
		delete(rows, string(i.Invariant))
		if strings.HasPrefix(cells[4], "see ") {
			continue
		}
		for name := range strings.SplitSeq(cells[4], "; ") {
			if !slices.ContainsFunc(allMutants(), func(m mutant) bool { return m.name == name && slices.Contains(m.wants, i.Invariant) }) {
				t.Errorf("docs/audit.md says that %q breaks %s, and there is no such mutant", name, i.Invariant)
			}
		}
	}
	for id := range rows {
		t.Errorf("docs/audit.md has an invariant %s that there is not", id)
	}
}
