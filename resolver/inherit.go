package resolver

import (
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Parent is what is known of an operation that others name as their parent.
type Parent struct {
	Priority      operation.Priority // its own
	Effective     operation.Priority // 0 while it is pending and was in no window yet
	InheritedFrom uuid.UUID          // once Effective is fixed
	Depth         int                // once Effective is fixed
	Parent        operation.Ref      // while it is not, if HasParent
	HasParent     bool
	Live          bool // pending, executing, waiting or succeeded (rule R10)
}

// fixed reports whether the parent's own chain has been walked already.
func (p *Parent) fixed() bool { return p.Effective != 0 }

// Inheritance is what an operation has of its chain of parents.
type Inheritance struct {
	Effective operation.Priority // the highest priority of the chain
	From      uuid.UUID          // the ancestor that lends it, the nearest of several; Nil if it is the operation's own
	Depth     int                // operations in the chain, the operation itself included
}

// Inherit walks an operation's chain of parents (rule R1). An ancestor that has been
// in a window ends the walk: its inheritance is fixed. One that has not, since it is
// staged by the same window, is followed through its own parent, so that it does not
// matter which of the two is looked at first.
//
// Lookup returns false for an operation that nobody knows, and an error where it
// cannot tell yet; Inherit returns that error unchanged. An operation that may not
// contend gets a permanent [operation.Failure]: its parent is not live or unknown, its
// chain is a cycle, or longer than [operation.MaxParentDepth].
//
// Only the direct parent must be live. A further ancestor that is dead or unknown ends
// the walk and lends nothing. Its own child is rejected on its account when that is
// resolved; the operation itself waits for nobody, and finds its parent dead before
// its next attempt, if there is one. Where rule R10 is switched off, it is the caller
// who lets an operation without a live parent contend with its own priority.
func Inherit(op *operation.Operation, lookup func(operation.Ref) (Parent, bool, error)) (Inheritance, error) {
	in := Inheritance{Effective: op.Priority, Depth: 1}
	seen := []operation.Ref{op.Ref()}
	for ref, more := op.Parent(); more; {
		if slices.Contains(seen, ref) {
			return Inheritance{}, operation.Refuse(operation.ParentCycle, "the chain of parents of %s comes back to %s", op.ID, ref.ID)
		}
		seen = append(seen, ref)
		p, known, err := lookup(ref)
		if err != nil {
			return Inheritance{}, err
		}
		if !known || !p.Live {
			return in.end(op, ref, known)
		}
		if err := in.add(ref, &p); err != nil {
			return Inheritance{}, err
		}
		ref, more = p.Parent, p.HasParent && !p.fixed()
	}
	return in, nil
}

// end ends the walk at an ancestor that is not live. That is a failure if the
// ancestor is the parent.
func (in *Inheritance) end(op *operation.Operation, ref operation.Ref, known bool) (Inheritance, error) {
	if in.Depth > 1 {
		return *in, nil
	}
	what := "is not live"
	if !known {
		what = "is unknown"
	}
	return Inheritance{}, operation.Refuse(operation.ParentNotLive, "parent %s of %s %s", ref.ID, op.ID, what)
}

// add reckons with one more ancestor, and with those of its own if they are fixed.
func (in *Inheritance) add(ref operation.Ref, p *Parent) error {
	length, lends, from := 1, p.Priority, ref.ID
	if p.fixed() {
		length, lends = max(p.Depth, 1), p.Effective
		if p.InheritedFrom != uuid.Nil {
			from = p.InheritedFrom
		}
	}
	if length > operation.MaxParentDepth-in.Depth {
		return operation.Refuse(operation.ParentTooDeep, "the chain of parents is longer than %d operations", operation.MaxParentDepth)
	}
	in.Depth += length
	if lends > in.Effective {
		in.Effective, in.From = lends, from
	}
	return nil
}
