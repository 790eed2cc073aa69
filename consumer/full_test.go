package consumer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR2_AFullWindowClosesAtOnce pours more operations than a window takes into one that
// is to stay open for ten seconds. The first of them are decided at once, the rest when
// the time of the window that they have opened is over.
func TestR2_AFullWindowClosesAtOnce(t *testing.T) {
	const more = 44
	bubble(t, func(w *world) {
		w.cfg.Window = 10 * time.Second
		w.ready()
		valve := w.made("valve-1")[0]
		ops := make([]operation.Operation, MaxWindow+more)
		for i := range ops {
			ops[i] = modify(valve, operation.Low, "7")
		}
		w.pour(ops)
		after(time.Second)
		if n := len(w.outcomes()) - 1; n != MaxWindow { // the entity was made by one
			t.Errorf("%d operations have ended after a second, want %d", n, MaxWindow)
		}
		after(w.cfg.Window)
		w.wants(completed, ops[0], ops[MaxWindow])
		w.wants("lost_conflict", ops[1:MaxWindow]...)
		w.wants("lost_conflict", ops[MaxWindow+1:]...)
		w.wantsWindows(
			closed{taken: 1, cause: operation.ClosedByTimer, after: w.cfg.Window},
			closed{taken: MaxWindow, cause: operation.ClosedFull},
			closed{taken: more, cause: operation.ClosedByTimer, after: w.cfg.Window},
		)
	})
}

// closed is how a window came to its end.
type closed struct {
	taken int
	cause operation.CloseCause
	after time.Duration
}

// wantsWindows checks the windows that took something.
func (w *world) wantsWindows(want ...closed) {
	w.t.Helper()
	var got []closed
	for stored, err := range w.read.Windows(w.t.Context(), ecsstore.WindowFilter{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r := stored.Record; len(r.Taken) > 0 {
			got = append(got, closed{taken: len(r.Taken), cause: r.Cause, after: r.Closed.Sub(r.Opened).Round(time.Second)})
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(closed{})); diff != "" {
		w.t.Errorf("windows (-want +got):\n%s", diff)
	}
}
