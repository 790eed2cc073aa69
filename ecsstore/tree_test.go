package ecsstore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func below(parent string) string {
	return `{"type":"x","components":{},"parent_id":"` + operation.EntityID(parent).String() + `"}`
}

func under(parent string) string {
	return `{"parent_id":"` + operation.EntityID(parent).String() + `"}`
}

// chain creates a tree without branches, from the root named prefix-1 down.
func chain(w *world, prefix string, length int) {
	w.tb.Helper()
	w.must(operation.CreateEntity, prefix+"-1", `{"type":"x","components":{}}`)
	for i := 2; i <= length; i++ {
		w.must(operation.CreateEntity, fmt.Sprint(prefix, "-", i), below(fmt.Sprint(prefix, "-", i-1)))
	}
}

func TestTreeIsOnlySoDeep(t *testing.T) {
	w := newWorld(t)
	chain(w, "a", MaxTreeDepth)
	lowest := fmt.Sprint("a-", MaxTreeDepth)
	w.must(operation.CreateEntity, "pump", `{"type":"x","components":{}}`)
	w.refused(operation.TooLarge, true, operation.CreateEntity, "new", below(lowest))
	w.refused(operation.TooLarge, true, operation.AttachEntity, "pump", under(lowest))
	w.refused(operation.TreeCycle, true, operation.AttachEntity, "a-1", under(lowest))
	w.must(operation.AttachEntity, "pump", under(fmt.Sprint("a-", MaxTreeDepth-1)))
	w.check()
}

// A tree that is attached may reach deeper than anything can be put by itself. The
// walk up from its lowest entities still ends.
func TestAttachedTreeMayReachDeeper(t *testing.T) {
	w := newWorld(t)
	chain(w, "a", 40)
	chain(w, "b", 40)
	w.must(operation.AttachEntity, "b-1", under("a-40"))
	w.refused(operation.TooLarge, true, operation.CreateEntity, "new", below("b-40"))
	w.refused(operation.TooLarge, true, operation.AttachEntity, "a-1", under("b-40"))
	w.must(operation.DetachEntity, "b-1", "")
	w.must(operation.CreateEntity, "new", below("b-40"))
	w.check()
}

func TestChildrenAreOnlySoMany(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "plant", `{"type":"x","components":{}}`)
	w.must(operation.CreateEntity, "pump", `{"type":"x","components":{}}`)
	id := operation.EntityID("plant")
	full := Touch(w.head("plant"), w.execution(w.operation("fill", "plant", "")))
	for i := range MaxChildren {
		full.Children = append(full.Children, uuid.NewSHA1(uuid.Nil, []byte{byte(i >> 8), byte(i)}))
	}
	w.heads[id] = Head{Entity: full, Sequence: 99}
	w.refused(operation.TooLarge, true, operation.CreateEntity, "new", below("plant"))
	w.refused(operation.TooLarge, true, operation.AttachEntity, "pump", under("plant"))
}

func TestChildrenStaySorted(t *testing.T) {
	w := newWorld(t)
	w.must(operation.CreateEntity, "plant", `{"type":"x","components":{}}`)
	for i := range 20 {
		w.must(operation.CreateEntity, fmt.Sprint(i), below("plant"))
	}
	for i := 0; i < 20; i += 3 {
		w.must(operation.DetachEntity, fmt.Sprint(i), "")
	}
	w.check()
	if got := len(w.head("plant").Children); got != 13 {
		t.Errorf("%d children, want 13", got)
	}
}

// A subtree goes with its top, untouched.
func TestSubtreeMovesWithItsTop(t *testing.T) {
	w := newWorld(t)
	chain(w, "a", 4)
	before := jsonText(t, w.head("a-3"))
	w.must(operation.PromoteToRoot, "a-2", "")
	w.must(operation.CreateEntity, "b", `{"type":"x","components":{}}`)
	w.must(operation.AttachEntity, "a-2", under("b"))
	if after := jsonText(t, w.head("a-3")); after != before {
		t.Errorf("the child was %s and is %s", before, after)
	}
	w.check()
}

// Two attachments that together are a cycle, each harmless by itself, are planned at
// the same time: the second finds a head changed that it relies on.
func TestCyclesCannotArisePlannedApart(t *testing.T) {
	for _, c := range []struct{ length int }{{1}, {2}, {5}} {
		w := newWorld(t)
		chain(w, "a", c.length)
		chain(w, "b", c.length)
		plan := func(top, bottom string) *Txn {
			o := w.operation(operation.AttachEntity, top, under(bottom))
			tx := NewTxn(w.load)
			if _, err := tx.Execute(Builtin()[o.Type], w.execution(o)); err != nil {
				t.Fatal(err)
			}
			return tx
		}
		first := plan("a-1", fmt.Sprint("b-", c.length))
		second := plan("b-1", fmt.Sprint("a-", c.length))
		w.commit(first)
		if !stale(w, second) {
			t.Errorf("chains of %d: the second attachment would go through", c.length)
		}
		w.check()
	}
}

// stale reports whether a commit of tx would be refused.
func stale(w *world, tx *Txn) bool {
	read := slices.ContainsFunc(tx.Reads(), func(r ReadCheck) bool { return w.heads[r.ID].Sequence != r.Sequence })
	written := slices.ContainsFunc(tx.Writes(), func(c Write) bool { return w.heads[c.Entity.ID].Sequence != c.Expect })
	return read || written
}

func TestChildOfNobodyIsABrokenStore(t *testing.T) {
	w := newWorld(t)
	chain(w, "a", 2)
	delete(w.heads, operation.EntityID("a-1"))
	for _, kind := range []operation.Type{operation.DetachEntity, operation.PromoteToRoot, operation.DeleteEntity} {
		w.refused(operation.SystemFailed, false, kind, "a-2", "")
	}
	w.refused(operation.SystemFailed, false, operation.CreateEntity, "new", below("a-2"))
}
