package consumer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// draft is one window of one partition while a round is being planned. It reads the
// partition, and the draft of the window before it if the round has one, and changes
// neither: what it came to is applied when the commit is stored, and forgotten if it
// is not.
type draft struct {
	round *round
	p     *partition
	base  *draft        // the window before in the same round
	mark  ecsstore.Mark // the transaction before
	skip  int           // items of the queue that earlier drafts took
	part  ecsstore.Part

	window     operation.Window                       // being planned
	statuses   map[uuid.UUID]ending                   // of operations, as the window leaves them
	staged     map[operation.Ref]*operation.Operation // that entered the window
	lanes      map[uuid.UUID]lane                     // as changed
	known      map[uuid.UUID]entry                    // what it took or changed the status of
	ended      map[operation.Ref]bool                 // what it rejected or cancelled
	contested  map[uuid.UUID]bool                     // entities the window has resolved
	contenders int                                    // in all its decisions
	freed      []uuid.UUID                            // entities whose holder ended in this window

	runs      []*operation.Record // attempts to start outside the commit, once it is stored
	took      int                 // items of the queue
	results   []result            // that it used up
	tookAlone bool                // an operation of it runs alone
	lack      error               // why it cannot be planned before something is loaded
	tally     tally
	tales     map[uuid.UUID]*tale // of what is traced
	lines     []line              // of what is logged
	ran       stretch             // the attempt that is being settled, if it was made here
}

// ending is how an operation stands at the end of the window that took it.
type ending struct {
	status operation.Status
	reason operation.Reason
}

func newDraft(r *round, p *partition, base *draft) *draft {
	d := &draft{
		round: r, p: p, base: base, mark: r.tx.Mark(), part: ecsstore.Part{Fence: p.fence, Expect: p.expect},
		statuses: map[uuid.UUID]ending{}, lanes: map[uuid.UUID]lane{}, known: map[uuid.UUID]entry{},
		ended: map[operation.Ref]bool{}, contested: map[uuid.UUID]bool{}, tally: newTally(r.now),
	}
	if base != nil {
		d.skip = base.skip + base.took
		d.part.Fence = base.part.Fence
	}
	f := &d.part.Fence
	f.Crashes, f.Released, f.Time = 0, false, r.now
	f.Ledger = max(f.Ledger, p.ledger.oldest())
	return d
}

// plan decides what is due and what the closed window staged. It reports whether
// there was anything to do.
func (d *draft) plan(items []item, cause operation.CloseCause) (bool, error) {
	d.open(cause, items)
	d.took = len(items)
	if d.base == nil {
		if err := d.outcomes(); err != nil {
			return false, err
		}
		if err := d.attempts(); err != nil {
			return false, err
		}
	}
	if err := d.take(items); err != nil {
		return false, err
	}
	if err := d.settleIdle(); err != nil {
		return false, err
	}
	if d.lack != nil {
		return false, d.lack
	}
	return d.close(), nil
}

// later keeps an error that says what must be loaded until the end of planning, so
// that all that is missing is found out at once.
func (d *draft) later(err error) error {
	if missing(err) {
		d.lack = err
		return nil
	}
	return err
}

func (d *draft) open(cause operation.CloseCause, items []item) {
	f := &d.part.Fence
	d.window = operation.Window{
		Partition: d.p.id, Number: f.Windows + 1, ID: operation.WindowID(d.p.id, f.Windows+1),
		Owner: f.Owner, Epoch: f.Epoch, After: f.Cursor, Cursor: f.Cursor,
		Cause: cause, Opened: d.round.now, Closed: d.round.now, Partitions: f.Partitions,
	}
	if len(items) > 0 {
		d.window.Opened = items[0].staged
		d.window.Cursor = items[len(items)-1].sequence
	} else if len(d.p.queue) == 0 && d.p.advance > f.Cursor {
		d.window.Cause, d.window.Cursor = operation.ClosedIdle, d.p.advance
	}
}

// close completes the decision record and moves the cursor.
func (d *draft) close() bool {
	w := &d.window
	for i := range w.Taken {
		t := &w.Taken[i]
		if end, ok := d.statuses[t.OpID]; ok && t.Fate.Counted() {
			t.Status, t.Reason = end.status, end.reason
		}
	}
	if d.part.Size() == 1 && w.Cursor == w.After { // nothing but the fence
		return false
	}
	f := &d.part.Fence
	f.Windows, f.Cursor = w.Number, w.Cursor
	f.Counts.Live = f.Counts.Submitted - f.Counts.Succeeded - f.Counts.Rejected - f.Counts.Cancelled - f.Counts.DeadLettered
	d.part.Windows = append(d.part.Windows, *w)
	if d.base == nil && d.p.ledger.due(cmp.Or(d.round.cfg.checkpointEvery, checkpointEvery)) {
		d.sumUp()
	}
	return true
}

// sumUp adds checkpoints to the commit if there is room for them; otherwise a later commit
// has some.
func (d *draft) sumUp() {
	if d.round.summing != nil || d.round.limit < MaxWindow { // commits have failed: this one is to be small
		return
	}
	sums := d.p.ledger.checkpoints(&d.p.fence)
	if d.part.Size()+len(sums) <= d.round.room() {
		d.part.Checkpoints, d.part.Fence.Checkpoint = sums, d.p.ledger.latest
		d.round.summing = d
	}
}

// lane returns an entity's lane as the draft has it.
func (d *draft) lane(entity uuid.UUID) lane {
	for from := d; from != nil; from = from.base {
		if l, ok := from.lanes[entity]; ok {
			return l
		}
	}
	return d.p.lanes[entity]
}

