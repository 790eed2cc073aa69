package ecsstore

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// The editor changes in place what it has copied; an oracle that copies everything
// each time must come to the same.
func TestEditorAgreesWithAnOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shared := drawObject(rt, 3)
		given, before := []any{shared}, []string{jsonText(t, shared)} // all that was handed to the editor
		ed := newEditor(&Entity{Components: shared})
		var oracle any = shared
		for range rapid.IntRange(1, 40).Draw(rt, "edits") {
			path := drawPath(rt)
			remove := rapid.IntRange(0, 3).Draw(rt, "kind") == 0
			var value any
			var err error
			if remove {
				value = gone
				err = ed.remove(path)
			} else {
				value = drawValue(rt, 2)
				given, before = append(given, value), append(before, jsonText(t, value))
				err = ed.set(path, value, true, true)
			}
			next, ok := oracleEdit(oracle, path, value)
			if ok != (err == nil) {
				rt.Fatalf("edit of %s in %s: %v, the oracle says %v", path, jsonText(t, oracle), err, ok)
			}
			if err != nil { // an editor that failed is of no use
				ed = newEditor(&Entity{Components: oracle.(map[string]any)})
				continue
			}
			oracle = next
			if diff := cmp.Diff(oracle, any(ed.head.Components)); diff != "" {
				rt.Fatalf("edit of %s:\n%s", path, diff)
			}
		}
		for i, value := range given {
			if after := jsonText(t, value); after != before[i] {
				rt.Fatalf("what the editor was given was %s and is %s", before[i], after)
			}
		}
	})
}

// What the editor has copied changes its place when an element before it goes.
func TestEditorKnowsItsCopiesAfterARemoval(t *testing.T) {
	const components = `{"list":[0,{"a":1},{"a":2}]}`
	ed := editorOf(t, components)
	shared := ed.head.Components
	for _, edit := range []struct{ kind, path string }{{"set", "list.1.a"}, {"remove", "list.0"}, {"set", "list.1.a"}} {
		if err := tryEdit(ed, edit.kind, pathOf(t, edit.path), "7", false, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := jsonText(t, ed.head.Components); got != `{"list":[{"a":7},{"a":7}]}` {
		t.Errorf("components are %s", got)
	}
	if got := jsonText(t, shared); got != components {
		t.Errorf("the shared head is now %s", got)
	}
}

// oracleEdit sets or removes one value in a copy of everything on the way, or says
// that it cannot be done.
func oracleEdit(container any, path operation.Path, value any) (any, bool) {
	if len(path) == 0 {
		return value, true
	}
	if container == nil && value != gone {
		container = map[string]any{}
	}
	switch c := container.(type) {
	case map[string]any:
		old, found := c[path[0]]
		if !found && value == gone {
			return nil, false
		}
		inner, ok := oracleEdit(old, path[1:], value)
		c = maps.Clone(c)
		if c[path[0]] = inner; inner == gone {
			delete(c, path[0])
		}
		return c, ok
	case []any:
		return oracleEditArray(c, path, value)
	}
	return nil, false
}

func oracleEditArray(c []any, path operation.Path, value any) (any, bool) {
	i, err := strconv.ParseUint(path[0], 10, 16)
	if err != nil || i > uint64(len(c)) || i == uint64(len(c)) && value == gone {
		return nil, false
	}
	var out []any
	out = append(out, c...)
	if i == uint64(len(c)) {
		out = append(out, nil)
	}
	inner, ok := oracleEdit(out[i], path[1:], value)
	if inner == gone {
		return append(out[:i:i], c[i+1:]...), ok
	}
	out[i] = inner
	return out, ok
}

var keys = []string{"a", "b", "0", "1", "2"}

func drawPath(rt *rapid.T) operation.Path {
	return rapid.SliceOfN(rapid.SampledFrom(keys), 1, 3).Draw(rt, "path")
}

func drawValue(rt *rapid.T, depth int) any {
	if depth > 0 && rapid.IntRange(0, 3).Draw(rt, "container") > 0 {
		if rapid.Bool().Draw(rt, "object") {
			return drawObject(rt, depth)
		}
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(rt, "elements") {
			list = append(list, drawValue(rt, depth-1))
		}
		return list
	}
	switch rapid.IntRange(0, 3).Draw(rt, "type") {
	case 0:
		return nil
	case 1:
		return json.Number(strconv.Itoa(rapid.Int().Draw(rt, "number")))
	case 2:
		return rapid.String().Draw(rt, "string")
	}
	return rapid.Bool().Draw(rt, "boolean")
}

func drawObject(rt *rapid.T, depth int) map[string]any {
	object := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(rt, "members") {
		object[rapid.SampledFrom(keys).Draw(rt, "key")] = drawValue(rt, depth-1)
	}
	return object
}

// Whatever is asked of a field: no panic, what is shared stays as it is, and what
// was set is there.
func FuzzEdits(f *testing.F) {
	f.Add(`{"a":{"b":[1,2]}}`, "a.b.0", `{"c":1}`, "1.5")
	f.Add(`{"a":null}`, "a.b.c.d", `"x"`, "9223372036854775807")
	f.Add(`{"a":[[]]}`, "a.0.0.0", `null`, "-1e308")
	f.Fuzz(func(t *testing.T, components, field, value, number string) {
		c, err := decodeValue(json.RawMessage(components))
		object, ok := c.(map[string]any)
		path, pathErr := operation.ParsePath(field)
		v, valueErr := decodeValue(json.RawMessage(value))
		if err != nil || !ok || pathErr != nil || valueErr != nil || !isNumber(number) {
			return
		}
		before := jsonText(t, object)
		ed := newEditor(&Entity{Components: object})
		if ed.set(path, v, true, true) == nil {
			wantGot(t, ed.head, path, v)
		}
		added := newEditor(&Entity{Components: object})
		if total, err := added.add(path, json.Number(number)); err == nil {
			wantGot(t, added.head, path, total)
		}
		removed := newEditor(&Entity{Components: object})
		if _, found := Get(removed.head, path); (removed.remove(path) == nil) != found {
			t.Errorf("remove of %s: found %v", path, found)
		}
		if after := jsonText(t, object); after != before {
			t.Errorf("the shared head was %s and is %s", before, after)
		}
	})
}

func wantGot(t *testing.T, e *Entity, path operation.Path, want any) {
	t.Helper()
	got, ok := Get(e, path)
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("field %s is %v, %v; want %v", path, got, ok, want)
	}
}
