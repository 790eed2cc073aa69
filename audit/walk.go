package audit

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// walk goes through what one partition has in a commit, in the order in which it
// happened, and drives the model with it.
type walk struct {
	a    *auditor
	c    *commit
	p    *partition
	part *part

	index     int                      // of the window that the events have come to
	fresh     map[uuid.UUID]*newcomer  // operations that were taken
	queues    map[uuid.UUID][]*contest // decisions not yet carried out, by entity
	ends      map[uuid.UUID]*stored    // terminal events by operation
	cancels   map[uint64]*cancelling   // by sequence
	dead      map[uint64]*stored       // dead letters by sequence
	versions  map[versionKey]*stored   // not yet told of
	touched   map[uuid.UUID]*life      // operations that an event was about
	condemned []*life                  // those that a decision lets end
}

// newcomer is an operation that a window of the commit took.
type newcomer struct {
	life   *life
	window int // index in the part
	taken  *taken
	met    bool // a decision has it as a contender
}

// contest is a decision of a window.
type contest struct {
	window   int // index in the part
	decision *decision
}

// cancelling is a cancellation that was taken. Sub is nil if it is not there any more.
type cancelling struct {
	window   int // index in the part
	sub      *submission
	answered bool
}

type versionKey struct {
	entity uuid.UUID
	number uint64
}

// judgePart holds what one partition has in a commit to the invariants.
func (a *auditor) judgePart(c *commit, part *part) {
	a.judgeCheckpoints(part)
	a.judgeWindows(c, part)
	k := &walk{
		a: a, c: c, p: a.partition(part.partition), part: part,
		fresh: map[uuid.UUID]*newcomer{}, queues: map[uuid.UUID][]*contest{}, ends: map[uuid.UUID]*stored{},
		cancels: map[uint64]*cancelling{}, dead: map[uint64]*stored{}, versions: map[versionKey]*stored{},
		touched: map[uuid.UUID]*life{},
	}
	for _, s := range part.dead {
		k.dead[s.dead.sequence] = s
	}
	for _, s := range part.versions {
		k.versions[versionKey{s.version.entity, s.version.number}] = s
	}
	for i, s := range part.windows {
		k.take(i, s)
		k.decisions(i, s)
	}
	for _, s := range part.events {
		k.event(s)
	}
	for _, s := range part.ledger {
		k.recall(s)
	}
	k.advance(len(part.windows))
	k.finish()
}

// decisions queues the decisions of a window.
func (k *walk) decisions(index int, s *stored) {
	w := s.window
	k.a.report.Counts.Windows++
	for _, f := range w.faults {
		k.a.complain(f.invariant, spot{partition: k.p.id, sequences: []uint64{s.sequence}, entity: f.entity, op: f.op}, "window %s: %s", w.id, f.message)
	}
	for i := range w.decisions {
		d := &w.decisions[i]
		if len(d.contenders) == 0 {
			continue // it has been complained of
		}
		k.a.report.Counts.Decisions++
		k.belongs(s, d.first().op, d.entity.String())
		k.queues[d.entity] = append(k.queues[d.entity], &contest{window: index, decision: d})
	}
}

// complain reports a violation that a message of the part shows.
func (k *walk) complain(i Invariant, s *stored, op uuid.UUID, format string, args ...any) {
	at := spot{partition: k.p.id, sequences: []uint64{s.sequence}, op: op}
	if s.event != nil {
		at.entity = s.event.entity
	}
	k.a.complain(i, at, format, args...)
}

// window returns the message of the window with an index.
func (k *walk) window(index int) *stored { return k.part.windows[min(index, len(k.part.windows)-1)] }

// advance carries out the decisions of windows before index that no event tells of.
func (k *walk) advance(index int) {
	if index <= k.index {
		return
	}
	k.index = index
	for entity := range k.queues {
		for q := k.queues[entity]; len(q) > 0 && q[0].window < index; q = k.queues[entity] {
			k.silently(entity, false)
		}
	}
}

