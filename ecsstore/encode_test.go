package ecsstore

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// wantEncoded compares what was written by hand with what encoding/json makes of
// the same value.
func wantEncoded(t rapid.TB, got []byte, err error, value any) {
	t.Helper()
	want, wantErr := json.Marshal(value)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("encoding fails with %v, encoding/json with %v", err, wantErr)
	}
	if err == nil && string(got) != string(want) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestHeadsAreEncodedAsEncodingJSONDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := drawEntity(rt)
		got, err := encodeHead(e)
		wantEncoded(rt, got, err, e)
	})
}

func TestVersionsAreEncodedWithoutHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := Version{
			Entity: drawID(rt), Number: rapid.Uint64().Draw(rt, "number"), OpID: drawID(rt),
			Time: drawTime(rt), Note: drawText(rt), Head: drawEntity(rt),
		}
		entries := len(v.Head.History)
		got, err := encodeVersion(&v)
		if len(v.Head.History) != entries {
			rt.Fatal("encoding a version changed its head")
		}
		bare := *v.Head
		bare.History = nil
		v.Head = &bare
		wantEncoded(rt, got, err, v)
	})
	got, err := encodeVersion(&Version{})
	wantEncoded(t, got, err, Version{})
}

// What decoding JSON never makes is encoded all the same, or refused all the same.
func TestUnusualHeadsAreEncodedAsEncodingJSONDoes(t *testing.T) {
	at := time.Date(2026, 3, 1, 23, 59, 59, 999_999_999, time.UTC)
	for name, e := range map[string]Entity{
		"zero":              {},
		"empty components":  {Components: map[string]any{}, History: []Modification{}, Children: []uuid.UUID{}},
		"nil inside":        {Components: map[string]any{"list": []any(nil), "object": map[string]any(nil), "null": nil}},
		"go values":         {Components: map[string]any{"n": 7, "f": 1.5, "s": []string{"<"}}},
		"empty number":      {Components: map[string]any{"n": json.Number("")}},
		"no number":         {Components: map[string]any{"n": json.Number("07")}},
		"no value":          {Components: map[string]any{"n": math.NaN()}},
		"a channel":         {Components: map[string]any{"deep": []any{make(chan int)}}},
		"local time":        {CreatedAt: at.In(time.FixedZone("", 3600)), UpdatedAt: at},
		"distant zone":      {CreatedAt: at.In(time.FixedZone("", 30*3600))},
		"before 1970":       {CreatedAt: time.Date(1969, 12, 31, 23, 59, 59, 5, time.UTC)},
		"last second":       {CreatedAt: time.Unix(lastSecond, 120).UTC()},
		"after year 9999":   {CreatedAt: time.Unix(lastSecond+1, 0).UTC()},
		"unknown priority":  {History: []Modification{{Priority: 3}}},
		"negative depth":    {History: []Modification{{Depth: -1}}},
		"invalid UTF-8":     {Name: "a\xffb", Type: "\u2028", Components: map[string]any{"\xff<": "\x7f&\t\x01"}},
		"keys out of order": {Components: map[string]any{"b": true, "a": false, "ü": nil, "": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := encodeHead(&e)
			wantEncoded(t, got, err, e)
		})
	}
}

// A history of times that cross midnight, since a date is computed once a day.
func TestTimesOfSeveralDaysAreEncoded(t *testing.T) {
	var e Entity
	for day := range 40 {
		at := time.Date(2024, 2, 20+day/2, 0, 0, -day%2, day*1000, time.UTC)
		e.History = append(e.History, Modification{Time: at}, Modification{Time: time.Unix(0, 0).UTC()})
	}
	got, err := encodeHead(&e)
	wantEncoded(t, got, err, e)
}

func FuzzEncodedComponents(f *testing.F) {
	f.Add(`{"a":[1,-0.5e9,{"<":null}],"b":"\u2028 x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		e := Entity{Name: text}
		if err := decodeNumbers([]byte(text), &e.Components); err != nil {
			e.Components = map[string]any{text: json.Number(text)}
		}
		got, err := encodeHead(&e)
		wantEncoded(t, got, err, e)
	})
}

func drawID(rt *rapid.T) (id uuid.UUID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 0, len(id)).Draw(rt, "id"))
	return id
}

func drawTime(rt *rapid.T) time.Time {
	at := time.Unix(rapid.Int64Range(-1e10, lastSecond+10).Draw(rt, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(rt, "nanos"))
	if rapid.Bool().Draw(rt, "local") {
		return at.In(time.FixedZone("", rapid.IntRange(-90000, 90000).Draw(rt, "offset")))
	}
	return at.UTC()
}

func drawText(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "valve-7", "a < b & \"c\"", "\u2029", "Größe", "\xc3", strings.Repeat("x", 300)}).Draw(rt, "text")
}

func drawEntity(rt *rapid.T) *Entity {
	e := &Entity{
		ID: drawID(rt), Name: drawText(rt), Type: drawText(rt), Place: Place(drawText(rt)), Parent: drawID(rt),
		Revision: rapid.Uint64().Draw(rt, "revision"), VersionCount: rapid.Uint64().Draw(rt, "versions"),
		BorrowCount: rapid.Uint64().Draw(rt, "borrows"), Components: drawObject(rt, 3),
		CreatedAt: drawTime(rt), UpdatedAt: drawTime(rt),
	}
	for range rapid.IntRange(0, 3).Draw(rt, "lists") {
		e.Children = append(e.Children, drawID(rt))
		if e.Sources == nil {
			e.Sources = map[string]Source{}
		}
		e.Sources[drawText(rt)] = Source{
			Entity: drawID(rt), Field: drawText(rt), Version: rapid.Uint64Range(0, 2).Draw(rt, "version"),
			Revision: rapid.Uint64().Draw(rt, "revision"), OpID: drawID(rt),
		}
		e.History = append(e.History, Modification{
			Revision: rapid.Uint64().Draw(rt, "revision"), OpID: drawID(rt), OpType: operation.Type(drawText(rt)), Time: drawTime(rt),
			Priority: rapid.SampledFrom([]operation.Priority{0, operation.Low, operation.Critical, 3}).Draw(rt, "priority"),
			Depth:    rapid.IntRange(-1, 64).Draw(rt, "depth"),
		})
	}
	return e
}

// BenchmarkEncodeHead encodes a head of 20 components with a full history.
func BenchmarkEncodeHead(b *testing.B) {
	head := &Entity{ID: operation.EntityID("tank"), Type: "tank", Place: Root, Components: map[string]any{}}
	for i := range 20 {
		head.Components[fmt.Sprintf("field%02d", i)] = map[string]any{"value": json.Number(strconv.Itoa(i)), "unit": "bar"}
	}
	for i := range MaxHistory {
		head.History = append(head.History, Modification{
			Revision: uint64(i), OpID: head.ID, OpType: operation.ModifyField, //nolint:gosec // an index
			Time: time.Unix(1772366400, int64(i)*1_234_567).UTC(), Priority: operation.Normal, Depth: 1,
		})
	}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := encodeHead(head); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(head); err != nil {
				b.Fatal(err)
			}
		}
	})
}
