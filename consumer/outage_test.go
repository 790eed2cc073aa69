package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR25_AWorkerStartsWhileTheBrokerIsAway holds the line of a worker that starts, as an
// election would, for longer than any of its requests waits.
func TestR25_AWorkerStartsWhileTheBrokerIsAway(t *testing.T) {
	bubble(t, func(w *world) {
		line := w.s.Line()
		nc := w.s.Connect(w.t, line.Over())
		line.Hold(4 * storeTimeout)
		c := w.startOn(nc, nil)
		after(5 * storeTimeout)
		w.settled(c)
		valve := w.made("valve-1")[0]
		o := modify(valve, operation.Normal, "7")
		w.submit(o)
		after(time.Second)
		w.wants(completed, o)
	})
}

// TestR25_AWorkerStopsWhileItStarts has it told to stop before it could open anything.
func TestR25_AWorkerStopsWhileItStarts(t *testing.T) {
	bubble(t, func(w *world) {
		line := w.s.Line()
		nc := w.s.Connect(w.t, line.Over())
		line.Hold(time.Minute)
		c := w.startOn(nc, nil)
		after(storeTimeout / 2)
		began := time.Now()
		c.stop()
		if took := time.Since(began); took > time.Second {
			w.t.Errorf("it took %v", took)
		}
		after(time.Minute)
	})
}

// reluctant is a store that takes long to look an operation up.
type reluctant struct {
	streams
	takes time.Duration
}

func (r reluctant) Find(ctx context.Context, ref operation.Ref, custom func(operation.Type) bool) (ecsstore.Found, error) {
	select {
	case <-time.After(r.takes):
		return r.streams.Find(ctx, ref, custom)
	case <-ctx.Done():
		return ecsstore.Found{}, ctx.Err()
	}
}

// TestR24_ParentsThatTakeLongToFind has parents looked up that take longer than one
// exchange with the broker may, as behind a long queue. The rest must not wait for ever.
func TestR24_ParentsThatTakeLongToFind(t *testing.T) {
	bubble(t, func(w *world) {
		w.wrap = func(s streams) streams { return reluctant{s, 3 * storeTimeout / 2} }
		w.ready()
		valves := w.made("valve-1", "valve-2")
		child := modify(valves[0], operation.Normal, "7")
		child.ParentID, child.ParentTarget = uuid.New(), valves[1]
		other := modify(valves[1], operation.Normal, "7")
		w.submit(child, other)
		after(10 * storeTimeout)
		w.wants("parent_not_live", child)
		w.wants(completed, other)
	})
}

// TestR25_AWorkerStopsWhileTheBrokerIsAway holds the line of a worker, while it claims
// or when it has everything, and tells it to stop before the line is free again.
func TestR25_AWorkerStopsWhileTheBrokerIsAway(t *testing.T) {
	for name, at := range map[string]step{"claiming": afterClaim, "idle": ""} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				traps := newTraps(w)
				traps.set(trap{at: at, nth: 1, do: stall, pause: time.Minute})
				c := traps.start()
				after(3 * time.Second)
				if at == "" {
					c.line.Hold(time.Minute)
					after(10 * time.Second)
				}
				began := time.Now()
				c.stop()
				if took := time.Since(began); took > stopTimeout+time.Second {
					w.t.Errorf("it took %v", took)
				}
				after(time.Minute)
			})
		})
	}
}
