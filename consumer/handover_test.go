package consumer

import (
	"context"
	"slices"
	"sync"
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

// releasing tells of what a worker lets go, before it does.
type releasing struct {
	streams

	tell func([]ecsstore.Held)
}

func (r releasing) Release(ctx context.Context, held ...ecsstore.Held) error {
	r.tell(held)
	return r.streams.Release(ctx, held...)
}

// TestR23_LetsGoOfAllAtOnce has a worker give partitions to one that comes, and the rest to it
// when it stops: one commit each. One of the rest is another's by then, so the others are let
// go of one by one.
func TestR23_LetsGoOfAllAtOnce(t *testing.T) {
	bubble(t, func(w *world) {
		var mu sync.Mutex
		var sizes []int
		w.wrap = func(s streams) streams {
			return releasing{streams: s, tell: func(held []ecsstore.Held) {
				mu.Lock()
				defer mu.Unlock()
				if sizes = append(sizes, len(held)); len(sizes) == 2 { // after the worker has read its fences
					if _, err := s.Claim(w.t.Context(), held[0].Fence.Partition, "passer-by", 0); err != nil {
						t.Error(err)
					}
				}
			}}
		}
		first := w.ready()
		w.wrap = nil
		second := w.start()
		after(2 * time.Second)
		has := len(second.Stats().Partitions)
		rest := w.partitions() - has
		if has == 0 || rest < 2 {
			t.Fatalf("the second worker has %d of %d partitions", has, w.partitions())
		}
		first.stop()
		if want := append([]int{has, rest}, slices.Repeat([]int{1}, rest)...); !slices.Equal(sizes, want) {
			t.Errorf("partitions let go of at a time: %d, want %d", sizes, want)
		}
		w.settled(second)
	})
}
