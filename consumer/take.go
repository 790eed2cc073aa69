package consumer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// contenders are the operations of one window by entity, entities in the order of
// their first operation.
type contenders struct {
	order []uuid.UUID
	of    map[uuid.UUID][]*operation.Record
}

func (c *contenders) add(r *operation.Record) {
	entity := r.Operation.Target
	if _, ok := c.of[entity]; !ok {
		c.order = append(c.order, entity)
	}
	c.of[entity] = append(c.of[entity], r)
}

// remove takes an operation out and returns it, or nil.
func (c *contenders) remove(ref operation.Ref) *operation.Record {
	records := c.of[ref.Target]
	i := slices.IndexFunc(records, func(r *operation.Record) bool { return r.OpID == ref.ID })
	if i < 0 {
		return nil
	}
	r := records[i]
	c.of[ref.Target] = slices.Delete(records, i, i+1)
	return r
}

// take sorts out what the window staged, in the order of the stream, and has what
// is left contend.
func (d *draft) take(items []item) error {
	c := &contenders{of: map[uuid.UUID][]*operation.Record{}}
	for i := range items {
		if err := d.sort(&items[i], c); err != nil {
			return err
		}
	}
	d.staged = make(map[operation.Ref]*operation.Operation)
	for _, records := range c.of {
		for _, r := range records {
			d.staged[ref(r)] = r.Operation
		}
	}
	if err := d.parents(c); err != nil {
		return err
	}
	for _, entity := range c.order {
		if err := d.later(d.enter(entity, c.of[entity])); err != nil {
			return err
		}
	}
	return nil
}

// enter has operations contend for an entity. Whatever may do so no longer goes first:
// it may be a parent of others.
func (d *draft) enter(entity uuid.UUID, fresh []*operation.Record) error {
	if err := d.thin(entity); err != nil {
		return err
	}
	live, err := d.stillLive(fresh)
	if err != nil || len(live) == 0 {
		return err
	}
	return d.contest(entity, live)
}

// sort decides what a message of the operations stream is.
func (d *draft) sort(it *item, c *contenders) error {
	id := it.id()
	switch {
	case !subjects.Token(it.sub.Target): // no event could be told of it
		d.note(it, operation.DeadLetter, operation.Invalid)
		d.dead(it, fmt.Sprintf("%s: target_entity_id: %q is no id", operation.Invalid, it.sub.Target), it.raw)
		return nil
	case it.cancel != nil:
		return d.cancel(it, c)
	case id == uuid.Nil:
		d.note(it, operation.DeadLetter, operation.Invalid)
		d.dead(it, fmt.Sprintf("%s: %v", operation.Invalid, it.invalid), it.raw)
		return nil
	}
	if known, ok := d.lookup(id); ok {
		d.again(it, known)
		return nil
	}
	d.part.Fence.Counts.Submitted++
	d.tally.submitted[it.priority()]++
	d.noteArrival(id, it)
	if it.invalid != nil {
		return d.invalid(it)
	}
	r := it.record(d.round.cfg.MaxClockSkew)
	r.Window = d.window.ID
	d.known[id] = entry{digest: it.digest, status: operation.Pending}
	if f := d.expired(r); f != nil {
		d.note(it, operation.Refused, "")
		return d.reject(r, f.Reason, f.Message, nil)
	}
	d.note(it, operation.Contended, "")
	c.add(r)
	return nil
}

// note enters a message in the decision record.
func (d *draft) note(it *item, fate operation.Fate, reason operation.Reason) {
	t := operation.Taken{Sequence: it.sequence, OpID: it.id(), Digest: it.digest, Fate: fate, Reason: reason}
	if fate == operation.Refused {
		t.Target = it.sub.Target
	}
	d.window.Taken = append(d.window.Taken, t)
}

// lookup returns what is known of an operation id in this partition.
func (d *draft) lookup(id uuid.UUID) (entry, bool) {
	if e, ok := d.touched(id); ok {
		return e, true
	}
	if entity, ok := d.p.live[id]; ok {
		if r := d.find(operation.Ref{Target: entity, ID: id}); r != nil {
			return entry{digest: r.Digest, status: r.Status}, true
		}
	}
	e, ok := d.p.ledger.known[id]
	return e, ok
}

// again handles an op_id that was taken before (rule R9).
func (d *draft) again(it *item, known entry) {
	if it.digest == known.digest {
		d.note(it, operation.Duplicate, "")
		d.tally.duplicates++
		return
	}
	d.note(it, operation.DeadLetter, operation.OpIDConflict)
	d.dead(it, fmt.Sprintf("%s: operation %s was submitted before with other content", operation.OpIDConflict, it.id()), it.raw)
}

