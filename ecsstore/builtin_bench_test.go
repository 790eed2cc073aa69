package ecsstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hierarchy-events/hierarchy/operation"
)

// busy returns a world with an entity of so many components and a full history.
func busy(tb testing.TB, components int) *world {
	tb.Helper()
	return changed(tb, components, MaxHistory)
}

// changed returns a world with an entity of so many components that was changed that
// often.
func changed(tb testing.TB, components, changes int) *world {
	tb.Helper()
	w := newWorld(tb)
	fields := make([]string, components)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"field%02d":{"value":%d,"unit":"bar"}`, i, i)
	}
	w.must(operation.CreateEntity, "tank", `{"type":"tank","components":{"counter":0,`+strings.Join(fields, ",")+`}}`)
	for i := range changes {
		w.must(operation.ModifyField, "tank", fmt.Sprintf(`{"field":"counter","value":%d}`, i))
	}
	return w
}

// benchmarkSystem executes an operation on an entity of 20 components, each an
// object of two, whose history is short or as long as it gets.
func benchmarkSystem(b *testing.B, kind operation.Type, params string) {
	b.Helper()
	for name, changes := range map[string]int{"short-history": 4, "full-history": MaxHistory} {
		b.Run(name, func(b *testing.B) {
			w := changed(b, 20, changes)
			x := w.execution(w.operation(kind, "tank", params))
			system := Builtin()[kind]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewTxn(w.load).Execute(system, x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkModifyField(b *testing.B) {
	benchmarkSystem(b, operation.ModifyField, `{"field":"field07.value","value":70}`)
}

func BenchmarkComplexUpdate(b *testing.B) {
	benchmarkSystem(b, operation.ComplexUpdate, `{"set":{"field07.value":70,"field08.unit":"psi"},"add":{"counter":1}}`)
}

func BenchmarkVersionEntity(b *testing.B) { benchmarkSystem(b, operation.VersionEntity, "") }

func BenchmarkParams(b *testing.B) {
	w := newWorld(b)
	o := w.operation(operation.ModifyField, "tank", `{"field":"field07.value","value":70}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := operation.ParamsOf[operation.ModifyParams](o); err != nil {
			b.Fatal(err)
		}
	}
}
