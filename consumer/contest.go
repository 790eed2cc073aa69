package consumer

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

// contest has the contenders for an entity resolved, together with what waits in
// its lane, and carries the decision out.
func (d *draft) contest(entity uuid.UUID, fresh []*operation.Record) error {
	d.contested[entity] = true
	waiting, err := d.waiting(entity)
	if err != nil {
		return err
	}
	all := make(map[uuid.UUID]*operation.Record, len(fresh)+len(waiting))
	c := resolver.Contest{Entity: entity, Holder: d.holder(entity)}
	for _, r := range waiting {
		all[r.OpID] = r
		c.Contenders = append(c.Contenders, contender(r, false))
	}
	for _, r := range fresh {
		all[r.OpID] = r
		c.Contenders = append(c.Contenders, contender(r, true))
	}
	if len(c.Contenders) == 0 {
		return nil
	}
	if err := d.creators(&c, all); err != nil {
		return err
	}
	began := time.Now()
	decision := resolver.Resolve(c, d.round.cfg.Limits)
	took := time.Since(began)
	held := resolver.Held(c, decision)
	d.tally.resolved(decision, took, held)
	d.window.Decisions = append(d.window.Decisions, decision)
	d.contenders += len(decision.Contenders)
	d.noteVerdicts(&decision, all)
	if decision.Conflict() {
		if err := d.conflict(&decision, all, took); err != nil {
			return err
		}
	}
	return d.carryOut(&decision, all)
}

// waiting takes what waits in the lane out of it, without what may contend no longer.
func (d *draft) waiting(entity uuid.UUID) ([]*operation.Record, error) {
	if err := d.thin(entity); err != nil {
		return nil, err
	}
	l := d.lane(entity)
	d.lanes[entity] = lane{holder: l.holder}
	return l.waiting(), nil
}

// thin rejects what waits in a lane and may contend no longer: it has expired, or its
// parent is not live any more, which may have waited beside it.
func (d *draft) thin(entity uuid.UUID) error {
	for gone := true; gone; {
		gone = false
		for _, r := range d.lane(entity).waiting() {
			f, err := d.refusal(r)
			if err != nil {
				return err
			}
			if f == nil {
				continue
			}
			d.withdraw(r)
			if err := d.reject(r, f.Reason, f.Message, nil); err != nil {
				return err
			}
			gone = true
		}
	}
	return nil
}

func (d *draft) holder(entity uuid.UUID) *operation.Holder {
	h := d.lane(entity).holder
	if h == nil {
		return nil
	}
	return &operation.Holder{
		OpID: h.OpID, EffectivePriority: h.EffectivePriority, Status: h.Status,
		Protected: h.Status == operation.Pending && d.protected(h), AttemptAt: h.AttemptAt,
		Missing: d.misses(h),
	}
}

// misses reports whether a holder waits for its entity to appear (rule R13). Whoever
// may take down the worker runs alone, so that nobody goes ahead of a holder then.
func (d *draft) misses(h *operation.Record) bool {
	return h.Status == operation.Pending && h.RetryReason == operation.TargetNotFound && d.p.careful == 0
}

// creators marks the contenders that make the entity which the holder misses (rule R13).
func (d *draft) creators(c *resolver.Contest, all map[uuid.UUID]*operation.Record) (err error) {
	if c.Holder == nil || !c.Holder.Missing {
		return nil
	}
	for i := range c.Contenders {
		one := &c.Contenders[i]
		if one.Creates, err = d.creates(all[one.OpID]); err != nil {
			return err
		}
	}
	return nil
}

// creates reports whether an operation makes its entity within the commit: it either
// succeeds or fails for good, and never holds the entity. One that a worker died of does.
func (d *draft) creates(r *operation.Record) (bool, error) {
	if r.Operation.Type != operation.CreateEntity || d.round.cfg.slow(r.Operation.Type) || r.Crashes > 0 {
		return false, nil
	}
	params, err := operation.ParamsOf[operation.CreateParams](r.Operation)
	if err != nil {
		return false, nil //nolint:nilerr // its execution says so
	}
	if params.ParentID == uuid.Nil {
		return true, nil
	}
	parent, err := d.round.tx.Entity(params.ParentID)
	return parent != nil, err
}

