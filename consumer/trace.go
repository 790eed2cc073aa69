package consumer

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Traces are told when a commit is stored, of what the commit holds: a round that is
// refused leaves nothing behind, in traces as elsewhere. While a round is planned it is
// only noted what there will be to tell, and only of operations whose trace is
// recorded; see [tracing] for the telling.

// origin is the trace context of an operation: the span of its publisher, or that of
// its reception where the publisher has none.
type origin struct{ parent, state string }

func (o origin) sampled() bool { return traceheader.Sampled(o.parent) }

func originOf(r *operation.Record) origin { return origin{r.TraceParent, r.TraceState} }

// tale is what a draft has to tell of one operation.
type tale struct {
	origin  origin
	about   operation.Detail     // as of the latest step
	staged  time.Time            // zero if an earlier window took it
	verdict *operation.Contender // nil if it did not contend
	steps   []note
	order   int // among the tales of its draft
}

// note is an event about an operation. Where it ends an attempt that was made within
// the commit, ran says when that was.
type note struct {
	kind   operation.Kind
	detail any
	ran    stretch
}

// stretch is a stretch of time, zero if there is none.
type stretch struct{ began, ended time.Time }

// taleOf returns the tale of an operation, nil if its trace is not recorded.
func (d *draft) taleOf(id uuid.UUID, from origin) *tale {
	if !d.round.traced || !from.sampled() {
		return nil
	}
	t, ok := d.tales[id]
	if !ok {
		if d.tales == nil {
			d.tales = map[uuid.UUID]*tale{}
		}
		t = &tale{origin: from, order: len(d.tales)}
		d.tales[id] = t
	}
	return t
}

// noteArrival notes that the window takes an operation.
func (d *draft) noteArrival(id uuid.UUID, it *item) {
	if t := d.taleOf(id, it.origin); t != nil {
		t.staged = it.staged
	}
}

// noteVerdicts notes what was decided of contenders.
func (d *draft) noteVerdicts(decision *operation.Decision, all map[uuid.UUID]*operation.Record) {
	if !d.round.traced {
		return
	}
	for i := range decision.Contenders {
		c := &decision.Contenders[i]
		r := all[c.OpID]
		if t := d.taleOf(c.OpID, originOf(r)); t != nil {
			t.verdict, t.about = c, d.detail(r)
		}
	}
}

// noteStep notes an event.
func (d *draft) noteStep(kind operation.Kind, from origin, detail any) {
	if !d.round.traced || !from.sampled() {
		return
	}
	about, id := aboutOf(detail)
	if kind == operation.CancelRefusedEvent {
		id = detail.(*operation.CancelDetail).CancelID
	}
	if about == nil {
		return
	}
	t := d.taleOf(id, from)
	t.about = *about
	s := note{kind: kind, detail: detail}
	if kind == operation.CompletedEvent || kind == operation.FailedEvent {
		s.ran = d.ran
	}
	t.steps = append(t.steps, s)
}

// aboutOf returns whom the detail of an event is about. A conflict is about several,
// whom their verdicts are noted of.
func aboutOf(detail any) (*operation.Detail, uuid.UUID) {
	switch d := detail.(type) {
	case *operation.StartedDetail:
		return &d.Detail, d.OpID
	case *operation.CompletedDetail:
		return &d.Detail, d.OpID
	case *operation.FailedDetail:
		return &d.Detail, d.OpID
	case *operation.RetryDetail:
		return &d.Detail, d.OpID
	case *operation.RejectedDetail:
		return &d.Detail, d.OpID
	case *operation.CancelDetail:
		return &d.Detail, d.OpID
	}
	return nil, uuid.Nil
}

// told lists the tales of a draft: those that gave way to another after the others, so
// that there is something to refer to.
func (d *draft) told() []*tale {
	return slices.SortedFunc(maps.Values(d.tales), func(a, b *tale) int {
		if behind := cmp.Compare(oneIf(a.winner() != uuid.Nil), oneIf(b.winner() != uuid.Nil)); behind != 0 {
			return behind
		}
		return cmp.Compare(a.order, b.order)
	})
}

// winner returns whom the operation was rejected for.
func (t *tale) winner() uuid.UUID {
	for _, s := range t.steps {
		if d, ok := s.detail.(*operation.RejectedDetail); ok {
			return d.WinnerOpID
		}
	}
	return uuid.Nil
}

// tales reports whether the round has anything to tell.
func (r *round) tales() bool {
	return slices.ContainsFunc(r.drafts, func(d *draft) bool { return len(d.tales) > 0 })
}
