package consumer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// maxStaged is how many operations the engine holds in memory at most, in all
// partitions together; the rest stays with the broker (rule R24).
const maxStaged = 4096

// maxQueued is how many operations that were read wait for the engine beside those.
const maxQueued = 512

// engine owns the partitions of a worker and does all the deciding. Its run method
// is one goroutine; what others do for it (claims, reads, commits, slow systems)
// comes back through its channels.
type engine struct {
	cfg     *Config
	store   Store
	log     *slog.Logger
	stats   *stats
	health  *health
	tracing *tracing

	items    chan item
	claims   chan *claimed
	drops    chan drop
	results  chan result
	loaded   chan loaded
	stored   chan committed
	advances chan map[int]uint64 // maintenance: cursors that idle partitions may move to
	looks    chan chan<- map[int]Standing
	lost     func(partition int, err error)
	launch   func(func()) // runs a function in a goroutine that the worker waits for
	attempt  func(func()) // likewise an attempt of a slow system, for which it waits only so long

	parts  map[int]*partition
	turn   int // the partition that is planned first, in turn
	staged int // operations in all queues
	cache  *cache
	slots  chan struct{} // one for each slow system that may run
	busy   aloneSlot
	found  map[operation.Ref]ecsstore.Found // parents looked up for the round under way
	doubts map[int]bool                     // partitions whose commit was refused: whose are they?
	limit  int                              // operations that a window may take
	solo   int                              // rounds still to be made of one partition only
	fails  int                              // commits refused in a row
	resume time.Time                        // no round before
	asOf   time.Time                        // until when windows closed of the round that is being loaded for; zero if none is
	away   bool                             // a round is loading or being committed
}

// drop asks the engine to let go of partitions; done is closed when it has.
type drop struct {
	partitions []int
	abandon    bool // do not release them
	done       chan struct{}
}

// committed is the broker's answer to a round.
type committed struct {
	round   *round
	receipt ecsstore.Receipt
	at      time.Time
	took    time.Duration
	err     error
}

// run is the engine's goroutine. It returns when ctx is done and no round is away.
// work is the context of what the engine starts; it outlives ctx for a moment so
// that what was begun can be finished.
func (e *engine) run(ctx, work context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil || e.away {
		if ctx.Err() == nil && !e.away {
			e.obey(work)
			e.begin(work, time.Now())
		}
		e.health.beat(time.Now(), e.away || e.staged > 0)
		timer.Reset(time.Until(e.wakes()))
		items := e.items
		if e.staged >= maxStaged {
			items = nil
		}
		drops, done := e.drops, ctx.Done()
		if e.away { // what a commit under way says of a partition is still to come
			drops, done = nil, nil
		}
		select {
		case it := <-items:
			e.stage(it)
		case c := <-e.claims:
			e.own(c)
		case d := <-drops:
			e.drop(work, d)
		case out := <-e.results:
			e.note(out)
		case got := <-e.loaded:
			e.reload(got)
		case out := <-e.stored:
			e.settle(work, out)
		case cursors := <-e.advances:
			e.offer(cursors)
		case reply := <-e.looks:
			reply <- e.standings() // the one who asks has room for it
		case <-timer.C:
		case <-done:
		}
	}
}

// stage queues an operation, and those that have come meanwhile.
func (e *engine) stage(it item) {
	for now := time.Now(); ; {
		it.staged = now
		if p := e.parts[it.claim.claim.Fence.Partition]; p != nil && p.claim == it.claim && it.sequence > p.read {
			p.queue = append(p.queue, it)
			p.read = it.sequence
			e.staged++
		}
		if e.staged >= maxStaged {
			return
		}
		select {
		case it = <-e.items:
		default:
			return
		}
	}
}

func (e *engine) own(c *claimed) {
	p := newPartition(c, e.cfg)
	e.disown(p.id)
	e.parts[p.id] = p
	e.stats.owned(p.id, &p.fence)
}

// disown forgets a partition and stops reading it.
func (e *engine) disown(id int) {
	p, ok := e.parts[id]
	if !ok {
		return
	}
	p.claim.stop()
	e.staged -= len(p.queue)
	for _, l := range p.lanes {
		if l.holder != nil && l.holder.OpID == e.busy.op {
			e.busy.op = uuid.Nil
		}
	}
	delete(e.parts, id)
	delete(e.doubts, id)
	e.cache.dropAll(func(entity uuid.UUID) bool { return e.partition(entity) == id })
	e.stats.disowned(id)
}

// obey lets go of what it was asked to, before the next round: an engine that is never
// without one would hear of it too late.
func (e *engine) obey(ctx context.Context) {
	for {
		select {
		case d := <-e.drops:
			e.drop(ctx, d)
		default:
			return
		}
	}
}

// partition returns the partition of an entity.
func (e *engine) partition(entity uuid.UUID) int {
	return subjects.Partition(entity, e.store.Partitions())
}

// foreign reports whether an entity is of a partition that this worker does not own.
func (e *engine) foreign(entity uuid.UUID) bool { return e.parts[e.partition(entity)] == nil }

// drop forgets partitions and releases those that the engine has.
func (e *engine) drop(ctx context.Context, d drop) {
	var held []ecsstore.Held
	for _, id := range d.partitions {
		if p, ok := e.parts[id]; ok && !d.abandon {
			held = append(held, p.held())
		}
		e.disown(id)
	}
	e.launch(func() {
		defer close(d.done)
		e.letGo(ctx, held)
	})
}

