package operation

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is a decoded JSON object.
type document = map[string]any

// loadSchemas reads the embedded schemas by name of file.
var loadSchemas = sync.OnceValues(func() (map[string]document, error) {
	schemas := map[string]document{}
	for _, name := range SchemaNames() {
		text, err := fs.ReadFile(Schemas(), name)
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		schemas[name] = doc.(document)
	}
	return schemas, nil
})

// compiler makes validators that know all schemas.
var compiler = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schemas, err := loadSchemas()
	for name, doc := range schemas {
		if err := c.AddResource(SchemaID(name), doc); err != nil {
			return nil, err
		}
	}
	return c, err
})

// compiled returns the validator of a schema; part may follow the name after a '#'.
func compiled(tb testing.TB, name string) *jsonschema.Schema {
	tb.Helper()
	c, err := compiler()
	if err != nil {
		tb.Fatal(err)
	}
	file, part, _ := strings.Cut(name, "#")
	compileLock.Lock()
	defer compileLock.Unlock()
	schema, err := c.Compile(SchemaID(file) + "#" + part)
	if err != nil {
		tb.Fatal(err)
	}
	return schema
}

var compileLock sync.Mutex // a compiler serves one goroutine at a time

// described says which schema describes which type of Go.
var described = map[string]any{
	"operation.json":                         Operation{},
	"operation.json#/$defs/create_entity":    CreateParams{},
	"operation.json#/$defs/version_entity":   VersionParams{},
	"operation.json#/$defs/complex_update":   UpdateParams{},
	"operation.json#/$defs/modify_field":     ModifyParams{},
	"operation.json#/$defs/borrow_attribute": BorrowParams{},
	"operation.json#/$defs/attach_entity":    AttachParams{},
	"operation.json#/$defs/promote_to_root":  struct{}{},
	"operation.json#/$defs/detach_entity":    struct{}{},
	"operation.json#/$defs/delete_entity":    struct{}{},
	"cancel.json":                            Cancel{},
	"event.json":                             Event{},
	"event-started.json":                     StartedDetail{},
	"event-completed.json":                   CompletedDetail{},
	"event-failed.json":                      FailedDetail{},
	"event-retry.json":                       RetryDetail{},
	"event-rejected.json":                    RejectedDetail{},
	"event-cancelled.json":                   CancelDetail{},
	"event-cancel-refused.json":              CancelDetail{},
	"event-conflict.json":                    ConflictDetail{},
	"fence.json":                             Fence{},
	"fence.json#/$defs/counts":               Counts{},
	"window.json":                            Window{},
	"window.json#/$defs/taken":               Taken{},
	"window.json#/$defs/settled":             Settled{},
	"ledger.json":                            Ledger{},
	"checkpoint.json":                        Checkpoint{},
	"checkpoint.json#/$defs/window":          CheckpointWindow{},
	"checkpoint.json#/$defs/remembered":      Remembered{},
	"record.json":                            Record{},
	"terms.json#/$defs/contender":            Contender{},
	"terms.json#/$defs/holder":               Holder{},
	"terms.json#/$defs/decision":             Decision{},
	"terms.json#/$defs/change":               Change{},
	"terms.json#/$defs/detail":               Detail{},
}

// find returns the schema that a name or a $ref in a file means, and its file.
func find(t *testing.T, in, ref string) (document, string) {
	t.Helper()
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	file, pointer, _ := strings.Cut(ref, "#")
	if rest, ok := strings.CutPrefix(file, "urn:hierarchy:schema:"); ok {
		file = strings.TrimSuffix(rest, ":v1") + ".json"
	}
	if file == "" {
		file = in
	}
	doc := schemas[file]
	for key := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if key != "" {
			doc, _ = doc[key].(document)
		}
	}
	if doc == nil {
		t.Fatalf("%s refers to %s, which is not there", in, ref)
	}
	return doc, file
}

// shape collects the properties of a schema and those it requires.
func shape(t *testing.T, in, ref string) (properties, required []string) {
	t.Helper()
	doc, file := find(t, in, ref)
	props, _ := doc["properties"].(document)
	properties = slices.Collect(maps.Keys(props))
	names, _ := doc["required"].([]any)
	for _, name := range names {
		required = append(required, name.(string))
	}
	parts, _ := doc["allOf"].([]any)
	for _, part := range parts {
		if to, ok := part.(document)["$ref"].(string); ok {
			p, r := shape(t, file, to)
			properties, required = append(properties, p...), append(required, r...)
		}
	}
	slices.Sort(properties)
	slices.Sort(required)
	return properties, required
}

// members of a struct as encoding/json sees them, and those it never leaves out.
func jsonNames(typ reflect.Type) (names, always []string) {
	for f := range typ.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			n, a := jsonNames(f.Type)
			names, always = append(names, n...), append(always, a...)
			continue
		}
		names = append(names, name)
		if !strings.Contains(options, "omit") {
			always = append(always, name)
		}
	}
	slices.Sort(names)
	slices.Sort(always)
	return names, always
}

