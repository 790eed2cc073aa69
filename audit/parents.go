package audit

import (
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// kin is what the audit knows of an operation that another names as its parent.
type kin struct {
	own, effective operation.Priority // effective is 0 until a window has fixed it
	parent         operation.Ref      // as long as none has
	depth          int                // at least so many in its chain, itself included
	status         operation.Status
	born, ended    uint64 // first sequences of the commits that took and ended it; 0: unknown, not yet
	partition      int
}

// kin returns what is known of an operation, staged by the window at hand or not.
func (k *walk) kin(index int, ref operation.Ref) (kin, bool) {
	if n := k.fresh[ref.ID]; n != nil && n.window == index && n.taken.fate == operation.Contended && k.p.lives[ref.ID] == n.life && n.life.entity == ref.Target {
		f := n.life
		return kin{own: f.own, parent: f.parent, depth: 1, status: operation.Pending, born: k.c.first, partition: k.p.id}, f.own != 0
	}
	for _, p := range k.a.parts {
		if f := p.lives[ref.ID]; f != nil && f.entity == ref.Target && f.effective != 0 {
			return kin{own: f.own, effective: f.effective, depth: max(f.depth, 1), status: f.status, born: f.born, partition: p.id}, true
		}
	}
	target := hashOf(ref.Target.String())
	for _, p := range k.a.parts {
		if old, ok := p.ledger.find(ref.ID); ok && old.terminal() && old.target == target && (old.effective != 0 || lifeless(old.state())) {
			return kin{
				own: operation.Priority(old.own), effective: operation.Priority(old.effective), depth: 1,
				status: old.state(), born: old.ended, ended: old.ended, partition: p.id,
			}, true
		}
	}
	if sub := k.a.input.find(ref); sub != nil {
		return kin{own: sub.own, parent: sub.parent, depth: 1, status: operation.Pending, partition: sub.partition}, true
	}
	return kin{}, false
}

// inherits holds the effective priority of an operation that enters its window to
// its chain of parents (rules R1 and R10).
func (r *resolution) inherits(c *contender, f *life) {
	f.depth = 1
	if !f.submitted {
		f.parent = operation.Ref{Target: uuid.Nil, ID: c.parent} // of an unknown target
	} else if f.parent.ID != c.parent {
		r.complain(Inheritance, c.op, "it contends as a child of %s, and was submitted as one of %s (R1)", c.parent, f.parent.ID)
	}
	if f.parent.ID == uuid.Nil || !f.submitted {
		return
	}
	parent, known := r.kin(r.index, f.parent)
	if !known {
		return // it may not have been read yet
	}
	if lifeless(parent.status) && (r.before(parent.ended, parent.partition) || parent.ended == r.c.first && r.told) {
		if !r.a.rules.IndependentChildren {
			r.complain(Inheritance, c.op, "it contends, and its parent %s had ended as %s (R10)", f.parent.ID, parent.status)
		}
		return
	}
	if lifeless(parent.status) {
		return // it may have lived when the worker looked
	}
	r.lineage(c, f)
}

func lifeless(s operation.Status) bool { return s == operation.Rejected || s == operation.Cancelled }

// before reports whether the worker that has made the commit must have known, when it
// looked up parents, what was committed at a sequence: it looks after its commit
// before.
func (k *walk) before(sequence uint64, partition int) bool {
	if sequence == 0 || sequence >= k.c.first {
		return false
	}
	return partition == k.p.id || sequence < k.a.writers[k.part.last().owner]
}

// lineage walks the chain of parents of a contender.
func (r *resolution) lineage(c *contender, f *life) {
	want, seen := f.own, []uuid.UUID{f.id}
	exact := true
	for ref := f.parent; ref.ID != uuid.Nil; {
		if slices.Contains(seen, ref.ID) {
			r.complain(Inheritance, c.op, "it contends, and is its own ancestor by way of %s (R1)", ref.ID)
			return
		}
		seen = append(seen, ref.ID)
		parent, known := r.kin(r.index, ref)
		if !known || lifeless(parent.status) {
			exact = known && r.before(parent.ended, parent.partition) // else it may have lived when the worker looked
			break
		}
		f.depth += parent.depth
		want = max(want, parent.own)
		if parent.effective == 0 || r.before(parent.born, parent.partition) {
			want = max(want, parent.effective)
		} else {
			exact = false // the worker may have seen it in the stream, and its own parent ended
		}
		ref = parent.parent
	}
	if f.depth > operation.MaxParentDepth {
		r.complain(Inheritance, c.op, "it contends with a chain of %d parents, %d at most are allowed (R1)", f.depth, operation.MaxParentDepth)
	}
	if c.effective < want || exact && c.effective != want {
		r.complain(Inheritance, c.op, "its effective priority is %s, and by its chain of parents it is %s (R1)", c.effective, want)
	}
}

// bereft reports whether a worker must have known that an operation's parent had ended without
// success, and as what.
func (k *walk) bereft(index int, f *life) (operation.Status, bool) {
	if !f.submitted || f.parent.ID == uuid.Nil || k.a.rules.IndependentChildren {
		return "", false
	}
	parent, known := k.kin(index, f.parent)
	return parent.status, known && lifeless(parent.status) && k.before(parent.ended, parent.partition)
}

// orphaned wants an operation that was rejected because of its parent to have none
// that lives (rule R10).
func (k *walk) orphaned(s *stored, f *life) {
	if !f.submitted || f.parent.ID == uuid.Nil {
		if f.submitted {
			k.complain(Refusals, s, f.id, "rejected: %s, and it has no parent", s.event.reason)
		}
		return
	}
	index := k.index
	if n := k.fresh[f.id]; n != nil {
		index = n.window
	}
	parent, known := k.kin(index, f.parent)
	if !known || s.event.reason != operation.ParentNotLive || lifeless(parent.status) {
		return
	}
	if parent.born == k.c.first && parent.effective == 0 || k.before(parent.born, parent.partition) {
		k.complain(Refusals, s, f.id, "rejected: %s, and its parent %s is %s (R10)", s.event.reason, f.parent.ID, parent.status)
	}
}
