package consumer

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// MaxWindow is how many operations one window takes at most.
const MaxWindow = 256

// partition is what a worker knows of a partition it owns. Only the engine's
// goroutine touches it.
type partition struct {
	id     int
	claim  *claimed
	fence  operation.Fence
	expect uint64 // stream sequence of the fence

	lanes  map[uuid.UUID]lane
	live   map[uuid.UUID]uuid.UUID // the entity of each operation in a lane
	ledger *ledger
	alarms alarms
	idle   map[uuid.UUID]time.Time // lanes nobody holds up, since when
	alone  []uuid.UUID             // entities whose holder must run alone, in order

	queue   []item   // staged, not yet in a window
	read    uint64   // the last sequence that was staged
	results []result // of attempts outside the commit, not yet committed
	careful int      // operations still to be started with care: an earlier owner died here
	advance uint64   // a cursor the idle partition may move to
	refused int      // commits refused in a row
}

func newPartition(c *claimed, cfg *Config) *partition {
	p := &partition{
		read: c.claim.Fence.Cursor, id: c.claim.Fence.Partition, claim: c, fence: c.claim.Fence, expect: c.claim.Expect,
		lanes: map[uuid.UUID]lane{}, live: map[uuid.UUID]uuid.UUID{}, idle: map[uuid.UUID]time.Time{},
		ledger: newLedger(c.claim.Ledger, c.claim.Fence.Checkpoint),
	}
	if p.fence.Crashes > 1 { // once may be chance
		p.careful = MaxWindow
	}
	for i := range c.claim.Records {
		r := &c.claim.Records[i]
		if c.claim.Unclean && r.Status == operation.Pending && !cfg.slow(r.Operation.Type) {
			r.Crashes = max(r.Crashes, 1) // the attempt its owner died of may have left no trace
		}
		p.restore(r)
	}
	for _, l := range p.lanes {
		operation.UpdateCarried(l.carried)
	}
	for entity, l := range p.lanes {
		p.setLane(entity, l, time.Time{}, cfg.GracePeriod)
	}
	return p
}

// held returns the partition as it is released.
func (p *partition) held() ecsstore.Held { return ecsstore.Held{Fence: p.fence, Expect: p.expect} }

// restore puts a record an earlier owner left into its lane. What it was executing
// comes back as a result: nobody is at work on it.
func (p *partition) restore(r *operation.Record) {
	if e, ok := p.ledger.known[r.OpID]; ok {
		p.ledger.known[r.OpID] = entry{digest: e.digest, status: r.Status}
	}
	if r.Status.Terminal() {
		return
	}
	l := p.lanes[r.Operation.Target]
	switch r.Role {
	case operation.HolderRole:
		l.holder = r
	case operation.NextRole:
		l.next = r
	case operation.CarriedRole:
		l.carried = append(l.carried, r)
	}
	p.lanes[r.Operation.Target] = l
	if r.Status == operation.Executing {
		p.results = append(p.results, result{
			claim: p.claim, entity: r.Operation.Target, opID: r.OpID, attempt: r.Attempt, recovered: true,
		})
	}
}

// setLane replaces an entity's lane.
func (p *partition) setLane(entity uuid.UUID, l lane, now time.Time, grace time.Duration) {
	for _, r := range p.lanes[entity].records() {
		delete(p.live, r.OpID)
	}
	for _, r := range l.records() {
		p.live[r.OpID] = entity
	}
	p.alone = slices.DeleteFunc(p.alone, func(id uuid.UUID) bool { return id == entity })
	delete(p.idle, entity)
	if l.empty() {
		delete(p.lanes, entity)
		return
	}
	p.lanes[entity] = l
	if at, ok := l.due(grace); ok {
		p.alarms.add(at, entity)
	}
	if l.idle() {
		p.idle[entity] = now
	}
	if l.queues() {
		p.alone = append(p.alone, entity)
	}
}

// rest forgets what made the partition wake for nothing: the alarms of lanes that
// have changed since, and results of attempts that were settled otherwise.
func (p *partition) rest(now time.Time, grace time.Duration) {
	p.results = nil
	for _, entity := range p.alarms.take(now) {
		if at, ok := p.lanes[entity].due(grace); ok {
			p.alarms.add(at, entity)
		}
	}
}

// closes returns when the window that the queue has opened closes.
func (p *partition) closes(length time.Duration) (time.Time, bool) {
	if len(p.queue) == 0 {
		return time.Time{}, false
	}
	end := p.queue[0].staged.Add(length)
	if len(p.queue) >= MaxWindow && !p.queue[MaxWindow-1].staged.After(end) {
		return p.queue[MaxWindow-1].staged, true
	}
	return end, true
}

// wakes returns when the partition next has something to do.
func (p *partition) wakes(window time.Duration, alone bool) (time.Time, bool) {
	at, found := p.closes(window)
	sooner := func(t time.Time) {
		if !found || t.Before(at) {
			at, found = t, true
		}
	}
	idle := len(p.queue) == 0 && p.advance > p.fence.Cursor
	if len(p.results) > 0 || alone && len(p.alone) > 0 || idle {
		sooner(time.Time{})
	}
	if len(p.alarms) > 0 {
		sooner(p.alarms[0].at)
	}
	if len(p.queue) == 0 {
		for entity, since := range p.idle {
			sooner(p.idleUntil(entity, since, window))
		}
	}
	return at, found
}

// idleUntil returns when a lane nobody holds up is resolved although no window is
// open: at once for a next, a window's length later for what is carried.
func (p *partition) idleUntil(entity uuid.UUID, since time.Time, window time.Duration) time.Time {
	if p.lanes[entity].next != nil {
		return since
	}
	return since.Add(window)
}

// window takes the items of the next window that is closed by now: those staged
// within its time, as many as one commit holds. It does not remove them.
func (p *partition) window(skip int, now time.Time, length time.Duration) ([]item, operation.CloseCause) {
	rest := p.queue[min(skip, len(p.queue)):]
	if len(rest) == 0 {
		return nil, operation.ClosedByDue
	}
	end := rest[0].staged.Add(length)
	n := 0
	for n < len(rest) && n < MaxWindow && !rest[n].staged.After(now) && (length == 0 || !rest[n].staged.After(end)) {
		n++
	}
	if n == MaxWindow {
		return rest[:n], operation.ClosedFull
	}
	if end.After(now) {
		return nil, operation.ClosedByDue
	}
	return rest[:n], operation.ClosedByTimer
}

// claimed is a partition that is being claimed or was handed to the engine, and the
// identity of that claim. Its reading begins before the claim is over, so that the broker
// has the consumer ready by then.
type claimed struct {
	claim ecsstore.Claim
	owned chan struct{} // closed when the engine has it: then claim is set
	stop  func()        // ends its reading
}

// result is what became of an attempt outside the commit.
type result struct {
	claim     *claimed
	entity    uuid.UUID
	opID      uuid.UUID
	attempt   int
	recovered bool // its worker went away
	builtin   bool // a pure system, to be executed in the commit after all
	patch     ecsstore.Patch
	err       error
	took      time.Duration
}