// TestSchemasNameTheFieldsOfTheTypes compares the names, both ways. What a type always
// writes is required, except the priority of an operation, which its subject has too.
func TestSchemasNameTheFieldsOfTheTypes(t *testing.T) {
	for name, value := range described {
		properties, required := shape(t, "", name)
		names, always := jsonNames(reflect.TypeOf(value))
		if diff := cmp.Diff(names, properties, equateEmpty); diff != "" {
			t.Errorf("%s: properties (-%T +schema):\n%s", name, value, diff)
		}
		if name == "operation.json" {
			required = append(required, "priority")
			slices.Sort(required)
		}
		if diff := cmp.Diff(always, required, equateEmpty); diff != "" {
			t.Errorf("%s: required (-%T +schema):\n%s", name, value, diff)
		}
	}
}

var equateEmpty = cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })

// TestEverySchemaDescribesAType fails for a schema of an object that is not held
// against a type.
func TestEverySchemaDescribesAType(t *testing.T) {
	schemas, err := loadSchemas()
	if err != nil {
		t.Fatal(err)
	}
	if len(schemas) != 17 {
		t.Errorf("there are %d schemas, want 17", len(schemas))
	}
	for name, doc := range schemas {
		if doc["$id"] != SchemaID(name) {
			t.Errorf("%s has $id %v, want %s", name, doc["$id"], SchemaID(name))
		}
		compiled(t, name)
		if described[name] == nil && name != "terms.json" {
			t.Errorf("%s describes no type", name)
		}
		defs, _ := doc["$defs"].(document)
		for def, value := range defs {
			full := name + "#/$defs/" + def
			if value.(document)["properties"] != nil && described[full] == nil {
				t.Errorf("%s describes no type", full)
			}
		}
	}
}

// samples are the values that fill puts into fields of a type.
var samples = []any{
	ModifyField, High, Pending, LostConflict, Wins, ByPriority, Carry, Set, ClosedByTimer, Contended, HolderRole,
	uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	json.RawMessage(`{"field":"a","value":1}`), json.Number("1.5"),
}

// fill sets every field that v holds to something that is not zero.
func fill(v reflect.Value) {
	for _, sample := range samples {
		if reflect.TypeOf(sample) == v.Type() {
			v.Set(reflect.ValueOf(sample))
			return
		}
	}
	switch v.Kind() { //nolint:exhaustive // the others do not occur in the package's types
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), value)
	case reflect.Interface:
		v.Set(reflect.ValueOf(json.Number("7")))
	case reflect.String:
		v.SetString("1-1")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Int:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	default:
		panic("no sample for " + v.Type().String())
	}
}

// filled returns a pointer to a value of the type of zero with every field set.
func filled(zero any) any {
	p := reflect.New(reflect.TypeOf(zero))
	fill(p.Elem())
	switch v := p.Interface().(type) {
	case *CreateParams:
		v.ParentID = uuid.Nil // an orphan has none
	case *Event:
		v.SpecVersion, v.Source, v.Type, v.DataContentType = specVersion, EventSource(1), EventType(StartedEvent), dataIsJSON
		v.Data = marshal(filled(StartedDetail{}))
	case *Taken, *Window, *Ledger, *Checkpoint, *CheckpointWindow, *Remembered:
		setDigests(p.Elem())
	}
	return p.Interface()
}

// setDigests puts hexadecimal digits where the schema of a window wants them.
func setDigests(v reflect.Value) {
	switch w := v.Addr().Interface().(type) {
	case *Taken:
		w.Digest = DigestOf(nil)
	case *Window:
		w.Taken[0].Digest = DigestOf(nil)
	case *Ledger:
		w.Taken[0].Digest = DigestOf(nil)
	case *Checkpoint:
		w.Windows[0].Taken[0].Digest = DigestOf(nil)
	case *CheckpointWindow:
		w.Taken[0].Digest = DigestOf(nil)
	case *Remembered:
		w.Digest = DigestOf(nil)
	}
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func validate(tb testing.TB, schema string, text []byte) error {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return compiled(tb, schema).Validate(doc)
}

// TestFilledValuesAreValid encodes each type with every field set.
func TestFilledValuesAreValid(t *testing.T) {
	for name, zero := range described {
		text := marshal(filled(zero))
		if err := validate(t, name, text); err != nil {
			t.Errorf("%s refuses %s: %v", name, text, err)
		}
		got := map[string]any{}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		names, _ := jsonNames(reflect.TypeOf(zero))
		if _, partial := zero.(CreateParams); len(got) != len(names) && !partial {
			t.Errorf("%s: %d of %d fields are set in %s", name, len(got), len(names), text)
		}
	}
}

// TestSchemasBite takes the required members away one by one: each loss must show.
func TestSchemasBite(t *testing.T) {
	for name, zero := range described {
		var doc document
		if err := json.Unmarshal(marshal(filled(zero)), &doc); err != nil {
			t.Fatal(err)
		}
		_, required := shape(t, "", name)
		for _, member := range required {
			kept := doc[member]
			delete(doc, member)
			if validate(t, name, marshal(doc)) == nil {
				t.Errorf("%s accepts a document without %s", name, member)
			}
			doc[member] = []any{[]any{}} // of a type that no required member has
			if err := validate(t, name, marshal(doc)); err == nil && member != "value" {
				t.Errorf("%s accepts a list of lists as %s", name, member)
			}
			doc[member] = kept
		}
	}
}
