package consumer

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// cancel answers a cancellation (rule R17): what has not been taken on yet, waits,
// or is between two attempts is given up; anything else is left alone.
func (d *draft) cancel(it *item, c *contenders) error {
	d.window.Taken = append(d.window.Taken, operation.Taken{Sequence: it.sequence, Fate: operation.Cancelling})
	target, err := uuid.Parse(it.sub.Target)
	if err != nil {
		return d.cancelRefused(it)
	}
	ref := operation.Ref{Target: target, ID: it.cancel.OpID}
	if r := c.remove(ref); r != nil {
		d.refate(r, operation.Withdrawn)
		return d.cancelled(it, r)
	}
	if r := d.find(ref); r != nil && r.Status.CanBecome(operation.Cancelled) {
		d.withdraw(r)
		return d.cancelled(it, r)
	}
	return d.cancelRefused(it)
}

// withdraw takes an operation that waits behind the holder out of its lane. Its record may
// have been the one that counts the losses of the others, which now another does.
func (d *draft) withdraw(r *operation.Record) {
	l := d.lane(r.Operation.Target)
	if l.next != nil && l.next.OpID == r.OpID {
		l.next = nil
	}
	l.carried = slices.DeleteFunc(slices.Clone(l.carried), func(c *operation.Record) bool { return c.OpID == r.OpID })
	d.lanes[r.Operation.Target] = l
	if n := len(l.carried); r.Role == operation.CarriedRole && n > 0 {
		d.write(l.carried[n-1])
	}
}

func (d *draft) cancelled(it *item, r *operation.Record) error {
	d.free(r)
	if err := d.end(r, operation.Cancelled, ""); err != nil {
		return err
	}
	return d.event(operation.CancelledEvent, r, &operation.CancelDetail{
		Detail: d.detail(r), CancelID: it.cancel.ID, Message: it.cancel.Reason,
	})
}

func (d *draft) cancelRefused(it *item) error {
	status := operation.Status("")
	if known, ok := d.lookup(it.cancel.OpID); ok {
		status = known.status
	}
	id := fmt.Sprintf("%s/%s/%d", it.cancel.ID, operation.CancelRefusedEvent, it.sequence)
	return d.publish(operation.CancelRefusedEvent, id, it.sub.Target, it.origin, &operation.CancelDetail{
		Detail: operation.Detail{
			OpID: it.cancel.OpID, Target: it.sub.Target, Worker: d.window.Owner,
			Partition: d.p.id, Window: d.window.ID, Sequence: it.sequence,
		},
		CancelID: it.cancel.ID, Message: it.cancel.Reason, Status: status,
	})
}
