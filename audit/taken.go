package audit

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// take holds what a window took to what was submitted (invariants I3, I6, I16, I27 to
// I29), and lets what is new begin to live.
func (k *walk) take(index int, s *stored) {
	w := s.window
	subs := k.submissions(s)
	last := w.after
	for i := range w.taken {
		t := &w.taken[i]
		if t.sequence <= last || t.sequence > w.cursor {
			k.complain(Tiling, s, t.op, "window %s takes sequence %d out of turn: it takes those from %d to %d", w.id, t.sequence, last+1, w.cursor)
		}
		last = t.sequence
		sub := subs[t.sequence]
		k.matches(s, t, sub)
		if sub != nil {
			k.belongs(s, t.op, sub.target)
		} else {
			k.belongs(s, t.op, t.target)
		}
		k.enter(index, s, t, sub)
	}
	k.p.passed = max(k.p.passed, w.cursor)
}

// submissions returns what lies in the operations stream for a window, by sequence,
// and wants all of it to be taken.
func (k *walk) submissions(s *stored) map[uint64]*submission {
	w := s.window
	subs := make(map[uint64]*submission)
	for _, sub := range k.a.input.drop(k.p.id, w.cursor) {
		subs[sub.sequence] = sub
		if sub.sequence <= w.after {
			if w.number == k.p.begins {
				continue // by a window that is not there any more
			}
			k.a.complain(Tiling, spot{partition: k.p.id, sequences: []uint64{sub.sequence}, op: sub.id, input: true},
				"no window has taken it, and window %s begins after %d", w.id, w.after)
		} else if !slices.ContainsFunc(w.taken, func(t taken) bool { return t.sequence == sub.sequence }) {
			k.a.complain(Tiling, spot{partition: k.p.id, sequences: []uint64{sub.sequence}, op: sub.id, input: true},
				"window %s goes up to %d and has not taken it: it is lost (R21)", w.id, w.cursor)
		}
	}
	return subs
}

// matches holds one message that was taken to what was submitted, if that is still
// there.
func (k *walk) matches(s *stored, t *taken, sub *submission) {
	switch {
	case sub == nil:
		if in := &k.a.input; t.sequence > max(in.trimmed, k.p.passed) && t.sequence <= in.read {
			k.complain(NoGhost, s, t.op, "window %s has taken sequence %d, where nothing was submitted to the partition", s.window.id, t.sequence)
		}
		return
	case t.fate == operation.DeadLetter:
		k.deadLetter(s, t, sub)
		return
	case (t.fate == operation.Cancelling) != (sub.cancel != uuid.Nil):
		k.complain(Refusals, s, t.op, "window %s has sequence %d as %s, and what was submitted is another thing", s.window.id, t.sequence, t.fate)
		return
	case t.fate == operation.Cancelling:
		return
	case t.op != sub.id || !sub.is(t.digest):
		k.complain(NoGhost, s, t.op, "window %s has taken operation %s with content %016x at sequence %d; submitted was %s with %016x",
			s.window.id, t.op, t.digest, t.sequence, sub.id, sub.digest)
		return
	}
	k.a.report.Counts.Verified++
	if t.fate != operation.Duplicate {
		k.refusal(s, t, sub)
	}
}

// refusal wants a submission to have been refused before resolution if, and only if,
// it had to be (rules R14 and R15). Parents are looked at elsewhere.
func (k *walk) refusal(s *stored, t *taken, sub *submission) {
	bad := t.fate == operation.Refused && t.reason == operation.Invalid
	late := t.fate == operation.Refused && t.reason == operation.Expired
	switch {
	case sub.op && bad:
		k.complain(Refusals, s, t.op, "it was refused as invalid, and nothing is wrong with it (R14)")
	case !sub.op && !sub.custom && !bad:
		k.complain(Refusals, s, t.op, "it is malformed, and was not refused as such but %s (R14)", t.fate)
	case !sub.op && !sub.custom || bad:
	case late != k.a.rules.expired(k.a.rules.clamp(sub.created, sub.received), sub.expires, s.window.closed):
		k.complain(Refusals, s, t.op, "at %s it was %s with reason %q; it was received at %s and expires at %s (R15)",
			clock(s.window.closed), t.fate, t.reason, clock(sub.received), clock(sub.expires))
	}
}

