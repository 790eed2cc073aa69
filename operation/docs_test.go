package operation

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// edges lists every transition of the table as "from to".
func edges() []string {
	var list []string
	for from, next := range transitions {
		for _, to := range next {
			list = append(list, string(from)+" "+string(to))
		}
	}
	slices.Sort(list)
	return list
}

// drawn lists the transitions that a pattern with two groups finds in a text.
func drawn(text, pattern string) []string {
	var list []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1]+" "+m[2])
	}
	slices.Sort(list)
	return list
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

// tabled lists the transitions of the table in docs/lifecycle.md, and its rows.
func tabled(text string) (list, rows []string) {
	for line := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		from := quoted.FindStringSubmatch(cells[1])
		if from == nil {
			continue
		}
		rows = append(rows, from[1])
		for _, to := range quoted.FindAllStringSubmatch(cells[2], -1) {
			list = append(list, from[1]+" "+to[1])
		}
	}
	slices.Sort(list)
	return list, rows
}

// TestLifecycleIsDrawnAsItIs compares the table of status.go with the table, the
// diagram and the headings of docs/lifecycle.md, both ways.
func TestLifecycleIsDrawnAsItIs(t *testing.T) {
	text := readDoc(t, "lifecycle.md")
	table, rows := tabled(text)
	for what, got := range map[string][]string{
		"table":    table,
		"diagram":  drawn(text, `(?m)^ +([a-z]+) --> ([a-z]+)$`),
		"headings": drawn(text, `(?m)^### ([a-z]+) to ([a-z]+)$`),
	} {
		if diff := gocmp.Diff(edges(), got); diff != "" {
			t.Errorf("%s (-status.go +doc):\n%s", what, diff)
		}
	}
	if diff := gocmp.Diff(names(Statuses()), slices.Sorted(slices.Values(rows))); diff != "" {
		t.Errorf("rows (-status.go +doc):\n%s", diff)
	}
}

// TestEveryTransitionNamesItsRule looks for a rule below each heading.
func TestEveryTransitionNamesItsRule(t *testing.T) {
	sections := strings.Split(readDoc(t, "lifecycle.md"), "\n### ")[1:]
	if len(sections) != len(edges()) {
		t.Fatalf("there are %d sections for %d transitions", len(sections), len(edges()))
	}
	for _, section := range sections {
		if !regexp.MustCompile(`\bR\d+\b`).MatchString(section) {
			t.Errorf("no rule in section %q", section)
		}
	}
}

// TestStatus goes through the states by their methods.
func TestStatus(t *testing.T) {
	for _, from := range Statuses() {
		var next []Status
		for _, to := range Statuses() {
			if from.CanBecome(to) {
				next = append(next, to)
			}
		}
		got := from.Next()
		slices.SortFunc(got, func(a, b Status) int {
			return cmp.Compare(slices.Index(Statuses(), a), slices.Index(Statuses(), b))
		})
		if !slices.Equal(got, next) {
			t.Errorf("%s may become %v by Next, %v by CanBecome", from, got, next)
		}
		if from.Terminal() != (len(next) == 0) {
			t.Errorf("%s: Terminal is %t, with %d statuses to follow", from, from.Terminal(), len(next))
		}
	}
	if Status("gone").Terminal() || Status("gone").CanBecome(Pending) {
		t.Error("an unknown status has a life")
	}
}

// example is a JSON block of a page, marked with the schema that describes it.
type example struct{ schema, text string }

func examples(text string) (list []example, unmarked int) {
	marked := regexp.MustCompile("(?s)<!-- schema: ([a-z-]+) -->\n```json\n(.*?)```")
	for _, m := range marked.FindAllStringSubmatch(text, -1) {
		list = append(list, example{schema: m[1] + ".json", text: m[2]})
	}
	return list, strings.Count(text, "```json") - len(list)
}

// TestWireExamplesAreValid validates the examples of docs/wire.md; operations and
// cancellations must pass Decode as well.
func TestWireExamplesAreValid(t *testing.T) {
	list, unmarked := examples(readDoc(t, "wire.md"))
	if unmarked != 0 {
		t.Errorf("%d blocks of JSON name no schema", unmarked)
	}
	shown := map[string]bool{"terms.json": true} // has no documents of its own
	for _, e := range list {
		shown[e.schema] = true
		if err := validate(t, e.schema, []byte(e.text)); err != nil {
			t.Errorf("%s refuses %s: %v", e.schema, e.text, err)
		}
		var err error
		switch e.schema {
		case "operation.json":
			err = decodeExample(e.text)
		case "cancel.json":
			_, err = DecodeCancel([]byte(e.text))
		}
		if err != nil {
			t.Errorf("%s: %v", e.text, err)
		}
		if unknown := strangers(t, e); len(unknown) > 0 {
			t.Errorf("%s does not know %v of %s", e.schema, unknown, e.text)
		}
	}
	for _, name := range SchemaNames() {
		if !shown[name] && name != "event-started.json" { // stands in its envelope
			t.Errorf("there is no example for %s", name)
		}
	}
}

