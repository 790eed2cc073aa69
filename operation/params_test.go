package operation

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// withParams returns an operation of a type that has been through the wire.
func withParams(t *testing.T, typ Type, params any) *Operation {
	t.Helper()
	op := &Operation{
		ID: uuid.MustParse(known["ID"]), Type: typ, Target: uuid.MustParse(known["T"]),
		Source: uuid.MustParse(known["S"]), Priority: Normal,
	}
	if err := op.WithParams(params); err != nil {
		t.Fatal(err)
	}
	body, err := op.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(body, "normal", known["T"], nil)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return got
}

func roundTrip[T any](t *testing.T, typ Type, want T) {
	t.Helper()
	got, err := ParamsOf[T](withParams(t, typ, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-sent +received):\n%s", typ, diff)
	}
}

// TestParams takes the params of each built-in type through the wire.
func TestParams(t *testing.T) {
	roundTrip(t, CreateEntity, *filled(CreateParams{}).(*CreateParams))
	roundTrip(t, CreateEntity, CreateParams{Type: "valve", Components: map[string]any{}, ParentID: uuid.MustParse(known["P"])})
	roundTrip(t, VersionEntity, VersionParams{Note: "as delivered"})
	roundTrip(t, ComplexUpdate, UpdateParams{
		Set: map[string]any{"a.b": []any{true, nil}}, Add: map[string]json.Number{"n": "-1.50"}, Remove: []string{"c"},
		Retype: true, Create: true,
	})
	roundTrip(t, ModifyField, ModifyParams{Field: "a", Value: nil})
	roundTrip(t, ModifyField, ModifyParams{Field: "a", Value: json.Number("12345678901234567890.5"), Retype: true, Create: true})
	roundTrip(t, BorrowAttribute, BorrowParams{SourceField: "a", TargetField: "b.c", Retype: true, Create: true})
	roundTrip(t, AttachEntity, AttachParams{ParentID: uuid.MustParse(known["P"])})
}

// TestParamsOfNothing gives the zero value.
func TestParamsOfNothing(t *testing.T) {
	got, err := ParamsOf[VersionParams](&Operation{Type: VersionEntity})
	if err != nil || got != (VersionParams{}) {
		t.Errorf("got %v, %v", got, err)
	}
	created := withParams(t, CreateEntity, CreateParams{Type: "valve"})
	if want := `{"type":"valve","components":{}}`; string(created.Params) != want {
		t.Errorf("an entity without components is created by %s, want %s", created.Params, want)
	}
}

// TestR13_ParamsThatDoNotFit are a permanent failure.
func TestR13_ParamsThatDoNotFit(t *testing.T) {
	_, err := ParamsOf[AttachParams](&Operation{Type: AttachEntity, Params: json.RawMessage(`{"parent_id":7}`)})
	if f, ok := errors.AsType[*Failure](err); !ok || !f.Permanent || f.Reason != Invalid {
		t.Errorf("got %v, want a permanent failure", err)
	}
	err = new(Operation).WithParams(make(chan int))
	if f, ok := errors.AsType[*Failure](err); !ok || f.Reason != Invalid {
		t.Errorf("got %v, want a failure", err)
	}
}

// TestR14_OverlappingPaths compares Decode with a plain definition of when two paths
// of an update get in each other's way.
func TestR14_OverlappingPaths(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "a-b", "ab", "a b", "0", "\u00e4"})
	path := rapid.Map(rapid.SliceOfN(segment, 1, 3), func(p []string) string { return strings.Join(p, ".") })
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.MapOfN(path, rapid.Just(1), 0, 4).Draw(t, "set")
		add := rapid.MapOfN(path, rapid.Just(1), 0, 4).Draw(t, "add")
		remove := rapid.SliceOfN(path, 0, 4).Draw(t, "remove")
		paths := slices.Concat(slices.Collect(maps.Keys(set)), slices.Collect(maps.Keys(add)), remove)
		op := &Operation{ID: uuid.New(), Type: ComplexUpdate, Target: uuid.New(), Priority: Low}
		if err := op.WithParams(map[string]any{"set": set, "add": add, "remove": remove}); err != nil {
			t.Fatal(err)
		}
		body, err := op.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode(body, "low", op.Target.String(), nil)
		if want := len(paths) > 0 && !overlap(paths); (err == nil) != want {
			t.Fatalf("paths %q: got %v, want them accepted: %t", paths, err, want)
		}
	})
}