// hold makes r the holder of its lane.
func (d *draft) hold(r *operation.Record) {
	r.Role = operation.HolderRole
	l := d.lane(r.Operation.Target)
	l.holder = r
	d.lanes[r.Operation.Target] = l
	d.write(r)
}

// free empties the place of the holder if r is it.
func (d *draft) free(r *operation.Record) {
	l := d.lane(r.Operation.Target)
	if l.holder == nil || l.holder.OpID != r.OpID {
		return
	}
	l.holder = nil
	d.lanes[r.Operation.Target] = l
	d.freed = append(d.freed, r.Operation.Target)
}

// write stores the record of an operation that outlives this commit.
func (d *draft) write(r *operation.Record) {
	d.part.Records = put(d.part.Records, *r)
	d.statuses[r.OpID] = ending{status: r.Status}
	d.known[r.OpID] = entry{digest: r.Digest, status: r.Status}
}

// touched returns what the round has made of an operation, if it has changed it already.
func (d *draft) touched(id uuid.UUID) (entry, bool) {
	for from := d; from != nil; from = from.base {
		if e, ok := from.known[id]; ok {
			return e, true
		}
	}
	return entry{}, false
}

// find returns an operation that is in the lane of an entity, or nil.
func (d *draft) find(ref operation.Ref) *operation.Record {
	for _, r := range d.lane(ref.Target).records() {
		if r.OpID == ref.ID {
			return r
		}
	}
	return nil
}

// put adds a record, replacing one of the same operation: a subject is written once
// in a batch.
func put(records []operation.Record, r operation.Record) []operation.Record {
	for i := range records {
		if records[i].OpID == r.OpID {
			records[i] = r
			return records
		}
	}
	return append(records, r)
}

// end notes that an operation is terminal.
func (d *draft) end(r *operation.Record, status operation.Status, reason operation.Reason) error {
	if err := legal(r, status); err != nil {
		return err
	}
	d.statuses[r.OpID] = ending{status: status, reason: reason}
	d.known[r.OpID] = entry{digest: r.Digest, status: status}
	d.tally.ended(status, reason, r)
	switch status {
	case operation.Succeeded:
		d.part.Fence.Counts.Succeeded++
	case operation.Rejected:
		d.part.Fence.Counts.Rejected++
		d.ended[ref(r)] = true
	case operation.Cancelled:
		d.part.Fence.Counts.Cancelled++
		d.ended[ref(r)] = true
	case operation.Pending, operation.Executing, operation.Failed:
	}
	if r.Role == "" { // never stored
		return nil
	}
	d.part.Records = put(d.part.Records, operation.Record{
		OpID: r.OpID, Status: status, Sequence: r.Sequence, ReceivedAt: r.ReceivedAt, CreatedAt: r.CreatedAt,
		Digest: r.Digest, EffectivePriority: r.EffectivePriority, InheritedFrom: r.InheritedFrom, Depth: r.Depth,
		Window: r.Window, Attempt: r.Attempt, Crashes: r.Crashes, Losses: r.Losses, Reason: reason, LastError: r.LastError,
	})
	if !d.tookHere(r.OpID) {
		d.window.Settled = append(d.window.Settled, operation.Settled{OpID: r.OpID, Status: status, Reason: reason})
	}
	return nil
}

// tookHere reports whether the window being planned took the operation.
func (d *draft) tookHere(id uuid.UUID) bool {
	return slices.ContainsFunc(d.window.Taken, func(t operation.Taken) bool {
		return t.OpID == id && t.Fate.Counted()
	})
}

// event adds an event about r to the commit.
func (d *draft) event(kind operation.Kind, r *operation.Record, detail any) error {
	id := fmt.Sprintf("%s/%s/%d", r.OpID, kind, r.Attempt)
	return d.publish(kind, id, r.Operation.Target.String(), originOf(r), detail)
}

func (d *draft) publish(kind operation.Kind, id, target string, from origin, detail any) error {
	d.noteStep(kind, from, detail)
	d.noteLine(kind, from, detail)
	body, err := operation.NewEvent(kind, id, d.p.id, target, d.round.now, from.parent, detail)
	if err != nil {
		return fmt.Errorf("telling %s: %w", id, err)
	}
	d.part.Events = append(d.part.Events, ecsstore.Event{Kind: kind, Target: target, Body: body, TraceState: from.state})
	return nil
}

// detail returns what every event about r has.
func (d *draft) detail(r *operation.Record) operation.Detail {
	out := operation.Detail{
		OpID: r.OpID, OpType: r.Operation.Type, Target: r.Operation.Target.String(),
		Priority: r.Operation.Priority, EffectivePriority: r.EffectivePriority,
		Worker: d.window.Owner, Partition: d.p.id, Window: r.Window, Sequence: r.Sequence,
	}
	if out.Window == "" {
		out.Window = d.window.ID
	}
	if e := d.round.tx.Peek(r.Operation.Target); e != nil {
		out.TargetName = e.Name
	}
	return out
}

// dead sends a message of the operations stream to the dead-letter subject.
func (d *draft) dead(it *item, reason string, raw []byte) {
	d.part.Dead = append(d.part.Dead, ecsstore.DeadLetter{
		Sequence: it.sequence, Subject: it.subject, Reason: reason, Data: raw,
	})
	d.part.Fence.Counts.Submitted++
	d.part.Fence.Counts.DeadLettered++
	d.tally.dead++
}

// missing reports whether an error says that the round must load something first.
func missing(err error) bool {
	_, entities := errors.AsType[*ecsstore.MissingError](err)
	return entities || errors.Is(err, errUnknownParent)
}

// milliseconds returns the milliseconds of a duration with three decimals.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
