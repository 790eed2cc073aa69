package consumer

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// apply makes the engine's memory agree with a commit that was stored.
func (e *engine) apply(ctx context.Context, out committed) {
	for _, w := range out.round.batch.Writes {
		e.cache.put(w.Entity.ID, ecsstore.Head{Entity: w.Entity, Sequence: out.receipt.Heads[w.Entity.ID]}, e.foreign(w.Entity.ID))
	}
	e.cache.trim()
	part := -1
	for _, d := range out.round.drafts {
		e.logDraft(ctx, d)
		if d.base == nil {
			part++
		}
		if e.parts[d.p.id] != d.p {
			continue // it was given away meanwhile; the commit stands all the same
		}
		e.applyDraft(d, out, part)
		e.execute(ctx, d)
	}
	e.stats.commit(out)
	if out.round.tales() {
		e.launch(func() { e.tracing.tell(ctx, out.round, out.at) })
	}
}

// applyDraft replaces what the draft has changed of its partition.
func (e *engine) applyDraft(d *draft, out committed, part int) {
	p := d.p
	p.refused = 0
	p.fence, p.expect = out.round.batch.Parts[part].Fence, out.receipt.Fences[part]
	if d.base == nil {
		p.results = p.results[len(d.results):]
		e.rearm(d)
	}
	for entity, l := range d.lanes {
		if h := p.lanes[entity].holder; h != nil && h.OpID == e.busy.op && !same(l.holder, h) {
			e.busy.op = uuid.Nil
		}
		p.setLane(entity, l, out.round.now, e.cfg.GracePeriod)
	}
	e.free(d)
	p.queue = slices.Delete(p.queue, 0, d.took)
	e.staged -= d.took
	p.careful = max(p.careful-d.took, 0)
	if p.fence.Cursor >= p.claim.claim.Tail { // what has come since had no part in it
		p.careful = 0
	}
	// Window records of one part lie next to each other; the last is known.
	windows := out.round.batch.Parts[part].Windows
	behind := windows[len(windows)-1].Number - d.window.Number
	if len(d.part.Checkpoints) > 0 {
		p.ledger.checkpointed()
	}
	p.ledger.add(out.receipt.Windows[part]-behind, d.window.Taken, d.window.Settled)
	e.stats.decided(p.id, d, &p.fence)
}

// same reports whether a and b are records of one operation.
func same(a, b *operation.Record) bool { return a != nil && b != nil && a.OpID == b.OpID }

// free gives the place for an operation that runs alone back once it has ended.
func (e *engine) free(d *draft) {
	if e.busy.op == uuid.Nil {
		return
	}
	for _, l := range d.lanes {
		if l.holder != nil && l.holder.OpID == e.busy.op && l.holder.Status == operation.Executing {
			return
		}
	}
	if end, ok := d.known[e.busy.op]; ok && end.status != operation.Executing {
		e.busy.op = uuid.Nil
	}
}

// rearm takes the alarms that have gone off and sets those of lanes again that
// still have something due.
func (e *engine) rearm(d *draft) {
	for _, entity := range d.p.alarms.take(d.round.now) {
		if _, changed := d.lanes[entity]; changed {
			continue // setting the lane sets its alarm
		}
		if at, ok := d.p.lanes[entity].due(e.cfg.GracePeriod); ok {
			d.p.alarms.add(at, entity)
		}
	}
}

// execute starts the attempts that the stored draft announced.
func (e *engine) execute(ctx context.Context, d *draft) {
	for _, r := range d.runs {
		out := result{claim: d.p.claim, entity: r.Operation.Target, opID: r.OpID, attempt: r.Attempt}
		system, slow := e.cfg.Slow[r.Operation.Type]
		if !slow {
			out.builtin = true
			d.p.results = append(d.p.results, out)
			continue
		}
		task := ecsstore.Task{Operation: r.Operation, Head: d.round.tx.Peek(r.Operation.Target), Attempt: r.Attempt}
		e.attempt(func() { e.runSlow(ctx, system, task, slowRun{record: r, round: d.round, out: out}) })
	}
}

// slowRun is one attempt of a slow system.
type slowRun struct {
	record *operation.Record
	round  *round // that announced it
	out    result
}

// runSlow runs one attempt of a slow system and hands its result to the engine.
func (e *engine) runSlow(ctx context.Context, system ecsstore.SlowSystem, task ecsstore.Task, run slowRun) {
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-e.slots }()
	out := run.out
	traced, span := e.tracing.attempt(ctx, run.record, run.round.span)
	out.patch, out.took, out.err = attempt(traced, system, task, e.cfg.timeout(system))
	e.tracing.attempted(span, out.err)
	if ctx.Err() != nil {
		return // the worker is stopping: the next owner finds the operation executing
	}
	select {
	case e.results <- out:
	case <-ctx.Done():
	}
}

// attempt calls a slow system with its timeout; a panic is a failed attempt.
func attempt(ctx context.Context, system ecsstore.SlowSystem, task ecsstore.Task, timeout time.Duration) (patch ecsstore.Patch, took time.Duration, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = operation.Retryable(operation.SystemFailed, "the system of %s panicked: %v", task.Operation.Type, p)
		}
		took = time.Since(began)
	}()
	patch, err = system.Run(ctx, task)
	if failure := (*operation.Failure)(nil); err == nil || errors.As(err, &failure) {
		return patch, took, err
	}
	switch {
	case ctx.Err() != nil:
		err = operation.Retryable(operation.Timeout, "the system of %s took more than %v", task.Operation.Type, timeout)
	case errors.Is(err, context.DeadlineExceeded): // one that the system set itself
		err = operation.Retryable(operation.Timeout, "%v", err)
	}
	return patch, took, err
}

// maxRefusals is how many commits of a partition may be refused in a row before a worker asks
// whether it still owns it, and makes its rounds smaller.
const maxRefusals = 2

// refused has the round planned again. Another commit was first, or is under way: of the
// heads that this one writes or relies on (rule R18), as a rule, so that it is enough to
// read them afresh. If that does not help, the partition may be another's now, and the less
// a round relies on, the less can change meanwhile.
func (e *engine) refused(ctx context.Context, out committed) {
	e.undo(out.round)
	e.stats.refusal(refusedCommit)
	for _, w := range out.round.batch.Writes {
		e.cache.drop(w.Entity.ID)
	}
	for _, r := range out.round.batch.Reads {
		e.cache.drop(r.ID)
	}
	parts := out.round.partitions()
	e.log.DebugContext(ctx, "commit refused", slog.Any("error", out.err), slog.Int("partitions", len(parts)))
	e.fails++
	e.resume = time.Now().Add(refusedPause(e.fails))
	for _, id := range parts {
		p := e.parts[id]
		if p == nil {
			continue
		}
		if p.refused++; p.refused > maxRefusals {
			e.doubts[id] = true
		}
	}
	if len(e.doubts) == 0 {
		return
	}
	if len(parts) > 1 {
		e.solo = len(parts)
	} else {
		e.limit = max(e.limit/2, 1)
	}
}

// refusedPause is how long to wait after so many refusals in a row. It is a matter of
// chance, so that two workers do not go on getting in each other's way.
func refusedPause(fails int) time.Duration {
	return rand.N(min(time.Duration(fails)*4*time.Millisecond, time.Second)) //nolint:gosec // no secret
}
