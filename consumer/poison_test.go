package consumer

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// TestR16_AnOperationThatKillsItsWorkerEnds has an operation take down each worker that
// attempts it. It is attempted five times and not once more, and what else its partition
// has to do is done: what came with it, and what comes while it goes round.
func TestR16_AnOperationThatKillsItsWorkerEnds(t *testing.T) {
	const most = 5
	for _, c := range []struct {
		name    string
		of      func(uuid.UUID, operation.Priority, script) operation.Operation
		started int // that were stored
	}{
		{"slow", slow, most},
		// The first two attempts die with the commit that would have told of them.
		{"pure", pure, most - 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				var now atomic.Pointer[crew]
				w.lab.dies(func() { now.Load().kill() })
				now.Store(w.ready())
				valve := w.made("valve-1", w.neighbour("valve-1"))
				poison, beside := c.of(valve[0], operation.Low, script{Kill: true}), count(valve[1], operation.Low)
				between := count(valve[1], operation.Low)
				w.submit(poison, beside)
				for round := range most + 3 {
					after(5 * time.Second)
					now.Load().die()
					if round == most/2 {
						w.submit(between)
					}
					now.Store(w.start())
				}
				after(5 * time.Second)
				w.wants("poison", poison)
				w.wants(completed, beside, between)
				w.wantsAttempts(poison, most, c.started)
			})
		})
	}
}

// neighbour returns the name of another entity in the partition of the one called name.
func (w *world) neighbour(name string) string {
	home := subjects.Partition(w.entity(name), w.partitions())
	for n := 2; ; n++ {
		other := fmt.Sprintf("neighbour-%d", n)
		if subjects.Partition(w.entity(other), w.partitions()) == home {
			return other
		}
	}
}

// wantsAttempts checks how often an operation was attempted, and what its events say of
// that: all but the last of the attempts that they know of was recovered from.
func (w *world) wantsAttempts(o operation.Operation, made, started int) {
	w.t.Helper()
	if n := w.lab.attempts(o); n != made {
		w.t.Errorf("%s was attempted %d times, want %d", w.name(o.ID), n, made)
	}
	if n := len(w.of(operation.StartedEvent, o)); n != started {
		w.t.Errorf("%s has %d started events, want %d", w.name(o.ID), n, started)
	}
	again := w.of(operation.RetryEvent, o)
	if len(again) != started-1 {
		w.t.Errorf("%s has %d retry events, want %d", w.name(o.ID), len(again), started-1)
	}
	for _, e := range again {
		if e.detail.Reason != operation.Recovered || e.detail.RetryCount != 0 {
			w.t.Errorf("%s is repeated as %s, retry %d: want that it recovers", w.name(o.ID), e.detail.Reason, e.detail.RetryCount)
		}
	}
}

// TestR16_CareEndsWithWhatWasThere has two workers die in a row without a commit. The next
// one runs alone what they may have died of, and nothing that has come since.
func TestR16_CareEndsWithWhatWasThere(t *testing.T) {
	bubble(t, func(w *world) {
		traps := newTraps(w)
		traps.start()
		valve := w.made("valve-1")[0]
		suspect, later := count(valve, operation.Low), count(valve, operation.Low)
		deadly := trap{at: afterResolve, nth: 1, do: crash}
		traps.set(deadly)
		w.submit(suspect)
		after(10 * time.Second)
		traps.set(deadly)
		traps.start()
		after(10 * time.Second)
		traps.start()
		after(10 * time.Second)
		w.submit(later)
		after(10 * time.Second)
		w.wants(completed, suspect, later)
		for o, want := range map[*operation.Operation]int{&suspect: 1, &later: 0} {
			record := w.space.Record(subjects.Partition(valve, w.partitions()), o.ID)
			if n := len(w.stored(record)); n != want { // what is run alone outlives its window
				t.Errorf("%d records of %s, want %d", n, w.name(o.ID), want)
			}
		}
	})
}
