package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

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

// chain returns n operations of which each is the parent of the next, on entities in
// all partitions. The first is critical.
func (w *world) chain(n int) (ops []operation.Operation, entities []uuid.UUID) {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("link-%d", i))
	}
	entities = w.made(names...)
	ops = []operation.Operation{modify(entities[0], operation.Critical, "1")}
	for i := 1; i < n; i++ {
		ops = append(ops, under(ops[i-1], modify(entities[i], operation.Low, "1")))
	}
	return ops, entities
}

// wantChain checks a chain of one more than may be: all but the last inherit.
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

// tooLong is one operation more than a chain of parents may have.
const tooLong = operation.MaxParentDepth + 1

func TestR1_AChainOf64ThatWaitsInTheStream(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		ops, _ := w.chain(tooLong)
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
		ops, _ := w.chain(tooLong)
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
		ops, _ := w.chain(tooLong)
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
		ops, _ := w.chain(tooLong)
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
		ops, entities := w.chain(tooLong - 1)
		rival := modify(entities[5], operation.Low, "2")
		ops[0] = under(ops[len(ops)-1], ops[0])
		c.stop()
		w.submit(rival)
		w.submit(ops...)
		w.ready()
		after(time.Second)
		w.wants(completed, rival)
		cycles, got := 0, w.outcomes()
		for _, o := range ops {
			switch ended := got[o.ID].ended(); ended {
			case string(operation.ParentCycle):
				cycles++
			case string(operation.ParentNotLive): // its parent was found out first
			default:
				t.Errorf("%s of the circle ended as %q", w.name(o.ID), ended)
			}
		}
		if cycles == 0 {
			t.Error("nobody noticed the circle")
		}
	})
}
