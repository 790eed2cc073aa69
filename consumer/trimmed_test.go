package consumer

import (
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR17_CancelledInTheCommitThatTookIt has a worker commit so slowly that an operation
// that waits and the cancellation of it come to two windows of one commit. When neither can
// be read any more, the audit still understands it.
func TestR17_CancelledInTheCommitThatTookIt(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.RetryBase, w.cfg.RetryMax = time.Hour, time.Hour
		w.wrap = func(s streams) streams { return sluggish{streams: s, takes: 100 * time.Millisecond} }
		w.ready()
		all := w.made("valve-1", "valve-2", "valve-3", "valve-4", "pump-1", "pump-2", "tank-1", "tank-2") // in all partitions
		missing := w.entity("valve-late")
		w.submit(modify(missing, operation.High, "1"))
		after(time.Second)
		w.submit(count(all[0], operation.Low), count(all[1], operation.Low), count(all[2], operation.Low))
		after(20 * time.Millisecond)
		o := modify(missing, operation.Low, "2")
		w.submit(o)
		after(20 * time.Millisecond)
		w.cancel(o)
		after(time.Second)
		for _, id := range all {
			w.submit(count(id, operation.Low))
		}
		after(time.Second)
		if len(w.of(operation.CancelledEvent, o)) != 1 {
			t.Error("it was not cancelled")
		}
	})
}