func decodeExample(text string) error {
	class := "normal"
	if m := regexp.MustCompile(`"priority": "(\w+)"`).FindStringSubmatch(text); m != nil {
		class = m[1]
	}
	_, err := Decode([]byte(text), class, EntityID("valve-7").String(), nil)
	return err
}

var topKey = regexp.MustCompile(`(?m)(?:^  |", |\d, )"([a-z_]+)":`)

// strangers lists members at the top of an example that its schema does not have: the
// schemas of what workers send are open.
func strangers(t *testing.T, e example) []string {
	t.Helper()
	properties, _ := shape(t, "", e.schema)
	var unknown []string
	for line := range strings.SplitSeq(e.text, "\n") {
		if strings.HasPrefix(line, "   ") || !strings.HasPrefix(line, `  "`) {
			continue
		}
		head, _, _ := strings.Cut(line, "{")
		for _, m := range topKey.FindAllStringSubmatch(head, -1) {
			if !slices.Contains(properties, m[1]) {
				unknown = append(unknown, m[1])
			}
		}
	}
	return unknown
}

// rows maps the first cell of each row of a table whose cells are quoted to the rest.
func rowsOf(text, heading string) map[string]string {
	_, section, _ := strings.Cut(text, "\n"+heading+"\n")
	section, _, _ = strings.Cut(section, "\n#")
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		rows[m[1]] = m[2]
	}
	return rows
}

// TestWireTablesAreComplete compares the tables of docs/wire.md with the code.
func TestWireTablesAreComplete(t *testing.T) {
	text := readDoc(t, "wire.md")
	compare := func(what string, want []string, rows map[string]string) {
		t.Helper()
		got := []string{}
		for name := range rows {
			got = append(got, name)
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-code +wire.md):\n%s", what, diff)
		}
	}
	fields, _ := shape(t, "", "operation.json")
	compare("fields", fields, rowsOf(text, "## The operation"))
	compare("reasons", constants(t, "Reason"), rowsOf(text, "## Reasons"))
	params := rowsOf(text, "### Params")
	compare("params", names(BuiltinTypes()), params)
	for typ, rules := range builtinParams {
		for _, p := range rules {
			if !strings.Contains(params[string(typ)], "`"+p.name+"`") {
				t.Errorf("wire.md does not name param %s of %s", p.name, typ)
			}
		}
	}
	for _, kind := range Kinds() {
		if !strings.Contains(text, "\n### "+string(kind)+"\n") {
			t.Errorf("wire.md has no section on %s", kind)
		}
	}
	if want := fmt.Sprintf("`%s`: `valve-7` is `%s`", EntityNamespace, EntityID("valve-7")); !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
		t.Errorf("wire.md does not say %s", want)
	}
}

// TestWireLimitsAreTheLimits compares the numbers of docs/wire.md with the constants.
func TestWireLimitsAreTheLimits(t *testing.T) {
	limits := map[string]int{
		"MaxBytes": MaxBytes, "MaxDepth": MaxDepth, "MaxKeys": MaxKeys, "MaxNodes": MaxNodes,
		"MaxRetriesLimit": MaxRetriesLimit, "DefaultRetries": DefaultRetries, "MaxParentDepth": MaxParentDepth,
		"MaxNameBytes": MaxNameBytes, "MaxTypeNameBytes": MaxTypeNameBytes, "MaxTextBytes": MaxTextBytes,
		"MaxPathBytes": MaxPathBytes,
	}
	rows := rowsOf(readDoc(t, "wire.md"), "### Limits")
	for name, value := range limits {
		number, _, _ := strings.Cut(rows[name], " ")
		if number != strconv.Itoa(value) {
			t.Errorf("wire.md says %q of %s, want %d", rows[name], name, value)
		}
	}
	if len(rows) != len(limits) {
		t.Errorf("wire.md lists %d limits, want %d", len(rows), len(limits))
	}
}