// invalid rejects an operation that could be attributed but not read (rule R14).
func (d *draft) invalid(it *item) error {
	id := it.id()
	d.note(it, operation.Refused, "")
	d.statuses[id] = ending{status: operation.Rejected, reason: operation.Invalid}
	d.known[id] = entry{digest: it.digest, status: operation.Rejected}
	d.part.Fence.Counts.Rejected++
	priority := it.priority()
	d.tally.invalid(priority, it.received)
	return d.publish(operation.RejectedEvent, fmt.Sprintf("%s/%s/0", id, operation.RejectedEvent), it.sub.Target, it.origin,
		&operation.RejectedDetail{
			Detail: operation.Detail{
				OpID: id, Target: it.sub.Target, Priority: priority, EffectivePriority: priority,
				Worker: d.window.Owner, Partition: d.p.id, Window: d.window.ID, Sequence: it.sequence,
			},
			Reason: operation.Invalid, Message: it.invalid.Error(),
		})
}

// parents gives every contender its effective priority and rejects those whose
// parent rules them out (rules R1 and R10).
func (d *draft) parents(c *contenders) error {
	for _, entity := range c.order {
		kept := c.of[entity][:0:0]
		for _, r := range c.of[entity] {
			in, err := d.inherit(r)
			switch {
			case missing(err):
				d.lack = err
			case err != nil:
				f := operation.AsFailure(err)
				if err := d.reject(r, f.Reason, f.Message, nil); err != nil {
					return err
				}
				d.refate(r, operation.Refused)
			default:
				r.EffectivePriority, r.InheritedFrom, r.Depth = in.Effective, in.From, in.Depth
				kept = append(kept, r)
			}
		}
		c.of[entity] = kept
	}
	return nil
}

// refate marks an operation of the window as one that does not contend after all.
func (d *draft) refate(r *operation.Record, fate operation.Fate) {
	for i := range d.window.Taken {
		if t := &d.window.Taken[i]; t.OpID == r.OpID && t.Fate == operation.Contended {
			t.Fate, t.Target = fate, r.Operation.Target.String()
		}
	}
}

// errUnknownParent says that a parent has to be looked up first.
var errUnknownParent = errors.New("parent not looked up")

// inherit follows an operation's parents: those of the same window, those in the
// partition's lanes, and whatever else the store knows.
func (d *draft) inherit(r *operation.Record) (resolver.Inheritance, error) {
	in, err := resolver.Inherit(r.Operation, d.parent)
	if err != nil && d.round.cfg.IndependentChildren && !missing(err) {
		f := operation.AsFailure(err)
		if f.Reason == operation.ParentNotLive {
			return resolver.Inheritance{Effective: r.Operation.Priority, Depth: 1}, nil
		}
	}
	return in, err
}

// stillLive rejects those whose parent was rejected or cancelled earlier in the same
// commit, after they had inherited from it (rule R10), and those whose parent goes so.
func (d *draft) stillLive(records []*operation.Record) ([]*operation.Record, error) {
	for before := -1; before != len(records); {
		before = len(records)
		kept := records[:0:0]
		for _, r := range records {
			f := d.bereft(r)
			if f == nil {
				kept = append(kept, r)
				continue
			}
			if err := d.reject(r, f.Reason, f.Message, nil); err != nil {
				return nil, err
			}
			d.refate(r, operation.Refused)
		}
		records = kept
	}
	return records, nil
}

// bereft returns why an operation may not go on if its parent was rejected or
// cancelled earlier in the same commit.
func (d *draft) bereft(r *operation.Record) *operation.Failure {
	parent, has := r.Operation.Parent()
	if !has || d.round.cfg.IndependentChildren || !d.gone(parent) {
		return nil
	}
	message := fmt.Sprintf("parent %s of %s has ended meanwhile", parent.ID, r.OpID)
	return &operation.Failure{Reason: operation.ParentNotLive, Message: message, Permanent: true}
}

// parent tells the resolver of one parent.
func (d *draft) parent(ref operation.Ref) (resolver.Parent, bool, error) {
	if op, ok := d.staged[ref]; ok {
		return pendingParent(op), true, nil
	}
	if r := d.find(ref); r != nil {
		return resolver.Parent{
			Priority: r.Operation.Priority, Effective: r.EffectivePriority,
			InheritedFrom: r.InheritedFrom, Depth: r.Depth, Live: true,
		}, true, nil
	}
	if d.gone(ref) {
		return resolver.Parent{}, true, nil
	}
	found, ok := d.round.found[ref]
	if !ok {
		d.round.wanted[ref] = true
		return resolver.Parent{}, false, errUnknownParent
	}
	if found.Status == "" {
		return resolver.Parent{}, false, nil
	}
	if found.Operation != nil {
		return pendingParent(found.Operation), true, nil
	}
	live := found.Status != operation.Rejected && found.Status != operation.Cancelled
	return resolver.Parent{
		Priority: found.Priority, Effective: found.Effective,
		InheritedFrom: found.InheritedFrom, Depth: found.Depth, Live: live,
	}, true, nil
}

// gone reports whether an operation was rejected or cancelled earlier in this round,
// of which the store does not know yet.
func (d *draft) gone(ref operation.Ref) bool {
	return d.ended[ref] || slices.ContainsFunc(d.round.drafts, func(before *draft) bool { return before.ended[ref] })
}

func pendingParent(op *operation.Operation) resolver.Parent {
	parent, has := op.Parent()
	return resolver.Parent{Priority: op.Priority, Parent: parent, HasParent: has, Live: true}
}
