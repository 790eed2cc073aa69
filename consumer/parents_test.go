package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// The scenarios of rules R1 and R10 need entities of one partition and of several.
func TestR1_TheEntitiesOfTheScenariosLieWhereTheyShould(t *testing.T) {
	for partition, names := range map[int][]string{
		0: {"valve-1", "valve-2", "tank-1"}, 1: {"valve-4"}, 3: {"pump-1", "pump-2"},
	} {
		for _, name := range names {
			if got := subjects.Partition(operation.EntityID(name), 4); got != partition {
				t.Errorf("%s lies in partition %d, want %d", name, got, partition)
			}
		}
	}
}

// chain returns one operation more than a chain of parents may have, each the parent
// of the next, on entities in all partitions. The first is critical.
func (w *world) chain() (ops []operation.Operation) {
	var names []string
	for i := range operation.MaxParentDepth + 1 {
		names = append(names, fmt.Sprintf("link-%d", i))
	}
	for i, entity := range w.made(names...) {
		if i == 0 {
			ops = append(ops, modify(entity, operation.Critical, "1"))
			continue
		}
		ops = append(ops, under(ops[i-1], modify(entity, operation.Low, "1")))
	}
	return ops
}

// wantChain checks that all but the last of a chain inherit.
func (w *world) wantChain(ops []operation.Operation) {
	w.t.Helper()
	last := len(ops) - 1
	w.wants(completed, ops[:last]...)
	w.wants(string(operation.ParentTooDeep), ops[last])
	got := w.outcomes()
	for _, o := range ops[:last] {
		if p := got[o.ID].detail.EffectivePriority; p != operation.Critical {
			w.t.Errorf("%s has effective priority %s, want critical", w.name(o.ID), p)
		}
	}
}

func TestR1_AChainOf64ThatWaitsInTheStream(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		ops := w.chain()
		c.stop()
		w.submit(ops...)
		w.ready()
		after(time.Second)
		w.wantChain(ops)
	})
}

func TestR1_AChainOf64BackwardsInTheStream(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		ops := w.chain()
		c.stop()
		for i := range ops {
			w.submit(ops[len(ops)-1-i])
		}
		w.ready()
		after(time.Second)
		w.wantChain(ops)
	})
}

func TestR1_AChainOf64OneAfterTheOther(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		ops := w.chain()
		for _, o := range ops {
			w.submit(o)
			after(20 * time.Millisecond)
		}
		w.wantChain(ops)
	})
}

func TestR1_AChainOf64AcrossTwoWorkers(t *testing.T) {
	bubble(t, func(w *world) {
		a, b := w.start(), w.start()
		w.settled(a, b)
		after(10 * time.Second) // partitions move
		if len(a.Stats().Partitions) == 0 || len(b.Stats().Partitions) == 0 {
			t.Fatal("one worker has nothing to do")
		}
		ops := w.chain()
		for _, o := range ops {
			w.submit(o)
			after(20 * time.Millisecond)
		}
		w.wantChain(ops)
	})
}

func TestR1_ACircleOf64(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		var names []string
		for i := 0; len(names) < operation.MaxParentDepth; i++ {
			if name := fmt.Sprintf("link-%d", i); subjects.Partition(operation.EntityID(name), 4) == 0 {
				names = append(names, name)
			}
		}
		var ops, rivals []operation.Operation
		for i, entity := range w.made(names...) {
			ops = append(ops, modify(entity, operation.Critical, "1"))
			rivals = append(rivals, modify(entity, operation.Low, "2"))
			if i > 0 {
				ops[i] = under(ops[i-1], ops[i])
			}
		}
		ops[0] = under(ops[len(ops)-1], ops[0])
		c.stop()
		w.submit(ops...)
		w.submit(rivals...)
		w.ready()
		after(time.Second)
		w.wants(string(operation.ParentCycle), ops...)
		w.wants(completed, rivals...)
	})
}

// The same operation again waits in the stream long after the first of it has ended: a
// child that looks for it must hear of the first (rules R9 and R10).
func TestR10_ADeadParentThatIsSubmittedAgain(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		entities := w.made("valve-1", "pump-1")
		parent := modify(entities[0], operation.Low, "1")
		w.submit(parent, modify(entities[0], operation.High, "2"))
		after(time.Second)
		w.wants(string(operation.LostConflict), parent)
		c.stop()
		child := under(parent, modify(entities[1], operation.Normal, "1"))
		w.submit(parent, child)
		w.ready()
		after(time.Second)
		w.wants(string(operation.ParentNotLive), child)
	})
}

// The parent waits for the same entity and has expired by the time its child comes: it
// goes first, and takes the child along (rules R10 and R15).
func TestR10_AParentThatHasExpiredInTheLane(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		holder := slow(valve, operation.Normal, script{Take: "2s", Set: []byte("1")})
		w.submit(holder)
		after(50 * time.Millisecond)
		parent := expiring(500*time.Millisecond, modify(valve, operation.Normal, "2"))
		w.submit(parent)
		after(time.Second)
		child := under(parent, modify(valve, operation.High, "3"))
		w.submit(child)
		after(3 * time.Second)
		w.wants(completed, holder)
		w.wants(string(operation.Expired), parent)
		w.wants(string(operation.ParentNotLive), child)
	})
}