func overlap(paths []string) bool {
	for i, p := range paths {
		for j, q := range paths {
			if i != j && (p == q || strings.HasPrefix(q, p+".")) {
				return true
			}
		}
	}
	return false
}

// TestR14_AnyJSONIsAValue compares Decode with encoding/json on generated values:
// within the limits it accepts them and keeps them.
func TestR14_AnyJSONIsAValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := drawValue(3).Draw(t, "value")
		op := &Operation{ID: uuid.New(), Type: ModifyField, Target: uuid.New(), Priority: High}
		if err := op.WithParams(ModifyParams{Field: "a", Value: value}); err != nil {
			t.Fatal(err)
		}
		body, err := op.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(body, "high", op.Target.String(), nil)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		params, err := ParamsOf[ModifyParams](got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(value, params.Value); diff != "" {
			t.Fatalf("(-sent +received):\n%s", diff)
		}
	})
}

func drawValue(depth int) *rapid.Generator[any] {
	text := rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "") })
	kinds := []*rapid.Generator[any]{
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Float64(), func(f float64) any { return json.Number(marshal(f)) }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	}
	if depth > 0 {
		inner := rapid.Deferred(func() *rapid.Generator[any] { return drawValue(depth - 1) })
		kinds = append(kinds,
			rapid.Map(rapid.SliceOfN(inner, 0, 4), func(list []any) any { return append([]any{}, list...) }),
			rapid.Map(rapid.MapOfN(text, inner, 0, 4), func(m map[string]any) any { return m }))
	}
	return rapid.OneOf(kinds...)
}

// TestPaths reads paths and refuses what is none.
func TestPaths(t *testing.T) {
	got, err := ParsePath("position.x.0")
	if diff := cmp.Diff(Path{"position", "x", "0"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, text := range []string{"", ".", "a.", ".a", "a..b", "\xff", "a\x00", strings.Repeat("x", MaxPathBytes+1), strings.Repeat("a.", MaxDepth) + "a"} {
		if p, err := ParsePath(text); err == nil {
			t.Errorf("%q is read as %q", text, p)
		}
	}
}

// TestAddresses reads addresses and refuses what is none.
func TestAddresses(t *testing.T) {
	for text, want := range map[string]Address{
		"@valve-7":                         {Entity: "valve-7"},
		"@valve-7.position.x":              {Entity: "valve-7", Path: Path{"position", "x"}},
		"@valve-7~3.position.x":            {Entity: "valve-7", Version: 3, Path: Path{"position", "x"}},
		"@valve-7~18446744073709551615":    {Entity: "valve-7", Version: 18446744073709551615},
		"@" + known["T"] + "~1.a":          {Entity: known["T"], Version: 1, Path: Path{"a"}},
		"@a.b~2":                           {Entity: "a", Path: Path{"b~2"}},
		"@" + strings.Repeat("n", 256):     {Entity: strings.Repeat("n", 256)},
		"@caf\u00e9 9.temperature in room": {Entity: "caf\u00e9 9", Path: Path{"temperature in room"}},
	} {
		got, err := ParseAddress(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
		if got.String() != text || got.ID() != EntityID(want.Entity) {
			t.Errorf("%q is written as %q, of entity %s", text, got, got.ID())
		}
	}
	for _, text := range []string{
		"", "@", "valve-7", "@.a", "@~1", "@a~", "@a~0", "@a~01", "@a~-1", "@a~x", "@a~1x", "@a~18446744073709551616",
		"@a.", "@a..b", "@a~1.", "@\xff", "@a\x00", "@" + strings.Repeat("n", 257),
	} {
		if a, err := ParseAddress(text); err == nil {
			t.Errorf("%q is read as %#v", text, a)
		}
	}
}
