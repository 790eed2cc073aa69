package consumer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// round is what the engine commits at a time: the drafts of the partitions that
// were ready, against one transaction.
type round struct {
	cfg    *Config
	limit  int // operations that a window may take
	now    time.Time
	until  time.Time // windows that have closed by then are planned
	tx     *ecsstore.Txn
	drafts []*draft
	found  map[operation.Ref]ecsstore.Found // parents that were looked up for it
	wanted map[operation.Ref]bool           // parents that have to be
	busy   *aloneSlot
	batch  ecsstore.Batch
	traced bool       // somebody wants traces
	span   trace.Span // of the round; one that does nothing if none is told

	supposed int // operations in windows that lack something and in those after

	summing *draft // the one that has checkpoints: one partition at a time, they may be large

	verbose bool // somebody reads of every window and event
}

// aloneSlot is the one place in which an operation runs alone in this worker: one
// that may kill it.
type aloneSlot struct{ op uuid.UUID }

// alone reports whether op may run alone now, and takes the place if so.
func (d *draft) alone(op *operation.Record) bool {
	if d.round.busy.op == uuid.Nil {
		d.round.busy.op = op.OpID
		d.tookAlone = true
	}
	return d.round.busy.op == op.OpID
}

// lacks reports what has to be loaded before the round can be planned.
func (r *round) lacks() ([]uuid.UUID, []operation.Ref) {
	refs := make([]operation.Ref, 0, len(r.wanted))
	for ref := range r.wanted {
		refs = append(refs, ref)
	}
	return r.tx.Missing(), refs
}

// room is how many messages of a batch a round may still use: the heads it writes
// and the checks of those it only read count too.
func (r *round) room() int {
	n := ecsstore.MaxBatch - len(r.tx.Writes()) - len(r.tx.Reads())
	for _, d := range r.drafts {
		n -= d.part.Size()
	}
	return n
}

// fits reports whether the draft planned last leaves the round small enough. One
// operation alone must fit.
func (r *round) fits(d *draft, limit int) bool {
	return r.room() >= 0 && (d.contenders <= maxContenders || limit == 1)
}

// add plans what the partition has ready, as many of its windows as there is room
// for, and reports whether the round can take more. The first draft of a round is cut
// down until there is room for it; later ones wait for the next round instead.
//
// A window that lacks something is no reason to stop: what the later ones lack, as far
// as can be told, is then loaded with it, for about as many as a commit holds. The round is
// planned again in any case.
func (r *round) add(p *partition) (more bool, lack error) {
	var base *draft
	for limit := r.limit; limit > 0; {
		d, err := r.plan(p, base, limit)
		switch {
		case missing(err):
			lack = err
		case err != nil: // after a window that is only supposed, it need not mean anything
			return true, cmp.Or(lack, err)
		}
		if lack != nil && d != nil {
			r.supposed += d.took
		}
		switch {
		case d == nil:
			return true, lack
		case lack != nil && r.supposed >= maxSupposed && r.fits(d, limit):
			return true, lack
		case r.fits(d, limit) && r.limit < MaxWindow:
			return true, lack // commits have failed: this one is to be small
		case r.fits(d, limit):
			base = d
		case r.room() < 0 && len(r.drafts) > 1:
			r.drop(d)
			return false, lack
		default:
			r.drop(d)
			limit /= 2
		}
	}
	return false, cmp.Or(lack, fmt.Errorf("partition %d: an operation does not fit into a commit", p.id))
}

// maxSupposed is how many operations a round plans from a window on that lacks something: as
// many as a commit holds where most of them lose.
const maxSupposed = ecsstore.MaxBatch / 2

// plan plans one window of a partition, after those of base. It returns nil if there
// is nothing to do, and what there is of the draft if it lacks something.
func (r *round) plan(p *partition, base *draft, limit int) (*draft, error) {
	d := newDraft(r, p, base)
	items, cause := p.window(d.skip, r.until, r.cfg.Window)
	if base != nil && len(items) == 0 {
		return nil, nil //nolint:nilnil // no draft, no error
	}
	if len(items) > limit {
		items, cause = items[:limit], operation.ClosedFull
	}
	did, err := d.plan(items, cause)
	if err != nil && !missing(err) {
		return nil, err
	}
	if !did && err == nil {
		r.tx.Rollback(d.mark)
		return nil, nil //nolint:nilnil // no draft, no error
	}
	r.drafts = append(r.drafts, d)
	return d, err
}

// drop takes back the draft planned last.
func (r *round) drop(d *draft) {
	r.tx.Rollback(d.mark)
	r.drafts = r.drafts[:len(r.drafts)-1]
	if r.summing == d {
		r.summing = nil
	}
	if d.tookAlone {
		r.busy.op = uuid.Nil
	}
}

// finish makes the batch of what was planned and reports whether there is one.
func (r *round) finish() bool {
	if len(r.drafts) == 0 {
		return false
	}
	r.batch = ecsstore.Batch{ID: uuid.NewString(), Writes: r.tx.Writes(), Reads: r.tx.Reads()}
	for _, d := range r.drafts {
		if d.base == nil {
			r.batch.Parts = append(r.batch.Parts, d.part)
			continue
		}
		join(&r.batch.Parts[len(r.batch.Parts)-1], &d.part)
	}
	for i := range r.batch.Parts {
		r.batch.Parts[i].Fence.BatchID = r.batch.ID
	}
	return true
}

// join appends the next window of the same partition to a part.
func join(part, next *ecsstore.Part) {
	part.Fence = next.Fence
	part.Windows = append(part.Windows, next.Windows...)
	part.Versions = append(part.Versions, next.Versions...)
	part.Events = append(part.Events, next.Events...)
	part.Dead = append(part.Dead, next.Dead...)
	for _, record := range next.Records {
		part.Records = put(part.Records, record)
	}
}

// partitions lists the partitions in the round.
func (r *round) partitions() []int {
	var out []int
	for _, d := range r.drafts {
		out = append(out, d.p.id)
	}
	slices.Sort(out)
	return slices.Compact(out) // a partition may have several windows in it
}
