package consumer

import (
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// How many messages of the commit must be left before another operation is settled
// beside the window. One operation takes some two hundred at most: the end of all that an
// entity carries.
const (
	roomForIdle = 200
	roomForDue  = 500 // leaves room for a window, and for a lane
)

// maxContenders is how many contenders the decisions of one window have at most, so that
// the decision record is no larger than what the broker takes: 1 MiB by default, at about
// 500 bytes each. Half of them are for what is settled beside the window.
const maxContenders = 1024

// crowded reports whether the commit has less room left than that. What it leaves
// undone is taken up by the next.
func (d *draft) crowded(room int) bool {
	return d.part.Size() > 64 && d.round.room()-d.part.Size() < room || d.contenders >= maxContenders/2
}

// outcomes settles the attempts that ended outside the commit.
func (d *draft) outcomes() error {
	for i := range d.p.results {
		if d.crowded(roomForDue) {
			return nil
		}
		d.results = d.p.results[:i+1]
		out := &d.results[i]
		holder := d.lane(out.entity).holder
		if holder == nil || holder.OpID != out.opID || holder.Attempt != out.attempt || holder.Status != operation.Executing {
			continue // it was settled otherwise meanwhile
		}
		r := *holder
		if err := d.later(d.outcome(&r, out)); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) outcome(r *operation.Record, out *result) error {
	switch {
	case out.recovered:
		return d.recovered(r)
	case out.err != nil:
		return d.failed(r, out.err)
	case out.builtin:
		return d.execute(r, d.round.cfg.system(r.Operation.Type), nil)
	}
	apply := func(tx *ecsstore.Txn, exec ecsstore.Execution) ([]operation.Change, error) {
		return ecsstore.ApplyPatch(tx, exec, out.patch)
	}
	return d.execute(r, ecsstore.SystemFunc(apply), &out.took)
}

// attempts starts what is due by now: holders whose delay is over, and displacements
// whose grace period is.
func (d *draft) attempts() error {
	for entity := range d.p.alarms.by(d.round.now) {
		if d.crowded(roomForDue) {
			return nil
		}
		if err := d.later(d.attend(entity)); err != nil {
			return err
		}
	}
	for _, entity := range d.p.alone {
		l := d.lane(entity)
		if !l.queues() || !d.alone(l.holder) {
			continue
		}
		if err := d.later(d.start(l.holder)); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) attend(entity uuid.UUID) error {
	l := d.lane(entity)
	at, ok := l.due(d.round.cfg.GracePeriod)
	if !ok || at.After(d.round.now) || d.contested[entity] {
		return nil
	}
	if l.displaceable() && !d.protected(l.holder) {
		return d.contest(entity, nil)
	}
	if l.queues() || l.holder.Due.After(d.round.now) {
		return nil
	}
	return d.start(l.holder)
}

// protected reports whether a holder between two attempts is within its grace
// period (rule R8).
func (d *draft) protected(holder *operation.Record) bool {
	return d.round.now.Before(holder.AttemptAt.Add(d.round.cfg.GracePeriod))
}

// settleIdle resolves the lanes that nobody holds up any more: those the window has
// freed and those that were idle before it.
func (d *draft) settleIdle() error {
	for _, entity := range d.idleLanes() {
		if d.crowded(roomForIdle) {
			return nil
		}
		if d.contested[entity] || !d.lane(entity).idle() {
			continue
		}
		if err := d.later(d.contest(entity, nil)); err != nil {
			return err
		}
	}
	return nil
}

// idleLanes lists the lanes to be resolved without new contenders. A lane whose
// partition has a window open waits for that window to close.
func (d *draft) idleLanes() []uuid.UUID {
	closing := d.window.Cursor > d.window.After
	if !closing && d.skip < len(d.p.queue) {
		return nil
	}
	var out []uuid.UUID
	for entity, since := range d.p.idle {
		due := !d.p.idleUntil(entity, since, d.round.cfg.Window).After(d.round.now)
		if due || closing {
			out = append(out, entity)
		}
	}
	for _, entity := range d.freed {
		if d.lane(entity).next != nil {
			out = append(out, entity)
		}
	}
	slices.SortFunc(out, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(out)
}