// note takes the result of an attempt that ended outside the commit.
func (e *engine) note(out result) {
	if p := e.parts[out.claim.claim.Fence.Partition]; p != nil && p.claim == out.claim {
		p.results = append(p.results, out)
	}
}

// offer lets idle partitions move their cursors on.
func (e *engine) offer(cursors map[int]uint64) {
	for id, cursor := range cursors {
		if p := e.parts[id]; p != nil {
			p.advance = cursor
		}
	}
}

// pulseEvery is how often an engine that has nothing to do shows that it is there.
const pulseEvery = 2 * time.Second

// wakes returns when there is something to do next.
func (e *engine) wakes() time.Time {
	at := time.Now().Add(pulseEvery)
	if e.away {
		return at
	}
	for _, p := range e.parts {
		if t, ok := p.wakes(e.cfg.Window, e.busy.op == uuid.Nil); ok && t.Before(at) {
			at = t
		}
	}
	if at.Before(e.resume) {
		return e.resume
	}
	return at
}

// begin plans a round of the partitions that are ready, and sends it off, or what
// it has to read first.
func (e *engine) begin(ctx context.Context, now time.Time) {
	if now.Before(e.resume) {
		return
	}
	if len(e.doubts) > 0 {
		e.inspect(ctx)
		return
	}
	until := now
	if !e.asOf.IsZero() { // the same windows again, or it would never have all that it lacks
		until, e.asOf = e.asOf, time.Time{}
	}
	ready := e.ready(now)
	if len(ready) == 0 {
		return
	}
	r := &round{
		cfg: e.cfg, traced: e.tracing != nil, verbose: e.log.Enabled(ctx, slog.LevelDebug), limit: e.limit, now: now.UTC(), until: until, tx: ecsstore.NewTxn(e.cache.get),
		found: e.found, wanted: map[operation.Ref]bool{}, busy: &e.busy,
	}
	before := e.busy
	lacking, err := e.plan(r, ready)
	switch {
	case err != nil:
		e.busy = before
		e.log.ErrorContext(ctx, "planning a round", slog.Any("error", err))
		e.pause(now)
	case lacking:
		e.busy, e.asOf = before, until
		e.load(ctx, r)
	case r.finish():
		e.turn++
		e.commit(ctx, r)
	default:
		for _, p := range ready {
			p.rest(r.now, e.cfg.GracePeriod)
		}
	}
}

// ready lists the partitions that have something to do, each first in its turn.
func (e *engine) ready(now time.Time) []*partition {
	var out []*partition
	for _, p := range e.parts {
		if at, ok := p.wakes(e.cfg.Window, e.busy.op == uuid.Nil); ok && !at.After(now) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, func(a, b *partition) int { return a.id - b.id })
	first := e.turn % len(out)
	out = slices.Concat(out[first:], out[:first])
	if e.solo > 0 {
		return out[:1]
	}
	return out
}

// plan plans the round. It reports whether something has to be loaded first: then
// all of the round is planned again, which costs little since planning is pure.
func (*engine) plan(r *round, ready []*partition) (lacking bool, err error) {
	for _, p := range ready {
		more, err := r.add(p)
		if err != nil && !missing(err) {
			return false, err
		}
		lacking = lacking || err != nil // go on: the others may lack something too
		if !more {
			break
		}
	}
	return lacking, nil
}

// storeTimeout bounds one thing that is done with the broker: a commit, a claim, a release.
const storeTimeout = 5 * time.Second

// commit sends the round off.
func (e *engine) commit(ctx context.Context, r *round) {
	e.away = true
	e.launch(func() {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		began := time.Now()
		ctx, r.span = e.tracing.resolve(ctx, r)
		receipt, err := e.store.Commit(ctx, &r.batch)
		now := time.Now()
		e.tracing.resolved(r.span, now, err)
		e.stored <- committed{round: r, receipt: receipt, at: now, took: now.Sub(began), err: err}
	})
}

// pause keeps the engine from planning for a moment, longer with each failure in a
// row.
func (e *engine) pause(now time.Time) {
	e.fails++
	e.resume = now.Add(min(time.Duration(e.fails)*5*time.Millisecond, time.Second))
}

// settle applies a commit that was stored, and finds out what to do about one that
// was not.
func (e *engine) settle(ctx context.Context, out committed) {
	e.away = false
	e.outdate()
	defer e.cache.over()
	switch {
	case out.err == nil:
		e.fails = 0
		e.solo = max(e.solo-1, 0)
		e.limit = min(e.limit*2, MaxWindow)
		e.health.committed()
		e.apply(ctx, out)
	case errors.Is(out.err, ecsstore.ErrTooLarge):
		e.undo(out.round)
		e.stats.refusal(tooLargeCommit)
		e.solo = len(out.round.partitions())
		e.limit = max(e.limit/2, 1)
		e.pause(time.Now())
	case errors.Is(out.err, ecsstore.ErrRefused):
		e.refused(ctx, out)
	case errors.Is(out.err, ecsstore.ErrBusy):
		e.undo(out.round)
		e.stats.refusal(busyBroker)
		e.log.WarnContext(ctx, "the broker is busy", slog.Any("error", out.err))
		e.pause(time.Now())
	default:
		e.undo(out.round)
		e.stats.refusal(unknownCommit)
		for _, id := range out.round.partitions() {
			e.disown(id)
			e.lost(id, out.err)
		}
	}
}

// undo gives back what planning the round had taken of the engine.
func (e *engine) undo(r *round) {
	for _, d := range r.drafts {
		if d.tookAlone {
			e.busy.op = uuid.Nil
		}
	}
}
