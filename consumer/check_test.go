package consumer

import (
	"github.com/hierarchy-events/hierarchy/operation"
)

// checkParent checks that an operation that starts has no parent that ended badly
// before, as far as its worker could know (rule R10): what another worker has ended, one
// that was stopped may have looked up before, and only the audit can tell. One that wins over its own
// parent goes ahead.
func (s *stock) checkParent(e told) {
	o := s.w.ops[e.detail.OpID]
	ref, has := o.Parent()
	if !has || s.w.cfg.IndependentChildren {
		return
	}
	parent := s.parent(ref)
	if parent == nil || parent.status != operation.Rejected && parent.status != operation.Cancelled {
		return
	}
	end := parent.ended
	if end.detail.Winner != o.ID && end.detail.Worker == e.detail.Worker {
		s.w.t.Errorf("%s starts at %v, though its parent %s was %s at %v",
			s.w.name(o.ID), e.Time.Sub(s.w.zero), s.w.name(ref.ID), parent.status, end.Time.Sub(s.w.zero))
	}
}

// parent returns the life of a parent. Its partition is that of its entity at the time.
func (s *stock) parent(ref operation.Ref) *life {
	for k, l := range s.lives {
		if o := s.w.ops[ref.ID]; k.op == ref.ID && o.Target == ref.Target {
			return l
		}
	}
	return nil
}

// checkLoser checks that a rejection names who was preferred (rule R5).
func (s *stock) checkLoser(e told) {
	d := &e.detail
	switch d.Reason { //nolint:exhaustive // the others are not about somebody else
	case operation.LostConflict, operation.Preempted, operation.MaxCarriesExceeded, operation.CarriedOverflow:
	default:
		return
	}
	if d.Outranked < d.EffectivePriority || d.Priority == 0 || d.Window == "" {
		s.w.t.Errorf("%s (%s, effective %s, window %q) gave way to one of %s",
			s.w.name(d.OpID), d.Priority, d.EffectivePriority, d.Window, d.Outranked)
	}
	if winner := s.w.ops[d.Winner]; winner.Target.String() != d.Target {
		s.w.t.Errorf("%s on %s gave way to %s on %s", s.w.name(d.OpID), d.Target, s.w.name(d.Winner), winner.Target)
	}
}