// deadLetter wants a dead letter to be what no operation could be made of, or an
// operation whose id was another's.
func (k *walk) deadLetter(s *stored, t *taken, sub *submission) {
	d := k.dead[t.sequence]
	if d != nil && d.dead.digest != sub.raw {
		k.complain(DeadLetters, d, t.op, "the dead letter of sequence %d is not what was submitted", t.sequence)
	}
	readable := subjects.Token(sub.target) && (sub.cancel != uuid.Nil || sub.id != uuid.Nil)
	if t.reason == operation.Invalid && readable {
		k.complain(DeadLetters, s, t.op, "sequence %d is a dead letter, and it can be attributed to operation %s (R14)", t.sequence, sub.id)
	}
}

// enter lets a message that was taken take effect on the model.
func (k *walk) enter(index int, s *stored, t *taken, sub *submission) {
	switch t.fate {
	case operation.Cancelling:
		k.cancels[t.sequence] = &cancelling{window: index, sub: sub}
	case operation.DeadLetter:
		k.p.tally.Submitted++
		k.p.tally.DeadLettered++
		k.a.report.Counts.DeadLettered++
		k.undecodable(s, t)
	case operation.Duplicate:
		k.a.report.Counts.Duplicates++
		if old, ok := k.p.ledger.find(t.op); ok && old.digest != t.digest {
			k.complain(Idempotence, s, t.op, "it is taken for a duplicate with content %016x, and the first one has %016x (R9)", t.digest, old.digest)
		} else if !ok && k.p.whole {
			k.complain(Idempotence, s, t.op, "it is taken for a duplicate, and there was none before (R9)")
		}
	case operation.Contended, operation.Refused, operation.Withdrawn:
		k.born(index, s, t, sub)
	default:
		k.complain(Form, s, t.op, "window %s gives sequence %d the unknown fate %q", s.window.id, t.sequence, t.fate)
	}
}

// undecodable wants a dead letter in the commit for each one that was taken.
func (k *walk) undecodable(s *stored, t *taken) {
	d := k.dead[t.sequence]
	switch {
	case d == nil:
		k.complain(DeadLetters, s, t.op, "sequence %d was taken as a dead letter, and there is none (R14)", t.sequence)
	case !strings.HasPrefix(d.dead.reason, string(t.reason)+":"):
		k.complain(DeadLetters, d, t.op, "the dead letter of sequence %d has the reason %q, window %s has %q", t.sequence, d.dead.reason, s.window.id, t.reason)
	}
	delete(k.dead, t.sequence)
	if old, ok := k.p.ledger.find(t.op); t.reason == operation.OpIDConflict && ok && old.digest == t.digest {
		k.complain(Idempotence, s, t.op, "it is dead as having another's id, and it is the same operation again (R9)")
	} else if t.reason == operation.OpIDConflict && !ok && k.p.whole {
		k.complain(Idempotence, s, t.op, "it is dead as having another's id, and no other was taken (R9)")
	}
}

// born begins a life.
func (k *walk) born(index int, s *stored, t *taken, sub *submission) {
	p := k.p
	if old, ok := p.ledger.find(t.op); ok && p.ledger.fresh(old, s.window.closed, k.a.retention) {
		k.complain(Idempotence, s, t.op, "it is taken a second time, with content %016x after %016x (R9)", t.digest, old.digest)
	}
	p.sums.add(&summed{window: s.sequence, op: t.op, digest: t.digest}, s.at)
	p.tally.Submitted++
	p.tally.Live++
	k.a.report.Counts.Operations++
	f := &life{
		id: t.op, sequence: t.sequence, digest: t.digest, status: operation.Pending,
		window: s.window.number, maxRetries: unknown, born: k.c.first,
	}
	f.target = t.target
	f.entity = entityOf(t.target)
	if sub != nil {
		f.submitted = true
		f.entity, f.target, f.own, f.parent = sub.entity, sub.target, sub.own, sub.parent
		f.created, f.expires, f.onLoss = k.a.rules.clamp(sub.created, sub.received), sub.expires, sub.onLoss
		if sub.op || sub.custom {
			f.maxRetries = sub.retries
		}
	}
	p.lives[t.op] = f
	k.fresh[t.op] = &newcomer{life: f, window: index, taken: t}
	p.ledger.enter(t.op, known{
		digest: t.digest, at: uint32(s.window.closed.Unix()), own: uint8(f.own), //nolint:gosec // small
		target: hashOf(f.target),
		status: statusIndex(operation.Pending),
	})
}

// entityOf returns the entity that a token of a subject names, Nil if it is no id.
func entityOf(token string) uuid.UUID {
	id, err := uuid.Parse(token)
	if err != nil || len(token) != len(uuid.Nil.String()) {
		return uuid.Nil
	}
	return id
}
