package consumer

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/operation"
)

// windows returns the decision records of all partitions, in the order of commits.
func (w *world) windows() (out []operation.Window) {
	w.t.Helper()
	for _, msg := range w.stored(w.space.Windows()) {
		var record operation.Window
		if err := json.Unmarshal(msg.Data(), &record); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, record)
	}
	return out
}

// fences returns the fence of each partition there is or was.
func (w *world) fences() map[int]operation.Fence {
	w.t.Helper()
	all, err := w.read.Fences(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[int]operation.Fence{}
	for _, f := range all {
		out[f.Partition] = f
	}
	return out
}

// fates returns what became of every message with the id of an operation.
func (w *world) fates(o operation.Operation) (out []operation.Taken) {
	w.t.Helper()
	for _, record := range w.windows() {
		for _, taken := range record.Taken {
			if taken.OpID == o.ID {
				out = append(out, operation.Taken{Fate: taken.Fate, Target: taken.Target, Status: taken.Status})
			}
		}
	}
	return out
}

// TestR17_CancelARepetition cancels an operation that its window has taken twice: it
// is one operation that is withdrawn.
func TestR17_CancelARepetition(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		o := modify(valve, operation.High, "7")
		w.submit(o, o)
		w.cancel(o)
		after(time.Second)
		w.wants("cancelled", o)
		want := []operation.Taken{
			{Fate: operation.Withdrawn, Target: valve.String(), Status: operation.Cancelled}, {Fate: operation.Duplicate},
		}
		if diff := cmp.Diff(want, w.fates(o)); diff != "" {
			t.Errorf("what was taken (-want +got):\n%s", diff)
		}
	})
}

// TestR10_ARefusedOperationNamesItsEntity takes a child of nobody: no decision names
// its entity, so that what was taken has to.
func TestR10_ARefusedOperationNamesItsEntity(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		orphan := under(modify(valve, operation.Low, "1"), modify(valve, operation.High, "7"))
		w.submit(orphan)
		after(time.Second)
		w.wants("parent_not_live", orphan)
		want := []operation.Taken{{Fate: operation.Refused, Target: valve.String(), Status: operation.Rejected}}
		if diff := cmp.Diff(want, w.fates(orphan)); diff != "" {
			t.Errorf("what was taken (-want +got):\n%s", diff)
		}
	})
}
