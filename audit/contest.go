package audit

import (
	"bytes"
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// conflict holds a conflict event to the decision that it tells of.
func (k *walk) conflict(s *stored) {
	e := s.event
	k.a.report.Counts.Conflicts++
	k.reveals(e.window)
	for q := k.queues[e.entity]; len(q) > 0 && len(q[0].decision.contenders) == 1; q = k.queues[e.entity] {
		k.silently(e.entity, false)
	}
	if len(k.queues[e.entity]) == 0 {
		k.complain(Agreement, s, e.op, "conflict: no window of the commit has decided it")
		return
	}
	x := k.queues[e.entity][0]
	w := k.window(x.window).window
	if e.window != w.number || !x.decision.told(e.contenders) || e.winner != x.decision.first().op || e.op != e.winner {
		k.complain(Agreement, s, e.op, "conflict: it does not tell what window %s has decided (R4)", w.id)
	}
	k.resolve(e.entity, true)
}

// told reports whether a text tells of the decision's contenders.
func (d *decision) told(text []byte) bool {
	if bytes.Equal(text, d.text) {
		return true
	}
	var told []contender
	r := reader{data: text}
	for range r.elements() {
		told = append(told, r.contender())
	}
	return r.done() == nil && slices.EqualFunc(told, d.contenders, func(a, b contender) bool {
		same := a.created.Equal(b.created)
		a.created = b.created
		return same && a == b
	})
}

// until carries out decisions over an entity up to the one that a function wants,
// and reports whether there was one.
func (k *walk) until(entity uuid.UUID, wanted func(*decision) bool) bool {
	for i, x := range k.queues[entity] {
		if !wanted(x.decision) {
			continue
		}
		for range i {
			k.silently(entity, false)
		}
		k.silently(entity, true)
		return true
	}
	return false
}

// resolve carries out the next decision over an entity. It may have been made earlier
// than where the events have come to, unless one tells of it.
func (k *walk) resolve(entity uuid.UUID, told bool) {
	x := k.queues[entity][0]
	k.queues[entity] = k.queues[entity][1:]
	if len(k.queues[entity]) == 0 {
		delete(k.queues, entity)
	}
	r := &resolution{walk: k, s: k.window(x.window), d: x.decision, index: x.window, told: told, lane: k.p.lane(entity)}
	r.holder()
	r.contenders()
	r.carryOut()
	r.lane.unsure = false // a decision names all there is
	k.p.tidy(entity)
}

// resolution is a decision that is being carried out.
type resolution struct {
	*walk
	s     *stored
	d     *decision
	index int
	told  bool // by the event at hand
	lane  *lane
	lives []*life // of the contenders, nil for ghosts
}

func (r *resolution) complain(i Invariant, op uuid.UUID, format string, args ...any) {
	r.a.complain(i, spot{partition: r.p.id, sequences: []uint64{r.s.sequence}, entity: r.d.entity, op: op},
		"window "+r.s.window.id+": "+format, args...)
}

// holder holds what the decision says of the holder to the model (rules R7 and R8).
func (r *resolution) holder() {
	h, held := r.d.holder, r.lane.holder
	if held == nil && h != nil && r.lane.unsure {
		held = r.adopt(h)
	}
	if h != nil && held != nil && held.vague {
		held.status, held.effective, held.attemptAt = h.status, h.effective, h.attemptAt
	}
	switch {
	case h == nil && held == nil:
	case h == nil && r.lane.unsure: // what was read of it may be out of date
		r.lane.holder = nil
	case h == nil:
		r.complain(OneWinner, held.id, "the entity is free by the decision, and it is held by an operation that is %s (R7)", held.status)
	case held == nil || held.id != h.op:
		r.complain(OneWinner, h.op, "it is the holder by the decision, and it is not (R7)")
	case h.status != held.status || h.effective != held.effective:
		r.complain(OneWinner, h.op, "by the decision the holder is %s with %s, and it is %s with %s (R7)", h.status, h.effective, held.status, held.effective)
	default:
		r.grace(held)
		r.missing(held)
	}
}

// missing wants a holder to count as one that misses the entity only if it does (rule
// R13). Workers may leave it out.
func (r *resolution) missing(held *life) {
	if r.d.holder.missing && held.retryReason != "" && (held.status != operation.Pending || held.retryReason != operation.TargetNotFound) {
		r.complain(OneWinner, held.id, "by the decision the holder misses the entity, and it is %s after %s (R13)", held.status, held.retryReason)
	}
}

// adopt makes the holder of a decision the one of the lane, since nothing else has
// told who that is.
func (r *resolution) adopt(h *holder) *life {
	f := r.p.lives[h.op]
	if f == nil {
		f = r.p.stranger(h.op)
		f.entity, f.target = r.d.entity, r.d.entity.String()
	}
	r.lane.leave(f)
	r.lane.holder, f.role = f, operation.HolderRole
	return f
}

// grace wants the holder to be protected exactly within its grace period (rule R8).
func (r *resolution) grace(held *life) {
	if held.attemptAt.IsZero() {
		held.attemptAt = r.d.holder.attemptAt
	}
	if at := r.d.holder.attemptAt; !at.IsZero() && !at.Equal(held.attemptAt) {
		r.complain(Grace, held.id, "the holder's attempt began at %s by the decision, and at %s by the events (R8)", clock(at), clock(held.attemptAt))
	}
	if held.attemptAt.IsZero() {
		return
	}
	until := held.attemptAt.Add(r.a.rules.GracePeriod)
	want := held.status == operation.Pending && r.s.window.closed.Before(until)
	if r.d.holder.protected != want {
		r.complain(Grace, held.id, "the holder, %s since its attempt at %s, counts as protected: %t, at %s with a grace period of %v (R8)",
			held.status, clock(held.attemptAt), r.d.holder.protected, clock(r.s.window.closed), r.a.rules.GracePeriod)
	}
}

// contenders wants exactly those to contend that were taken by the window or waited.
func (r *resolution) contenders() {
	for i := range r.d.contenders {
		r.lives = append(r.lives, r.contender(&r.d.contenders[i]))
	}
	if r.lane.unsure {
		return
	}
	for _, f := range r.lane.waiting() {
		if !slices.Contains(r.lives, f) {
			r.complain(OneWinner, f.id, "it waits for the entity, and is not among the contenders (R7)")
		}
	}
}

// contender holds a contender to the model.
func (r *resolution) contender(c *contender) *life {
	f := r.p.lives[c.op]
	n := r.fresh[c.op]
	again := n == nil || n.met
	switch {
	case f == nil && r.lane.unsure && n == nil:
		f = r.p.stranger(c.op)
		r.learn(c, f)
	case f == nil:
		r.complain(NoGhost, c.op, "it contends, and it was never taken or has ended (R4)")
		return nil
	case n != nil && !n.met:
		n.met = true
		if n.taken.fate != operation.Contended || n.window != r.index {
			r.complain(Tiling, c.op, "it contends, and was taken by window %d with fate %s", f.window, n.taken.fate)
		}
		r.enters(c, f)
	case f.vague:
		r.learn(c, f)
	case f.stranger && f.created.IsZero(): // an event has told of it, but not that
		f.created, f.onLoss, f.losses = c.created, c.onLoss, c.losses
	case !r.lane.waits(f) && !r.lane.unsure:
		r.complain(OneWinner, c.op, "it contends, and it is the entity's %s, %s (R4, R7)", orNothing(string(f.role)), f.status)
	case c.effective != f.effective || c.losses != f.losses || !f.created.IsZero() && !c.created.Equal(f.created):
		r.complain(Inheritance, c.op, "it contends again with %s, %d losses, created at %s; it entered its window with %s, %d losses, created at %s (R1)",
			c.effective, c.losses, clock(c.created), f.effective, f.losses, clock(f.created))
	}
	if c.sequence != f.sequence || c.own != f.own || f.entity != r.d.entity {
		r.complain(Agreement, c.op, "it contends for %s as %s submitted at %d, and it is for %s, %s, submitted at %d",
			r.d.entity, c.own, c.sequence, f.entity, f.own, f.sequence)
	}
	if again {
		r.again(f)
	}
	return f
}

// again wants what contends again not to have expired, and its parent to live (rules R10 and
// R15).
func (r *resolution) again(f *life) {
	if at := r.s.window.closed; f.submitted && r.a.rules.expired(f.created, f.expires, at) {
		r.complain(Refusals, f.id, "it contends again at %s; it was created at %s and expires at %s (R15)", clock(at), clock(f.created), clock(f.expires))
	}
	if status, gone := r.bereft(r.index, f); gone {
		r.complain(Inheritance, f.id, "it contends again, and its parent %s had ended as %s (R10)", f.parent.ID, status)
	}
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// learn takes over what a decision says of a contender of which nothing else has told.
func (r *resolution) learn(c *contender, f *life) {
	f.entity, f.target, f.sequence, f.own, f.effective = r.d.entity, r.d.entity.String(), c.sequence, c.own, c.effective
	f.created, f.onLoss, f.losses, f.status = c.created, c.onLoss, c.losses, operation.Pending
}

// enters lets an operation enter its first window with the priority that it inherits.
func (r *resolution) enters(c *contender, f *life) {
	if !f.submitted {
		f.entity, f.target, f.own, f.created, f.onLoss = r.d.entity, r.d.entity.String(), c.own, c.created, c.onLoss
	}
	if f.onLoss != c.onLoss && (f.onLoss == operation.Carry || c.onLoss == operation.Carry) {
		r.complain(Agreement, c.op, "it contends with on_loss %q, and was submitted with %q", c.onLoss, f.onLoss)
	}
	if !c.created.Equal(f.created) {
		r.complain(RightWinner, c.op, "it counts as created at %s, and it is %s by its submission (R3)", clock(c.created), clock(f.created))
	}
	if c.losses != 0 {
		r.complain(Agreement, c.op, "it has lost %d windows, and was in none yet", c.losses)
	}
	r.inherits(c, f)
	f.effective = c.effective
	if c.from != uuid.Nil {
		r.a.report.Counts.Inherited++
	}
	r.p.ledger.update(c.op, func(k *known) {
		k.target = hashOf(f.target)
		k.own, k.effective, k.depth = uint8(c.own), uint8(c.effective), uint8(min(f.depth, 255)) //nolint:gosec // small
	})
}

// carryOut lets the model do what the decision says.
func (r *resolution) carryOut() {
	first, w := r.lives[0], r.s.window
	r.lane.next, r.lane.carried = nil, nil
	stays := false
	for i := 1; i < len(r.lives); i++ {
		if f := r.lives[i]; f != nil {
			stays = r.lose(f, &r.d.contenders[i]) || stays
		}
	}
	r.lane.count(stays)
	if first == nil {
		return
	}
	if r.d.first().verdict == operation.Waits {
		if first.role != operation.NextRole {
			first.window = w.number
		}
		first.role, r.lane.next = operation.NextRole, first
		r.touched[first.id] = first
		return
	}
	if r.d.provides() {
		first.window, first.role, first.ahead = w.number, "", true
		r.touched[first.id] = first
		return
	}
	if h := r.lane.holder; h != nil && r.d.preempts {
		r.a.report.Counts.Preempted++
		r.condemn(h, operation.Preempted)
	}
	first.window, first.role = w.number, operation.HolderRole
	r.lane.holder = first
	r.touched[first.id] = first
}

// lose lets a contender lose: it ends in this commit, or is carried. It reports whether
// it stays carried: then its record need not be written again.
func (r *resolution) lose(f *life, c *contender) (stays bool) {
	f.window = r.s.window.number
	if c.verdict != operation.Carried {
		r.condemn(f, c.reason)
		return false
	}
	r.a.report.Counts.Carried++
	stays = f.role == operation.CarriedRole || f.stranger && f.role == ""
	f.role, f.losses = operation.CarriedRole, f.losses+1
	r.lane.carried = append(r.lane.carried, f)
	f.recorded = f.recorded && stays
	return stays
}

// condemn notes that an operation has to end in this commit because of the first
// contender.
func (r *resolution) condemn(f *life, reason operation.Reason) {
	first := r.d.first()
	f.sentence = &sentence{reason: reason, winner: first.op, priority: first.effective, window: r.s.window.id}
	r.condemned = append(r.condemned, f)
}
