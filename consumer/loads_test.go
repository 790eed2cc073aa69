package consumer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// loadTime is what a broker under load may take to answer.
const loadTime = 50 * time.Millisecond

// loading counts how often a worker reads heads.
type loading struct {
	streams
	loads *atomic.Int64
}

func (s loading) Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ecsstore.Head, error) {
	s.loads.Add(1)
	<-time.After(loadTime)
	return s.streams.Load(ctx, ids)
}

// TestR18_ABacklogIsLoadedForAtOnce has a worker find a backlog of many windows, each of
// which borrows from an entity of its own that another worker owns, while more are closed.
// One exchange with the broker loads them all: were it one for each window, it would never
// catch up.
func TestR18_ABacklogIsLoadedForAtOnce(t *testing.T) {
	bubble(t, func(w *world) {
		g := &gate{arrived: make(chan struct{}), open: make(chan struct{})}
		loads := new(atomic.Int64)
		free, held := w.start(), w.startOn(w.s.Connect(w.t), func(s streams) streams { return gated{loading{s, loads}, g} })
		after(10 * time.Second) // partitions have moved by then
		near := w.owned(held)
		var sources []string
		for i := 0; len(sources) < 20; i++ {
			name := fmt.Sprintf("tank-%d", i)
			if _, ok := free.Stats().Partitions[subjects.Partition(operation.EntityID(name), w.partitions())]; ok {
				sources = append(sources, name)
			}
		}
		far := w.made(sources...)
		g.about = near
		w.submit(count(near, operation.Normal))
		after(50 * time.Millisecond)
		<-g.arrived
		var borrows []operation.Operation
		for _, source := range far {
			borrows = append(borrows, borrow(near, source, operation.Normal))
			w.submit(borrows[len(borrows)-1])
			after(15 * time.Millisecond)
		}
		loads.Store(0)
		opened := time.Now()
		close(g.open)
		after(time.Second)
		w.wants(completed, borrows...)
		if n := loads.Load(); n > 2 {
			w.t.Errorf("heads were read %d times for a backlog of %d windows, want once or twice", n, len(far))
		}
		// The windows are those that had closed before; what became of them is told of now.
		if at := w.of(operation.CompletedEvent, borrows[0])[0].Time; at.Before(opened.Add(loadTime)) {
			w.t.Errorf("what was read at %s was done at %s", opened.Add(loadTime), at)
		}
	})
}

// finding counts how many parents a worker looks up at a time.
type finding struct {
	streams
	now, most *atomic.Int64
}

func (s finding) Find(ctx context.Context, ref operation.Ref, custom func(operation.Type) bool) (ecsstore.Found, error) {
	s.now.Add(1)
	return s.streams.Find(ctx, ref, custom)
}

// Load begins what is looked up for one round.
func (s finding) Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ecsstore.Head, error) {
	s.most.Store(max(s.most.Load(), s.now.Swap(0)))
	return s.streams.Load(ctx, ids)
}

// TestR24_ABacklogIsNotAllLoadedFor has a worker find a backlog of operations whose parents
// are nowhere to be found. It does not look all of them up at once.
func TestR24_ABacklogIsNotAllLoadedFor(t *testing.T) {
	bubble(t, func(w *world) {
		g := &gate{arrived: make(chan struct{}), open: make(chan struct{})}
		f := finding{now: new(atomic.Int64), most: new(atomic.Int64)}
		only := w.startOn(w.s.Connect(w.t), func(s streams) streams {
			f.streams = s
			return gated{f, g}
		})
		w.settled(only)
		valve := w.made("valve-1")[0]
		g.about = valve
		w.submit(count(valve, operation.Normal))
		after(50 * time.Millisecond)
		<-g.arrived
		var children []operation.Operation
		for range maxSupposed + 2*MaxWindow {
			children = append(children, under(count(valve, operation.Normal), count(valve, operation.Normal)))
		}
		w.submit(children...)
		after(time.Second)
		close(g.open)
		after(time.Minute)
		w.wants("parent_not_live", children...)
		if n := f.most.Load(); n < MaxWindow || n > maxSupposed+MaxWindow {
			w.t.Errorf("%d parents were looked up at once, want some %d of %d", n, maxSupposed, len(children))
		}
	})
}
