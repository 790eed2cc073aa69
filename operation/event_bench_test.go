package operation

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
)

func completed() CompletedDetail {
	return CompletedDetail{
		Detail: Detail{
			OpID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), OpType: ModifyField,
			Target: benchTarget, Priority: High, EffectivePriority: Critical,
			Worker: "worker-1", Partition: 7, Window: "7-42", Sequence: 4711,
		},
		Attempt: 1, ExecutionMS: 0.031, Version: 3, Revision: 17,
		Changes: []Change{{Entity: uuid.MustParse(benchTarget), Action: Set, Path: "position.x", Value: json.RawMessage("7.25")}},
	}
}

func newCompleted(tb testing.TB) Event {
	tb.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	e, err := NewEvent(CompletedEvent, "0198c0de-0000-7000-8000-000000000001/completed/1", 7, benchTarget, at,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", completed())
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func BenchmarkNewEvent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newCompleted(b)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	e := newCompleted(b)
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = AppendEvent(dst[:0], &e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMarshalEvent is what an event costs through encoding/json.
func BenchmarkMarshalEvent(b *testing.B) {
	e := newCompleted(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(&e); err != nil {
			b.Fatal(err)
		}
	}
}
