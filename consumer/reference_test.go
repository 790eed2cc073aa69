package consumer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

func TestB1_CriticalWinsOfFour(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		var ops []operation.Operation
		for _, p := range operation.Priorities() {
			ops = append(ops, modify(valve, p, "7"))
		}
		w.submit(ops...)
		after(time.Second)
		w.wants(completed, ops[3])
		w.wants("lost_conflict", ops[:3]...)
		got := w.outcomes()
		for _, o := range ops[:3] {
			if winner := got[o.ID].detail.Winner; winner != ops[3].ID {
				t.Errorf("%s lost to %s", w.name(o.ID), w.name(winner))
			}
		}
	})
}

func TestB6_ChildInheritsFromItsCriticalParent(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		ids := w.made("valve-1", "tank-1")
		parent := modify(ids[1], operation.Critical, "1")
		child := under(parent, modify(ids[0], operation.Low, "2"))
		rival := modify(ids[0], operation.High, "3")
		w.submit(parent)
		after(time.Second)
		w.submit(rival, child)
		after(time.Second)
		w.wants(completed, parent, child)
		w.wants("lost_conflict", rival)
		if got := w.of(operation.CompletedEvent, child)[0].detail.EffectivePriority; got != operation.Critical {
			t.Errorf("effective priority %s, want critical", got)
		}
	})
}

func TestB7_ChainOfThree(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		ids := w.made("valve-1", "valve-2", "valve-3")
		first := modify(ids[0], operation.High, "1")
		second := under(first, modify(ids[1], operation.Normal, "2"))
		third := under(second, modify(ids[2], operation.Normal, "3"))
		w.submit(first, second, third)
		after(time.Second)
		w.wants(completed, first, second, third)
		for i, o := range []operation.Operation{first, second, third} {
			if got := w.of(operation.CompletedEvent, o)[0].detail.EffectivePriority; got != operation.High {
				t.Errorf("%s: effective priority %s, want high", w.name(o.ID), got)
			}
			history := w.head(o.Target).History
			if last := history[len(history)-1]; last.OpID != o.ID || last.Depth != i+1 {
				t.Errorf("%s is the last in a chain of %d, by %s, want one of %d", w.name(o.ID), last.Depth, w.name(last.OpID), i+1)
			}
		}
	})
}

func TestE4_TheEarlierOfTwoEqualsWins(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		now := time.Now().UTC()
		later, earlier := modify(valve, operation.Normal, "1"), modify(valve, operation.Normal, "2")
		later.CreatedAt, earlier.CreatedAt = now, now.Add(-time.Microsecond)
		w.submit(later, earlier)
		after(time.Second)
		w.wants(completed, earlier)
		w.wants("lost_conflict", later)
	})
}

func TestE7_GrandparentLendsItsPriority(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		ids := w.made("valve-1", "valve-2", "valve-3")
		grandparent := modify(ids[0], operation.High, "1")
		parent := under(grandparent, modify(ids[1], operation.Low, "2"))
		self := under(parent, modify(ids[2], operation.Low, "3"))
		w.submit(grandparent)
		after(time.Second)
		w.submit(parent)
		after(time.Second)
		w.submit(self)
		after(time.Second)
		w.wants(completed, self)
		if got := w.of(operation.CompletedEvent, self)[0].detail.EffectivePriority; got != operation.High {
			t.Errorf("effective priority %s, want high", got)
		}
	})
}

// batches submits n batches of three to eight operations on one entity, priorities
// cycling, each in a window of its own, and returns them.
func batches(w *world, target uuid.UUID, n int) [][]operation.Operation {
	var out [][]operation.Operation
	for i := range n {
		var batch []operation.Operation
		for j := range 3 + i%6 {
			batch = append(batch, count(target, operation.Priorities()[j%4]))
		}
		w.submit(batch...)
		after(100 * time.Millisecond)
		out = append(out, batch)
	}
	return out
}

