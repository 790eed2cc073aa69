package consumer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR18_HeadsOfOthersAreReadAfresh borrows again and again from an entity that another
// worker changes in between. What was read of it before is out of date each time.
func TestR18_HeadsOfOthersAreReadAfresh(t *testing.T) {
	bubble(t, func(w *world) {
		crews := []*crew{w.start(), w.start()}
		after(5 * time.Second)
		w.settled(crews...)
		var names []string
		for i := range 16 {
			names = append(names, fmt.Sprintf("valve-%d", i))
		}
		valves := w.made(names...)
		for range 5 {
			for i, valve := range valves {
				w.submit(count(valve, operation.Normal))
				after(50 * time.Millisecond)
				w.submit(borrow(valves[(i+1)%len(valves)], valve, operation.Normal))
				after(50 * time.Millisecond)
			}
		}
		refused := 0
		for _, c := range crews {
			refused += c.Stats().Refusals["refused"]
		}
		if refused > 0 {
			w.t.Errorf("%d commits were refused, though nothing happened at the same time", refused)
		}
	})
}

// touchy is a store that takes small commits only, as one would where much changes
// between reading and committing.
type touchy struct {
	streams
	refused *atomic.Int64
}

func (s touchy) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	taken := 0
	for i := range b.Parts {
		for _, window := range b.Parts[i].Windows {
			taken += len(window.Taken)
		}
	}
	if taken > 2 {
		s.refused.Add(1)
		return ecsstore.Receipt{}, fmt.Errorf("committing: %w", ecsstore.ErrRefused)
	}
	return s.streams.Commit(ctx, b)
}

// TestR18_RefusedRoundsBecomeSmaller until one is stored.
func TestR18_RefusedRoundsBecomeSmaller(t *testing.T) {
	bubble(t, func(w *world) {
		var refused atomic.Int64
		w.wrap = func(s streams) streams { return touchy{s, &refused} }
		w.ready()
		valve := w.made("valve-1")[0]
		var ops []operation.Operation
		for range 50 {
			ops = append(ops, count(valve, operation.Normal))
		}
		w.submit(ops...)
		after(10 * time.Second)
		if n := len(w.outcomes()); n < len(ops) {
			w.t.Errorf("%d of %d operations have ended", n, len(ops))
		}
		if n := refused.Load(); n == 0 || n > 100 {
			w.t.Errorf("%d commits were refused, want some and not too many", n)
		}
	})
}

// fickle is a store that refuses one commit, as one does when a head has changed.
type fickle struct {
	streams
	*refusal
}

type refusal struct {
	next  atomic.Bool // refuse the next commit
	mu    sync.Mutex  // guards parts
	parts []int       // partitions in each commit from the refused one on
}

func (s fickle) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	refuse := s.next.CompareAndSwap(true, false)
	s.mu.Lock()
	if refuse || len(s.parts) > 0 {
		s.parts = append(s.parts, len(b.Parts))
	}
	s.mu.Unlock()
	if refuse {
		return ecsstore.Receipt{}, fmt.Errorf("committing: %w", ecsstore.ErrRefused)
	}
	return s.streams.Commit(ctx, b)
}

// TestR18_ARefusedRoundIsMadeAgainWhole, since one head has changed, and what the other
// partitions have decided is none the worse for it.
func TestR18_ARefusedRoundIsMadeAgainWhole(t *testing.T) {
	bubble(t, func(w *world) {
		r := &refusal{}
		w.wrap = func(s streams) streams { return fickle{s, r} }
		w.ready()
		var ops []operation.Operation
		for _, valve := range w.made("valve-1", "valve-4", "valve-3", "pump-1") { // one in each partition
			ops = append(ops, count(valve, operation.Normal))
		}
		r.next.Store(true)
		w.submit(ops...)
		after(time.Second)
		w.wants(completed, ops...)
		if len(r.parts) < 2 || r.parts[0] < 2 || r.parts[0] != r.parts[1] {
			w.t.Errorf("commits of %v partitions, want that of several that was refused, and the same again", r.parts)
		}
	})
}
