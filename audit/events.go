package audit

import (
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// started begins an attempt: of the holder of the entity, or of what a decision of
// the commit makes the holder (rules R4, R7 and R12).
func (k *walk) started(s *stored, f *life) {
	e := s.event
	k.reveals(e.window)
	if l := k.p.lane(f.entity); l.holder != f && !f.ahead {
		won := k.until(f.entity, func(d *decision) bool {
			return d.first().op == f.id && d.first().verdict == operation.Wins
		})
		switch {
		case won:
		case l.unsure:
			l.holder, f.role = f, operation.HolderRole
		default:
			k.complain(OneWinner, s, f.id, "started: no decision lets it, and it is not the holder of its entity (R4, R7)")
		}
	}
	k.decided(s, f)
	if f.ahead && e.opType != operation.CreateEntity {
		k.complain(OneWinner, s, f.id, "started: it goes ahead of the holder as one that creates the entity, and is of type %s (R13)", e.opType)
	}
	switch {
	case f.status != operation.Pending:
		k.complain(Order, s, f.id, "started: it is %s, not pending", f.status)
	case e.attempt != f.attempt+1 || e.serial != e.attempt:
		k.complain(Order, s, f.id, "started: it is attempt %d, after attempt %d", e.attempt, f.attempt)
	case e.at.Before(f.due):
		k.complain(RetryLaw, s, f.id, "started: at %s, and its delay lasts until %s (R12)", clock(e.at), clock(f.due))
	}
	k.fit(s, f)
	k.a.report.Counts.Attempts++
	f.status, f.attempt, f.attemptAt, f.due = operation.Executing, e.attempt, e.at, time.Time{}
}

// fit wants an operation that is attempted not to have expired, and its parent to live
// (rules R10 and R15).
func (k *walk) fit(s *stored, f *life) {
	if e := s.event; f.submitted && k.a.rules.expired(f.created, f.expires, e.at) {
		k.complain(Refusals, s, f.id, "started: at %s; it was created at %s and expires at %s (R15)", clock(e.at), clock(f.created), clock(f.expires))
	}
	if status, gone := k.bereft(k.index, f); gone {
		k.complain(Inheritance, s, f.id, "started: attempt %d, and its parent %s had ended as %s (R10)", s.event.attempt, f.parent.ID, status)
	}
}

// completed ends a life in success, and changes entities.
func (k *walk) completed(s *stored, f *life) {
	k.decided(s, f)
	k.attempted(s, f)
	if f.sentence != nil {
		k.complain(RightWinner, s, f.id, "completed: it has lost in window %s (R5)", f.sentence.window)
	}
	k.effects(s)
	k.end(s, f, operation.Succeeded)
	k.a.report.Counts.Succeeded++
}

// attempted wants an attempt to be under way, the one that the event tells of.
func (k *walk) attempted(s *stored, f *life) {
	switch e := s.event; {
	case f.status != operation.Executing:
		k.complain(Order, s, f.id, "%s: it is %s, not executing", e.kind, f.status)
	case e.attempt != f.attempt:
		k.complain(Order, s, f.id, "%s: it tells of attempt %d, and attempt %d is under way", e.kind, e.attempt, f.attempt)
	}
}

func (k *walk) failed(s *stored, f *life) {
	e := s.event
	k.decided(s, f)
	k.attempted(s, f)
	if e.retries != f.retries && f.retries != unknown {
		k.complain(RetryLaw, s, f.id, "failed: after %d retries, and it was %d (R12)", e.retries, f.retries)
	}
	f.retries, f.status = e.retries, operation.Failed
}

// retry lets an operation wait for its next attempt (rules R12 and R16).
func (k *walk) retry(s *stored, f *life) {
	e := s.event
	k.decided(s, f)
	if f.maxRetries == unknown {
		f.maxRetries = e.maxRetries
	}
	if f.retries == unknown {
		f.retries = e.retries
	}
	if e.reason == operation.Recovered {
		k.recovered(s, f)
	} else {
		k.delayed(s, f)
	}
	if e.maxRetries != f.maxRetries || e.retries > e.maxRetries {
		k.complain(RetryLaw, s, f.id, "retry: it is number %d of %d, %d are allowed (R12)", e.retries, e.maxRetries, f.maxRetries)
	}
	f.status, f.retries, f.due, f.retryReason = operation.Pending, e.retries, e.due, e.reason
}

func (k *walk) recovered(s *stored, f *life) {
	k.a.report.Counts.Recovered++
	e := s.event
	switch {
	case f.status != operation.Executing:
		k.complain(Order, s, f.id, "retry: its worker went away, and it was %s, not executing (R16)", f.status)
	case e.retries != f.retries:
		k.complain(RetryLaw, s, f.id, "retry: its worker went away after %d retries, and it was %d (R16)", e.retries, f.retries)
	}
}

// delayed holds the delay of a retry to the rule, and to what the event says of it.
func (k *walk) delayed(s *stored, f *life) {
	k.a.report.Counts.Retries++
	e := s.event
	shortest, longest := k.a.rules.delay(e.retries)
	delay := e.due.Sub(e.at)
	told := time.Duration(e.backoff * float64(time.Millisecond))
	switch {
	case f.status != operation.Failed:
		k.complain(Order, s, f.id, "retry: it is %s, no attempt has failed", f.status)
	case e.retries != f.retries+1:
		k.complain(RetryLaw, s, f.id, "retry: it is number %d, after %d (R12)", e.retries, f.retries)
	case delay < shortest || delay > longest:
		k.complain(RetryLaw, s, f.id, "retry: number %d is due after %v, not after %v to %v (R12)", e.retries, delay, shortest, longest)
	case (delay - told).Abs() > 2*time.Microsecond:
		k.complain(RetryLaw, s, f.id, "retry: it is due after %v, and says %v (R12)", delay, told)
	}
}

// cancelled ends a life that a cancellation of the commit found pending (rule R17).
func (k *walk) cancelled(s *stored, f *life) {
	e := s.event
	c := k.canceller(f)
	switch {
	case c != nil:
		k.advance(c.window)
		k.answer(s, c)
	case !k.gone():
		k.complain(Cancelling, s, f.id, "cancelled: no window of the commit has taken a cancellation of it (R17)")
	default: // whatever the window was, it can have been in no decision after that
		for k.until(f.entity, func(d *decision) bool { return d.concerns(f.id) }) {
			continue
		}
	}
	if f.status != operation.Pending {
		k.complain(Cancelling, s, f.id, "cancelled: it was %s (R17)", f.status)
	}
	if e.window != f.window {
		k.complain(Agreement, s, f.id, "cancelled: it says that window %d decided, and it was %d", e.window, f.window)
	}
	k.end(s, f, operation.Cancelled)
	k.a.report.Counts.Cancelled++
}

// canceller returns a cancellation that asks for the end of an operation and was not
// answered yet, or nil.
func (k *walk) canceller(f *life) *cancelling {
	var found *cancelling
	for _, c := range k.cancels {
		if c.answered || c.sub == nil || c.sub.cancel != f.id || c.sub.entity != f.entity {
			continue
		}
		if found == nil || c.sub.sequence < found.sub.sequence {
			found = c
		}
	}
	return found
}

// gone reports whether a cancellation was taken that is not there to be read any more.
func (k *walk) gone() bool {
	for _, c := range k.cancels {
		if c.sub == nil {
			return true
		}
	}
	return false
}

// cancelRefused wants a refusal to answer a cancellation, and to tell how the
// operation stands (rule R17).
func (k *walk) cancelRefused(s *stored) {
	e := s.event
	k.reveals(e.window)
	c := k.cancels[e.sequence]
	if c == nil {
		k.complain(Cancelling, s, e.op, "cancel_refused: no window of the commit has taken the cancellation at %d (R17)", e.sequence)
		return
	}
	k.answer(s, c)
	if c.sub != nil && c.sub.cancel != e.op {
		k.complain(Cancelling, s, e.op, "cancel_refused: the cancellation at %d asks for the end of %s (R17)", e.sequence, c.sub.cancel)
	}
	status, known := k.status(e.op)
	f := k.p.lives[e.op]
	if n := k.fresh[e.op]; n != nil && n.taken.sequence > e.sequence {
		status, known, f = "", false, nil // it was cancelled before it was there
	}
	switch {
	case known && e.status != status || !known && k.p.whole && e.status != "":
		k.complain(Cancelling, s, e.op, "cancel_refused: by the event it is %s, and it is %s (R17)", orNothing(string(e.status)), orNothing(string(status)))
	case f != nil && f.status == operation.Pending && f.entity == e.entity && k.contended(f):
		k.complain(Cancelling, s, e.op, "cancel_refused: it is pending and could have been given up (R17)")
	}
}

// answer wants an event to be the one answer to a cancellation, and to bear its id: whoever
// waits for it knows it by that.
func (k *walk) answer(s *stored, c *cancelling) {
	e := s.event
	if c.answered {
		k.complain(Cancelling, s, e.op, "%s: the cancellation is answered twice (R17)", e.kind)
	}
	if c.sub != nil && c.sub.asks != e.cancel {
		k.complain(Cancelling, s, e.op, "%s: it answers cancellation %s, and the one at %d is %s (R17)", e.kind, e.cancel, c.sub.sequence, c.sub.asks)
	}
	c.answered = true
}

// contended reports whether an operation may be given up: it was taken by an earlier
// message than the cancellation and has not been refused.
func (k *walk) contended(f *life) bool {
	n := k.fresh[f.id]
	return n == nil || n.met
}

// status returns how an operation of the partition stands.
func (k *walk) status(id uuid.UUID) (operation.Status, bool) {
	if f := k.p.lives[id]; f != nil {
		return f.status, true
	}
	old, ok := k.p.ledger.find(id)
	return old.state(), ok
}

// rejected ends a life without success, for a reason that must be the right one.
func (k *walk) rejected(s *stored, f *life) {
	e := s.event
	k.reveals(e.window)
	if !k.until(f.entity, func(d *decision) bool { return d.condemns(f.id) }) {
		k.until(f.entity, func(d *decision) bool { return d.concerns(f.id) })
	}
	if n := k.fresh[f.id]; n != nil && !n.met {
		f.effective = e.effective // it entered no window
	}
	k.decided(s, f)
	k.reason(s, f)
	k.end(s, f, operation.Rejected)
	k.a.report.Counts.Rejected++
}

// reason wants the reason of a rejection to be one that the operation may end for as
// it stands.
func (k *walk) reason(s *stored, f *life) {
	e := s.event
	if x := f.sentence; x != nil {
		if e.reason != x.reason || e.winner != x.winner || e.winnerPriority != x.priority {
			k.complain(Agreement, s, f.id, "rejected: %s, preferred was %s with %s; by the decision of window %s it is %s, %s with %s (R5)",
				e.reason, e.winner, e.winnerPriority, x.window, x.reason, x.winner, x.priority)
		}
		return
	}
	if e.winner != uuid.Nil {
		k.complain(Agreement, s, f.id, "rejected: in favour of %s, and no decision of the commit says so (R5)", e.winner)
	}
	switch e.reason { //nolint:exhaustive // the others are the failures of attempts
	case operation.LostConflict, operation.Preempted, operation.MaxCarriesExceeded, operation.CarriedOverflow:
		k.complain(Agreement, s, f.id, "rejected: %s, and no decision of the commit says so (R5)", e.reason)
	case operation.MaxRetriesExceeded:
		if f.status != operation.Failed || f.maxRetries != unknown && f.retries < f.maxRetries {
			k.complain(RetryLaw, s, f.id, "rejected: it is %s after %d of %d retries, and may be tried again (R12)", f.status, f.retries, f.maxRetries)
		}
	case operation.Expired, operation.ParentNotLive, operation.ParentCycle, operation.ParentTooDeep, operation.Invalid:
		if f.status != operation.Pending {
			k.complain(Order, s, f.id, "rejected: %s, and it is %s", e.reason, f.status)
		}
		k.unfit(s, f)
	case operation.Poison:
		if f.status == operation.Failed {
			k.complain(Order, s, f.id, "rejected: %s, and its attempt has failed in good order (R16)", e.reason)
		}
	default:
		if f.status != operation.Failed && f.status != operation.Executing {
			k.complain(Order, s, f.id, "rejected: %s, and it is %s: no attempt has failed (R13)", e.reason, f.status)
		}
	}
}

// unfit looks closer at the reasons for which an operation may not contend.
func (k *walk) unfit(s *stored, f *life) {
	e := s.event
	switch e.reason { //nolint:exhaustive // of these five
	case operation.ParentNotLive, operation.ParentCycle, operation.ParentTooDeep:
		k.orphaned(s, f)
	case operation.Expired:
		if f.submitted && !k.a.rules.expired(f.created, f.expires, e.at) {
			k.complain(Refusals, s, f.id, "rejected: expired at %s; it was created at %s and expires at %s (R15)", clock(e.at), clock(f.created), clock(f.expires))
		}
	case operation.Invalid:
		if n := k.fresh[f.id]; n == nil || n.taken.reason != operation.Invalid {
			k.complain(Agreement, s, f.id, "rejected: invalid, and its window has not found it so (R14)")
		}
	}
}

// end ends a life with its terminal event.
func (k *walk) end(s *stored, f *life, status operation.Status) {
	k.ends[f.id] = s
	k.p.end(f, status, k.c.first)
}