// silently carries out the next decision over an entity, of which no conflict event
// tells. Another one may.
func (k *walk) silently(entity uuid.UUID, told bool) {
	x := k.queues[entity][0]
	if d := x.decision; len(d.contenders) > 1 {
		s := k.window(x.window)
		k.a.complain(Agreement, spot{partition: k.p.id, sequences: []uint64{s.sequence}, entity: entity, op: d.first().op},
			"window %s decides between %d contenders, and no conflict event tells of it (R4)", s.window.id, len(d.contenders))
	}
	k.resolve(entity, told)
}

// reveals moves on to the window that an event was made in, if that can be told.
func (k *walk) reveals(number uint64) {
	for i := k.index; i < len(k.part.windows); i++ {
		if k.part.windows[i].window.number == number {
			k.advance(i)
		}
	}
}

// event drives the model with an event.
func (k *walk) event(s *stored) {
	e := s.event
	if last := k.part.last(); string(e.worker) != last.owner {
		k.complain(Owners, s, e.op, "it tells of worker %s in a commit of %s", e.worker, last.owner)
	}
	switch e.kind {
	case operation.ConflictEvent:
		k.conflict(s)
		return
	case operation.CancelRefusedEvent:
		k.cancelRefused(s)
		return
	case operation.StartedEvent, operation.CompletedEvent, operation.FailedEvent, operation.RetryEvent,
		operation.RejectedEvent, operation.CancelledEvent:
	}
	f := k.life(s)
	if f == nil {
		return
	}
	k.touched[f.id] = f
	f.recorded = false
	if f.vague {
		k.introduce(s, f)
	}
	k.agrees(s, f)
	switch e.kind { //nolint:exhaustive // the others were handled above
	case operation.StartedEvent:
		k.started(s, f)
	case operation.CompletedEvent:
		k.completed(s, f)
	case operation.FailedEvent:
		k.failed(s, f)
	case operation.RetryEvent:
		k.retry(s, f)
	case operation.RejectedEvent:
		k.rejected(s, f)
	case operation.CancelledEvent:
		k.cancelled(s, f)
	}
}

// life returns the life that an event is about. If it has ended, or never begun,
// that is a violation.
func (k *walk) life(s *stored) *life {
	e := s.event
	if f := k.p.lives[e.op]; f != nil {
		return f
	}
	old, taken := k.p.ledger.find(e.op)
	_, now := k.ends[e.op]
	switch {
	case now || taken && old.terminal():
		k.complain(OneOutcome, s, e.op, "%s: it had ended as %s before", e.kind, old.state())
		return nil
	case k.p.whole:
		k.complain(NoGhost, s, e.op, "%s: it was never taken", e.kind)
		return nil
	}
	return k.p.stranger(e.op)
}

// agrees holds an event to what is known of its operation.
func (k *walk) agrees(s *stored, f *life) {
	e := s.event
	switch {
	case f.own == 0:
		f.own = e.own
	case e.own != f.own:
		k.complain(Agreement, s, f.id, "%s says that its priority is %s, and it is %s", e.kind, e.own, f.own)
	}
	if f.entity == uuid.Nil && f.target == "" {
		f.entity, f.target = e.entity, e.target
	}
	switch {
	case e.sequence != f.sequence:
		k.complain(Agreement, s, f.id, "%s says that it was submitted as %d, and it was %d", e.kind, e.sequence, f.sequence)
	case e.entity != f.entity:
		k.complain(Agreement, s, f.id, "%s is about entity %s, and its target is %s", e.kind, e.target, f.entity)
	}
}

// decided holds an event to what the decision over its operation says.
func (k *walk) decided(s *stored, f *life) {
	e := s.event
	switch {
	case f.effective == 0:
		f.effective = e.effective
	case e.effective != f.effective:
		k.complain(Inheritance, s, f.id, "%s says that its effective priority is %s, it entered its window with %s (R1)", e.kind, e.effective, f.effective)
	}
	if e.window != f.window {
		k.complain(Agreement, s, f.id, "%s says that window %d decided, and it was %d", e.kind, e.window, f.window)
	}
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
