package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// sluggish takes its time to commit.
type sluggish struct {
	streams

	takes time.Duration
}

func (s sluggish) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	<-time.After(s.takes)
	return s.streams.Commit(ctx, b)
}

// TestR23_ABusyWorkerHandsOver has a second worker come while the first is never
// without a commit under way. The first lets go in good order all the same: nobody is
// fenced, and nothing is recovered.
func TestR23_ABusyWorkerHandsOver(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Window = 0
		w.wrap = func(s streams) streams { return sluggish{streams: s, takes: 5 * time.Millisecond} }
		first := w.ready()
		valves := w.made("valve-1", "valve-2", "valve-3", "valve-4", "valve-5", "valve-6", "pump-1", "pump-2")
		var second *crew
		for i := range 2000 {
			w.send(count(valves[i%len(valves)], operation.Normal))
			after(time.Millisecond)
			if i == 500 {
				second = w.start()
			}
		}
		after(5 * time.Second)
		a, b := first.Stats(), second.Stats()
		if len(a.Partitions) == 0 || len(b.Partitions) == 0 {
			t.Fatalf("the workers have %d and %d partitions", len(a.Partitions), len(b.Partitions))
		}
		if a.Fenced > 0 || a.Refusals["refused"] > 0 || b.Claims != len(b.Partitions) {
			t.Errorf("fenced %d times, %d commits refused, %d claims of %d partitions",
				a.Fenced, a.Refusals["refused"], b.Claims, len(b.Partitions))
		}
	})
}

// TestR23_ADrainingWorkerWorksOn has one of two workers stop under load. It goes on while
// the other gets ready, and lets go in good order: nobody is fenced.
func TestR23_ADrainingWorkerWorksOn(t *testing.T) {
	bubble(t, func(w *world) {
		first := w.ready()
		second := w.start()
		w.settled(first, second)
		valves := w.made("valve-1", "valve-2", "valve-3", "valve-4", "valve-5", "valve-6", "pump-1", "pump-2")
		load := func(n int) {
			for i := range n {
				w.send(count(valves[i%len(valves)], operation.Normal))
				after(time.Millisecond)
			}
		}
		load(200)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			first.stop()
		}()
		load(20) // in which it says that it drains
		before := first.Stats().Commits
		load(int(drainGrace.Milliseconds()) / 2)
		if n := first.Stats().Commits; n == before {
			t.Error("the worker that drains commits nothing any more")
		}
		load(500)
		select {
		case <-stopped:
		default:
			t.Error("the worker that drains has not ended")
		}
		a, b := first.Stats(), second.Stats()
		if a.Fenced+b.Fenced > 0 || a.Refusals[refusedCommit] > 0 || b.Claims != w.partitions() {
			t.Errorf("fenced %d and %d times, %d commits refused; the other has made %d claims",
				a.Fenced, b.Fenced, a.Refusals[refusedCommit], b.Claims)
		}
		if n := len(b.Partitions); n != w.partitions() {
			t.Errorf("the worker that is left has %d partitions, want %d", n, w.partitions())
		}
	})
}
