package consumer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// gated holds a worker's commit up, once, until the test lets it go on.
type gated struct {
	streams
	*gate
}

type gate struct {
	about   uuid.UUID // the commit that writes or reads this entity
	once    sync.Once
	arrived chan struct{}
	open    chan struct{}
}

func (g gated) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	if touches(b, g.about) {
		g.once.Do(func() {
			close(g.arrived)
			<-g.open
		})
	}
	return g.streams.Commit(ctx, b)
}

func touches(b *ecsstore.Batch, id uuid.UUID) bool {
	for _, w := range b.Writes {
		if w.Entity.ID == id {
			return true
		}
	}
	for _, r := range b.Reads {
		if r.ID == id {
			return true
		}
	}
	return false
}

// between has o, on near, executed by one worker, and meddle on far by another after
// the first has planned its commit and before it is stored.
func between(t *testing.T, act func(near, far uuid.UUID) (o, meddle operation.Operation), check func(w *world, near, far uuid.UUID)) {
	t.Helper()
	bubble(t, func(w *world) {
		g := &gate{arrived: make(chan struct{}), open: make(chan struct{})}
		free, held := w.start(), w.startOn(w.s.Connect(w.t), func(s streams) streams { return gated{s, g} })
		after(10 * time.Second) // partitions have moved by then
		near, far := w.owned(held), w.owned(free)
		g.about = far
		before := held.Stats()
		o, meddle := act(near, far)
		w.submit(o)
		after(50 * time.Millisecond)
		<-g.arrived
		w.submit(meddle)
		after(50 * time.Millisecond)
		w.wants(completed, meddle)
		w.wants("", o)
		close(g.open)
		after(time.Second)
		w.wants(completed, o)
		st := held.Stats()
		refused, fenced := st.Refusals["refused"]-before.Refusals["refused"], st.Fenced-before.Fenced
		if refused != 1 || st.Failed != 0 || st.Retried != 0 || fenced != 0 {
			t.Errorf("%d commits refused, %d attempts failed, %d retried, %d fenced; want 1, 0, 0, 0",
				refused, st.Failed, st.Retried, fenced)
		}
		if e := w.of(operation.CompletedEvent, o)[0]; e.detail.Attempt != 1 {
			t.Errorf("it completed with attempt %d, want 1", e.detail.Attempt)
		}
		check(w, near, far)
	})
}

// owned makes an entity in one of the partitions of a worker.
func (w *world) owned(c *crew) uuid.UUID {
	w.t.Helper()
	for _, name := range []string{"valve-1", "valve-4", "valve-3", "pump-1"} { // one in each
		if _, ok := c.Stats().Partitions[subjects.Partition(operation.EntityID(name), w.partitions())]; ok {
			return w.made(name)[0]
		}
	}
	w.t.Fatal("a worker owns no partition")
	return uuid.Nil
}

func TestR18_AHeadThatChangedIsWrittenAgain(t *testing.T) {
	between(t, func(near, far uuid.UUID) (o, meddle operation.Operation) {
		return attach(near, far, operation.Normal), modify(far, operation.Low, "7")
	}, func(w *world, near, far uuid.UUID) {
		if got := w.field(far, "counter"); got != "7" {
			t.Errorf("counter is %s, want 7", got)
		}
		if children := w.head(far).Children; len(children) != 1 || children[0] != near {
			t.Errorf("children %v, want %s", children, near)
		}
		if got := w.head(far).Revision; got != 3 {
			t.Errorf("revision %d, want 3: made, modified, given a child", got)
		}
	})
}

func TestR18_AHeadThatWasOnlyReadIsReadAgain(t *testing.T) {
	between(t, func(near, far uuid.UUID) (o, meddle operation.Operation) {
		meddle = op(operation.ModifyField, far, operation.Low, `{"field":"position.x","value":9}`)
		return borrow(near, far, operation.Normal), meddle
	}, func(w *world, near, _ uuid.UUID) {
		if got := w.field(near, "borrowed"); got != `{"x":9}` {
			t.Errorf("borrowed %s, want what the source had when it was stored", got)
		}
	})
}
