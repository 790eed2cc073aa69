package resolver

import (
	"github.com/hierarchy-events/hierarchy/operation"
)

// Recorded returns the contest that a decision was made in, so that it can be decided
// again (rule R11): by this build, or after something in it was changed. It shares
// nothing with the decision. Which contenders were new is not recorded, and matters to
// [Held] only.
func Recorded(d operation.Decision) Contest {
	c := Contest{Entity: d.Entity, Contenders: make([]Contender, len(d.Contenders))}
	if d.Holder != nil {
		holder := *d.Holder
		c.Holder = &holder
	}
	for i := range d.Contenders {
		r := &d.Contenders[i]
		c.Contenders[i] = Contender{
			OpID: r.OpID, ParentID: r.ParentID, InheritedFrom: r.InheritedFrom, Priority: r.Priority,
			Effective: r.EffectivePriority, CreatedAt: r.CreatedAt, Sequence: r.Sequence, Losses: r.Losses, OnLoss: r.OnLoss, Creates: r.Creates,
		}
	}
	return c
}

// Same reports whether two decisions about one entity come to the same: the same
// contenders in the same order, with the same verdicts for the same reasons.
func Same(a, b operation.Decision) bool {
	if a.Entity != b.Entity || a.Preempts != b.Preempts || len(a.Contenders) != len(b.Contenders) {
		return false
	}
	for i := range a.Contenders {
		x, y := &a.Contenders[i], &b.Contenders[i]
		if x.OpID != y.OpID || x.Verdict != y.Verdict || x.Reason != y.Reason || x.Separator != y.Separator {
			return false
		}
	}
	return true
}