// TestD1_OneWinnerPerBatch wants of each batch one conflict and the outcome of the one that
// came out of it first, which is how a conflict is resolved; the others lost it.
func TestD1_OneWinnerPerBatch(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve := w.made("valve-1")[0]
		all := batches(w, valve, 24)
		got := w.outcomes()
		for i, batch := range all {
			won, lost := 0, 0
			for _, o := range batch {
				switch got[o.ID].ended() {
				case completed:
					won++
				case string(operation.LostConflict):
					lost++
				}
			}
			if won != 1 || lost != len(batch)-1 {
				t.Errorf("batch %d of %d: %d won and %d lost the conflict", i, len(batch), won, lost)
			}
		}
		detected, resolved := 0, 0
		for _, e := range w.events() {
			if e.kind != operation.ConflictEvent {
				continue
			}
			detected++
			if got[e.detail.Winner].ended() == completed {
				resolved++
			}
		}
		if n := c.Stats().Conflicts; detected != len(all) || resolved != len(all) || n != len(all) {
			t.Errorf("%d conflicts detected, %d resolved, %d by the worker's count in %d batches", detected, resolved, n, len(all))
		}
	})
}

func TestD3_TheHighestOfTheBatchWins(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		for _, batch := range batches(w, valve, 12) {
			best := min(len(batch), 4) - 1 // high of three, critical of more
			w.wants(completed, batch[best])
		}
	})
}

func TestD5_VersionsAddUp(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		ids := w.made("valve-1", "valve-2", "valve-3")
		want := len(ids)
		var ops []operation.Operation
		for i := range 30 {
			target, p := ids[i%3], operation.Normal
			for _, o := range []operation.Operation{
				op(operation.VersionEntity, target, p, `{}`), count(target, p), modify(target, p, fmt.Sprint(i)),
				borrow(target, ids[(i+1)%3], p), op(operation.PromoteToRoot, target, p, `{}`), op(operation.DetachEntity, target, p, `{}`),
			} {
				w.submit(o)
				after(50 * time.Millisecond)
				ops = append(ops, o)
			}
			want += 2
		}
		w.wants(completed, ops...)
		if got := len(w.stored(w.space.AllVersions())); got != want {
			t.Errorf("%d versions, want %d", got, want)
		}
	})
}

func TestD6_AddsAddUp(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		ids := w.made("valve-1", "valve-2")
		for _, o := range []operation.Operation{
			count(ids[0], operation.Normal), count(ids[0], operation.Normal),
			borrow(ids[0], ids[1], operation.Normal), modify(ids[1], operation.Normal, "7"),
			op(operation.ModifyField, ids[0], operation.Normal, `{"field":"position.x","value":2}`),
		} {
			w.submit(o)
			after(50 * time.Millisecond)
			w.wants(completed, o)
		}
		if got := w.field(ids[0], "counter"); got != "2" {
			t.Errorf("counter is %s, want 2", got)
		}
		for i, want := range []int{3, 1} { // that of the entity itself, and those of the updates
			if got := w.head(ids[i]).VersionCount; got != uint64(want) {
				t.Errorf("%s counts %d versions, want %d", w.name(ids[i]), got, want)
			}
			if got := len(w.stored(w.space.Versions(ids[i]))); got != want {
				t.Errorf("%s has %d versions, want %d", w.name(ids[i]), got, want)
			}
		}
	})
}

func TestX1_ManyOperationsOnThreeTargets(t *testing.T) {
	outside(t, 4, func(w *world) {
		c := w.ready()
		ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		for _, id := range ids {
			w.send(create(id))
		}
		natstest.Await(t, "the targets", func(context.Context) bool { return c.Stats().Succeeded == len(ids) })
		const n = 30_000
		var ops []operation.Operation
		for i := range n {
			ops = append(ops, count(ids[i/100%3], operation.Priorities()[i%4]))
		}
		w.pour(ops)
		ended := func() int { st := c.Stats(); return st.Succeeded + st.Rejected[operation.LostConflict] }
		for most := len(ids); most <= n+len(ids); most += 1000 { // a busy machine takes its time
			natstest.Await(t, "the end", func(context.Context) bool { return ended() >= most })
		}
		st := c.Stats()
		if ended() != n+len(ids) || st.Failed != 0 {
			t.Errorf("%d ended and %d failed of %d", ended(), st.Failed, n+len(ids))
		}
	})
}