func contender(r *operation.Record, fresh bool) resolver.Contender {
	return resolver.Contender{
		OpID: r.OpID, ParentID: r.Operation.ParentID, InheritedFrom: r.InheritedFrom,
		Priority: r.Operation.Priority, Effective: r.EffectivePriority,
		CreatedAt: r.CreatedAt, Sequence: r.Sequence, Losses: r.Losses, OnLoss: r.Operation.OnLoss, New: fresh,
	}
}

// conflict tells of a decision between several contenders.
func (d *draft) conflict(decision *operation.Decision, all map[uuid.UUID]*operation.Record, took time.Duration) error {
	first := all[decision.First().OpID]
	detail := &operation.ConflictDetail{
		Detail: d.detail(first), WinnerOpID: first.OpID,
		Contenders: decision.Contenders, ResolutionMS: milliseconds(took),
	}
	detail.Window = d.window.ID
	id := fmt.Sprintf("%s/%s/%s", d.window.ID, operation.ConflictEvent, decision.Entity)
	return d.publish(operation.ConflictEvent, id, decision.Entity.String(), originOf(first), detail)
}

// carryOut does what a decision says: the losers first, then the displaced holder,
// then the first contender.
func (d *draft) carryOut(decision *operation.Decision, all map[uuid.UUID]*operation.Record) error {
	first := all[decision.First().OpID]
	for i := range decision.Contenders[1:] {
		c := &decision.Contenders[i+1]
		if err := d.lost(all[c.OpID], c, first); err != nil {
			return err
		}
	}
	d.count(decision.Entity)
	if decision.First().Verdict == operation.Waits {
		return d.wait(first)
	}
	if decision.Preempts {
		holder := *d.lane(decision.Entity).holder
		message := fmt.Sprintf("displaced between two attempts by %s (%s)", first.OpID, first.EffectivePriority)
		if err := d.reject(&holder, operation.Preempted, message, first); err != nil {
			return err
		}
	}
	won := *first
	won.Window, won.Contest = d.window.ID, 0
	if d.p.careful > 0 {
		won.Careful, won.Crashes = true, max(won.Crashes, d.p.claim.claim.Fence.Crashes)
	}
	return d.start(&won)
}

// lost ends a loser, or carries it to the next window if it asked for that.
func (d *draft) lost(r *operation.Record, c *operation.Contender, first *operation.Record) error {
	loser := *r
	loser.Window = d.window.ID
	if c.Verdict != operation.Carried {
		message := fmt.Sprintf("%s (%s) was ahead of it (%s) by %s",
			first.OpID, first.EffectivePriority, loser.EffectivePriority, c.Separator)
		return d.reject(&loser, c.Reason, message, first)
	}
	loser.Role = operation.CarriedRole
	loser.Losses++
	l := d.lane(loser.Operation.Target)
	l.carried = append(l.carried, &loser) // the contest has begun an empty one
	d.lanes[loser.Operation.Target] = l
	return nil
}

// count numbers the window that what an entity carries has just lost. The records of those
// that were carried before are not written again, but for one: by its number the next owner
// knows how many windows the others have lost since (see [operation.UpdateCarried]). A record
// that this commit writes anyway says how its operation stands after all of the commit.
func (d *draft) count(entity uuid.UUID) {
	carried := d.lane(entity).carried
	number, wrote := 1, false
	for _, r := range carried {
		number = max(number, r.Contest+1)
	}
	for i, r := range carried {
		_, touched := d.touched(r.OpID)
		write := r.Contest == 0 || touched || i == len(carried)-1 && !wrote
		r.Contest = number
		if write {
			d.write(r)
			wrote = true
		}
	}
}

// wait makes the first contender of a held entity its next.
func (d *draft) wait(r *operation.Record) error {
	l := d.lane(r.Operation.Target)
	if r.Role == operation.NextRole {
		l.next = r
		d.lanes[r.Operation.Target] = l
		return nil
	}
	next := *r
	next.Role, next.Window, next.Contest = operation.NextRole, d.window.ID, 0
	l.next = &next
	d.lanes[r.Operation.Target] = l
	d.write(&next)
	return nil
}
