package resolver

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// chain returns n staged operations, each the child of the next.
func chain(n int) []*operation.Operation {
	var out []*operation.Operation
	for i := range n {
		parent := fmt.Sprint(i + 1)
		if i == n-1 {
			parent = ""
		}
		out = append(out, op(fmt.Sprint(i), operation.Low, parent))
	}
	return out
}

func refused(t *testing.T, err error, reason operation.Reason) {
	t.Helper()
	f, ok := errors.AsType[*operation.Failure](err)
	if !ok || f.Reason != reason || !f.Permanent {
		t.Errorf("error is %v, want a permanent failure for %s", err, reason)
	}
}

func TestR1_ChainOfPendingParentsHasALimit(t *testing.T) {
	longest := chain(operation.MaxParentDepth)
	if got := inherit(t, longest[0], family(longest...)); got.Depth != operation.MaxParentDepth {
		t.Errorf("depth is %d", got.Depth)
	}
	longer := chain(operation.MaxParentDepth + 1)
	_, err := Inherit(longer[0], family(longer...))
	refused(t, err, operation.ParentTooDeep)
	inherit(t, longer[1], family(longer...))
}

func TestR1_ChainOfFixedParentsHasALimit(t *testing.T) {
	for depth, ok := range map[int]bool{1: true, 63: true, 64: false, math.MaxInt: false} {
		_, err := Inherit(op("a", operation.Low, "b"), func(operation.Ref) (Parent, bool, error) {
			return Parent{Priority: operation.Low, Effective: operation.High, Depth: depth, Live: true}, true, nil
		})
		if ok && err != nil {
			t.Errorf("below a parent with a chain of %d: %v", depth, err)
		}
		if !ok {
			refused(t, err, operation.ParentTooDeep)
		}
	}
}

func TestR1_ParentWithoutARecordedDepthCountsAsOne(t *testing.T) {
	in := inherit(t, op("a", operation.Low, "b"), func(operation.Ref) (Parent, bool, error) {
		return Parent{Priority: operation.Low, Effective: operation.Low, Live: true}, true, nil
	})
	if in.Depth != 2 {
		t.Errorf("depth is %d", in.Depth)
	}
}

func TestR1_CycleOfAnyLengthIsRefused(t *testing.T) {
	for n := 1; n < operation.MaxParentDepth; n++ {
		ops := chain(n)
		ops[n-1].ParentID = ops[0].ID
		for _, o := range ops {
			_, err := Inherit(o, family(ops...))
			refused(t, err, operation.ParentCycle)
		}
		_, err := Inherit(op("tail", operation.Critical, "0"), family(ops...))
		refused(t, err, operation.ParentCycle)
	}
}

func TestR1_CycleLongerThanTheLimitEnds(t *testing.T) {
	ops := chain(1000)
	ops[999].ParentID = ops[0].ID
	_, err := Inherit(ops[0], family(ops...))
	refused(t, err, operation.ParentTooDeep)
}

func TestR1_ParentMayTargetAnotherEntity(t *testing.T) {
	parent := &operation.Operation{ID: id("p"), Target: id("other"), Priority: operation.High}
	child := op("c", operation.Low, "p")
	_, err := Inherit(child, family(parent))
	refused(t, err, operation.ParentNotLive)
	child.ParentTarget = parent.Target
	if in := inherit(t, child, family(parent)); in.From != parent.ID {
		t.Errorf("inherits %+v", in)
	}
}

func TestR1_LookupErrorIsReturnedUnchanged(t *testing.T) {
	unsure := errors.New("cannot tell yet")
	ops := chain(3)
	for _, o := range ops[1:] {
		known := family(ops...)
		_, err := Inherit(ops[0], func(ref operation.Ref) (Parent, bool, error) {
			if ref == o.Ref() {
				return Parent{}, true, unsure
			}
			return known(ref)
		})
		if err != unsure { //nolint:errorlint // the very same error is promised
			t.Errorf("not knowing %s gives %v", name(o.ID), err)
		}
	}
}

// Whether an ancestor was resolved before or is followed now, the outcome is the same.
func TestR1_FixedAndPendingAncestorsLendTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := chain(rapid.IntRange(1, 12).Draw(t, "length"))
		for _, o := range ops {
			o.Priority = rapid.SampledFrom(operation.Priorities()).Draw(t, "priority")
		}
		pending := family(ops...)
		fixed := rapid.SliceOfN(rapid.Bool(), len(ops), len(ops)).Draw(t, "fixed")
		var lookup func(operation.Ref) (Parent, bool, error)
		lookup = func(ref operation.Ref) (Parent, bool, error) {
			p, ok, err := pending(ref)
			for i, o := range ops {
				if o.Ref() != ref || !fixed[i] {
					continue
				}
				in, err := Inherit(o, lookup)
				return Parent{Priority: p.Priority, Effective: in.Effective, InheritedFrom: in.From, Depth: in.Depth, Live: true}, true, err
			}
			return p, ok, err
		}
		got, err := Inherit(ops[0], lookup)
		if err != nil {
			t.Fatal(err)
		}
		if want := chainInheritance(ops); got != want {
			t.Fatalf("inherits %+v, want %+v", got, want)
		}
	})
}

// chainInheritance says what the first of a chain inherits, by looking at all of it.
func chainInheritance(ops []*operation.Operation) Inheritance {
	highest, from := operation.Priority(0), uuid.Nil
	for _, o := range ops {
		if o.Priority > highest {
			highest, from = o.Priority, o.ID
		}
	}
	if from == ops[0].ID {
		from = uuid.Nil
	}
	return Inheritance{Effective: highest, From: from, Depth: len(ops)}
}
