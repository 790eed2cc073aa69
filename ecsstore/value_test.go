package ecsstore

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// editorOf returns an editor of an entity with components given as JSON.
func editorOf(tb testing.TB, components string) *editor {
	tb.Helper()
	return newEditor(&Entity{Components: jsonValue(tb, components).(map[string]any)})
}

// Each case is: components, an edit, and the components after it or a reason.
func TestEdits(t *testing.T) {
	const (
		fields = `{"a":{"b":1},"list":[1,"two"],"n":null,"s":"x","t":true}`
		create = 1
		retype = 2
	)
	cases := []struct {
		edit  string
		path  string
		value string
		flags int
		want  string
	}{
		{"set", "a.b", `2`, 0, `{"a":{"b":2},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"set", "s", `"y"`, 0, `{"a":{"b":1},"list":[1,"two"],"n":null,"s":"y","t":true}`},
		{"set", "s", `2`, 0, "type_mismatch"},
		{"set", "t", `null`, 0, `{"a":{"b":1},"list":[1,"two"],"n":null,"s":"x","t":null}`},
		{"set", "n", `[]`, 0, `{"a":{"b":1},"list":[1,"two"],"n":[],"s":"x","t":true}`},
		{"set", "a", `[]`, 0, "type_mismatch"},
		{"set", "a", `[]`, retype, `{"a":[],"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"set", "a.c", `1`, 0, "field_not_found"},
		{"set", "a.c", `1`, create, `{"a":{"b":1,"c":1},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"set", "c.d.e", `1`, 0, "field_not_found"},
		{"set", "c.d.e", `1`, create, `{"a":{"b":1},"c":{"d":{"e":1}},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"set", "n.d", `1`, 0, "field_not_found"},
		{"set", "n.d", `1`, create, `{"a":{"b":1},"list":[1,"two"],"n":{"d":1},"s":"x","t":true}`},
		{"set", "s.d", `1`, 0, "field_not_found"},
		{"set", "s.d", `1`, create | retype, "type_mismatch"},
		{"set", "list.1", `"three"`, 0, `{"a":{"b":1},"list":[1,"three"],"n":null,"s":"x","t":true}`},
		{"set", "list.2", `3`, 0, "field_not_found"},
		{"set", "list.2", `3`, create, `{"a":{"b":1},"list":[1,"two",3],"n":null,"s":"x","t":true}`},
		{"set", "list.3", `3`, create, "field_not_found"},
		{"set", "list.-1", `3`, create, "field_not_found"},
		{"set", "list.01", `3`, create, "field_not_found"},
		{"set", "list.+1", `3`, create, "field_not_found"},
		{"set", "list.x", `3`, create, "field_not_found"},
		{"set", "list.2.x", `3`, create, `{"a":{"b":1},"list":[1,"two",{"x":3}],"n":null,"s":"x","t":true}`},
		{"add", "a.b", `2`, 0, `{"a":{"b":3},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"add", "a.c", `-2`, 0, `{"a":{"b":1,"c":-2},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"add", "c.d", `2`, 0, `{"a":{"b":1},"c":{"d":2},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"add", "list.0", `2`, 0, `{"a":{"b":1},"list":[3,"two"],"n":null,"s":"x","t":true}`},
		{"add", "s", `2`, 0, "not_a_number"},
		{"add", "a", `2`, 0, "not_a_number"},
		{"add", "n", `2`, 0, "not_a_number"},
		{"add", "s.d", `2`, 0, "type_mismatch"},
		{"remove", "a.b", ``, 0, `{"a":{},"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"remove", "a", ``, 0, `{"list":[1,"two"],"n":null,"s":"x","t":true}`},
		{"remove", "n", ``, 0, `{"a":{"b":1},"list":[1,"two"],"s":"x","t":true}`},
		{"remove", "list.0", ``, 0, `{"a":{"b":1},"list":["two"],"n":null,"s":"x","t":true}`},
		{"remove", "list.2", ``, 0, "field_not_found"},
		{"remove", "a.c", ``, 0, "field_not_found"},
		{"remove", "a.b.c", ``, 0, "field_not_found"},
		{"remove", "n.c", ``, 0, "field_not_found"},
	}
	for _, c := range cases {
		t.Run(c.edit+" "+c.path+" "+c.value, func(t *testing.T) {
			ed := editorOf(t, fields)
			shared := ed.head.Components
			err := tryEdit(ed, c.edit, pathOf(t, c.path), c.value, c.flags&create > 0, c.flags&retype > 0)
			got := jsonText(t, ed.head.Components)
			if f, ok := errors.AsType[*operation.Failure](err); ok {
				got = string(f.Reason)
			}
			if got != c.want {
				t.Errorf("got %s, want %s (error %v)", got, c.want, err)
			}
			if got := jsonText(t, shared); got != fields {
				t.Errorf("the shared head is now %s", got)
			}
		})
	}
}

func tryEdit(ed *editor, kind string, path operation.Path, value string, create, retype bool) error {
	switch kind {
	case "set":
		v, err := decodeValue(json.RawMessage(value))
		if err != nil {
			return err
		}
		return ed.set(path, v, create, retype)
	case "add":
		_, err := ed.add(path, json.Number(value))
		return err
	default:
		return ed.remove(path)
	}
}

func TestFirstFieldOfNoComponents(t *testing.T) {
	ed := newEditor(&Entity{})
	if err := ed.set(pathOf(t, "a.b"), json.Number("1"), true, false); err != nil {
		t.Fatal(err)
	}
	if got := jsonText(t, ed.head.Components); got != `{"a":{"b":1}}` {
		t.Errorf("components are %s", got)
	}
}

func TestFieldsAreTakenInOrder(t *testing.T) {
	fields := map[string]any{}
	want := []string{"2", "10", "10.2", "10.10", "10.x", "1a", "a", "a.0", "b"}
	for _, path := range want {
		fields[path] = nil
	}
	sorted, err := inOrder(fields)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range sorted {
		got = append(got, f.path.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order:\n%s", diff)
	}
}

func TestSums(t *testing.T) {
	cases := []struct{ a, b, want string }{
		{"1", "2", "3"},
		{"9007199254740993", "1", "9007199254740994"}, // beyond what a float64 counts in ones
		{"9223372036854775806", "1", "9223372036854775807"},
		{"9223372036854775807", "1", "9223372036854776000"}, // beyond an int64: a float64
		{"-9223372036854775808", "-1", "-9223372036854776000"},
		{"-9223372036854775808", "9223372036854775807", "-1"},
		{"0", "-9223372036854775808", "-9223372036854775808"},
		{"1", "0.5", "1.5"},
		{"0.1", "0.2", "0.30000000000000004"},
		{"1e3", "1", "1001"},
		{"1.0", "1", "2"},
		{"1e300", "1e300", "2e+300"},
		{"1e308", "1e308", ""},
		{"-1e308", "-1e308", ""},
		{"1", "1e400", ""},
		{"1", "one", ""},
	}
	for _, c := range cases {
		got, ok := sum(json.Number(c.a), json.Number(c.b))
		if string(got) != c.want || ok != (c.want != "") {
			t.Errorf("%s + %s = %q, %v; want %q", c.a, c.b, got, ok, c.want)
		}
	}
}

func TestSumOutOfRangeIsRefused(t *testing.T) {
	_, err := editorOf(t, `{"a":1e308}`).add(pathOf(t, "a"), "1e308")
	wantFailure(t, err, operation.NotANumber, true)
}

func TestProvenanceGoesWithTheValue(t *testing.T) {
	sources := map[string]Source{"a": {}, "a.b": {}, "ab": {}, "list.0": {}, "list.1": {}, "list": {}}
	cases := []struct {
		edit, path string
		left       string
	}{
		{"set", "a", "ab list list.0 list.1"},
		{"set", "a.b", "ab list list.0 list.1"},
		{"set", "a.c", "a.b ab list list.0 list.1"},
		{"set", "ab", "a a.b list list.0 list.1"},
		{"set", "list.1", "a a.b ab list.0"},
		{"add", "ab", "a a.b list list.0 list.1"},
		{"remove", "a", "ab list list.0 list.1"},
		{"remove", "list.0", "a a.b ab"},
	}
	for _, c := range cases {
		ed := editorOf(t, `{"a":{"b":1,"c":1},"ab":1,"list":[1,2]}`)
		ed.head.Sources = sources
		if err := tryEdit(ed, c.edit, pathOf(t, c.path), "7", true, true); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(sortedKeys(ed.head.Sources), " "); got != c.left {
			t.Errorf("%s %s leaves the sources of %s, want %s", c.edit, c.path, got, c.left)
		}
		if len(sources) != 6 {
			t.Fatalf("%s %s changed the shared sources", c.edit, c.path)
		}
	}
}

func TestGet(t *testing.T) {
	e := &Entity{Components: jsonValue(t, `{"a":{"0":"zero","b":[10,{"c":null}]}}`).(map[string]any)}
	for path, want := range map[string]string{
		"a.0": `"zero"`, "a.b.0": `10`, "a.b.1.c": `null`, "a.b": `[10,{"c":null}]`,
		"a.b.2": "", "a.c": "", "a.b.0.x": "", "a.b.1.c.d": "", "b": "", "a.b.00": "",
	} {
		value, ok := Get(e, pathOf(t, path))
		if ok != (want != "") || ok && jsonText(t, value) != want {
			t.Errorf("field %s is %v, %v; want %s", path, value, ok, want)
		}
	}
	if value, ok := Get(e, nil); !ok || jsonText(t, value) != jsonText(t, e.Components) {
		t.Error("the empty path is not all components")
	}
}

func TestMeasureIsWhatEncodingTakes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := drawValue(rt, 3)
		wantMeasured(t, value)
	})
	for _, text := range []string{"<&>", "\x00\x1f\x7f", "\u2028\u2029", "\xff", "a\"b\\c\n\r\t\b\f", "\ufffd", "grün"} {
		wantMeasured(t, map[string]any{text: text})
	}
}

func wantMeasured(t *testing.T, value any) {
	t.Helper()
	var m measure
	m.value(value, 0)
	short := strings.Count(jsonText(t, value), "true")                       // counted as long as false
	short += len(`\ufffd`) / 2 * strings.Count(jsonText(t, value), "\ufffd") // from Go 1.27 on it may not be escaped
	if text := jsonText(t, value); m.size < len(text) || m.size > len(text)+short || m.foreign != nil {
		t.Errorf("%s takes %d bytes, measured %d (foreign %v)", text, len(text), m.size, m.foreign)
	}
}

func TestDepthIsThatOfTheDeepestValue(t *testing.T) {
	for text, want := range map[string]int{`1`: 0, `{}`: 1, `[[],[[]],[]]`: 3, `{"a":{"b":[1]},"c":[]}`: 3} {
		var m measure
		if m.value(jsonValue(t, text), 0); m.depth != want {
			t.Errorf("%s nests %d deep, want %d", text, m.depth, want)
		}
	}
}

func TestHeadSizeIsABound(t *testing.T) {
	w := busy(t, 20)
	w.must(operation.CreateEntity, "pump", `{"type":"pump","components":{"<a>":{"b":1}},"name":"<pump>"}`)
	if _, err := w.borrow("tank", "pump", `{"source_field":"<a>.b","target_field":"<b>","create":true}`); err != nil {
		t.Fatal(err)
	}
	e := *w.head("tank")
	e.Children = make([]uuid.UUID, 50)
	var m measure
	m.value(e.Components, 0)
	bound, size := headSize(&e, m.size), len(jsonText(t, &e))
	if size > bound || bound > size+frameBytes+sourceBytes+MaxHistory*entryBytes/2 {
		t.Errorf("the head takes %d bytes, the bound is %d", size, bound)
	}
}

func TestFiniteNumbers(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "-1.7e308": true, "1E-400": true, strings.Repeat("9", 308): true,
		"1e309": false, "-1E+400": false, strings.Repeat("9", 310): false,
	} {
		if finite(text) != want {
			t.Errorf("%.40q is finite: %v, want %v", text, !want, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "-0": true, "12": true, "1.5e-3": true, "-7": true,
		"": false, "01": false, "-": false, "+1": false, "1.": false, "null": false, "NaN": false, " 1": false, "1 ": false,
	} {
		if isNumber(text) != want {
			t.Errorf("%q is a number: %v, want %v", text, !want, want)
		}
	}
}
