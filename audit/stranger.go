package audit

import "github.com/hierarchy-events/hierarchy/operation"

// introduce makes of an operation that was taken before what could be read what the
// first event about it says that it was.
func (k *walk) introduce(s *stored, f *life) {
	e := s.event
	f.vague = false
	f.entity, f.target, f.sequence, f.own, f.effective, f.window = e.entity, e.target, e.sequence, e.own, e.effective, e.window
	f.attempt, f.due = e.serial, e.due
	f.status = before(e)
	switch l := k.p.lane(f.entity); e.kind { //nolint:exhaustive // the others are not of a holder
	case operation.StartedEvent:
		f.attempt--
	case operation.RetryEvent:
		f.retries = e.retries
		if e.reason != operation.Recovered {
			f.retries--
		}
		l.hold(f)
	case operation.CompletedEvent, operation.FailedEvent:
		l.hold(f)
	}
}

// hold makes an operation the holder of a lane of which nobody has told who that is.
func (l *lane) hold(f *life) {
	if l.holder == nil && l.unsure {
		l.leave(f)
		l.holder, f.role = f, operation.HolderRole
	}
}

// before returns how an operation must have stood for an event to be right.
func before(e *event) operation.Status {
	switch e.kind { //nolint:exhaustive // in all other cases it was pending
	case operation.CompletedEvent, operation.FailedEvent:
		return operation.Executing
	case operation.RetryEvent:
		if e.reason == operation.Recovered {
			return operation.Executing
		}
		return operation.Failed
	case operation.RejectedEvent:
		return beforeRejection(e.reason)
	}
	return operation.Pending
}

func beforeRejection(r operation.Reason) operation.Status {
	switch r { //nolint:exhaustive // the others are the failures of attempts
	case operation.LostConflict, operation.Preempted, operation.MaxCarriesExceeded, operation.CarriedOverflow, operation.Expired,
		operation.ParentNotLive, operation.ParentCycle, operation.ParentTooDeep, operation.Invalid:
		return operation.Pending
	case operation.MaxRetriesExceeded:
		return operation.Failed
	}
	return operation.Executing
}
