package audit

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// A worker that claims a partition reads checkpoints instead of the decision records that
// they sum up: what they leave out is forgotten, and taken a second time (rule R9).

// tracked is what a partition has taken since its latest checkpoint. Its sum does not
// depend on the order.
type tracked struct {
	after  uint64 // where the latest checkpoint ends, 0 if there is none
	sum    uint64
	count  int
	since  time.Time // when the first of it was taken
	whole  bool      // all since the latest checkpoint, or since the ledger was handed on
	unsure bool      // it is not known where the latest one ends
}

func (t *tracked) add(o *summed, at time.Time) {
	if t.count == 0 {
		t.since = at
	}
	h := fnv.New64a()
	_, _ = h.Write(o.op[:])
	_, _ = h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, o.digest), o.window))
	t.sum += h.Sum64()
	t.count++
}

// judgeCheckpoints holds the checkpoints of a part to what was known of the partition
// before it.
func (a *auditor) judgeCheckpoints(part *part) {
	if len(part.sums) == 0 {
		return
	}
	p := a.partition(part.partition)
	begins := part.sums[0].sums.after
	told := tracked{after: begins}
	if last := p.sums.after; begins != last && begins > 0 && last > 0 {
		a.complain(Chain, spot{partition: p.id, sequences: []uint64{part.sums[0].sequence}},
			"the checkpoint begins after %d, and the latest one ends at %d (R9)", begins, last)
	}
	for _, s := range part.sums {
		c, at := s.sums, spot{partition: p.id, sequences: []uint64{s.sequence}}
		if c.after != told.after || c.through < c.after {
			a.complain(Chain, at, "the checkpoint goes from %d to %d, and the one before it ends at %d (R9)", c.after, c.through, told.after)
		}
		for i := range c.taken {
			o := &c.taken[i]
			if o.window <= c.after || o.window > c.through {
				a.complain(Chain, at, "the checkpoint goes from %d to %d, and tells of a window at %d (R9)", c.after, c.through, o.window)
			}
			told.add(o, s.at)
			a.judgeSummed(p, s, o.op, o.status, func(k known) bool { return k.digest == o.digest })
		}
		for _, o := range c.settled {
			a.judgeSummed(p, s, o.op, o.status, func(known) bool { return true })
		}
		told.after = c.through
	}
	last := part.sums[len(part.sums)-1]
	at := spot{partition: p.id, sequences: []uint64{last.sequence}}
	if p.seen && (last.sums.through != p.at || last.sums.chain != p.chain) {
		a.complain(Chain, at, "the checkpoint ends with decision record %s at %d, and the latest is %s at %d (R9)",
			last.sums.chain, last.sums.through, p.chain, p.at)
	}
	whole := p.sums.whole || p.whole && !p.sums.unsure
	expired := last.at.Sub(p.sums.since) >= a.retention-expirySlack // some of it, perhaps
	if whole && !expired && begins == p.sums.after && p.sums.count <= remembered && told.sum != p.sums.sum {
		a.complain(Idempotence, at, "the checkpoint tells of %d operations, and they are not the %d that were taken since the one before (R9)", told.count, p.sums.count)
	}
	p.sums = tracked{after: told.after, whole: true}
}

// judgeSummed holds what a checkpoint says of an operation to what is known of it.
func (a *auditor) judgeSummed(p *partition, s *stored, id uuid.UUID, status operation.Status, same func(known) bool) {
	at := spot{partition: p.id, sequences: []uint64{s.sequence}, op: id}
	k, ok := p.ledger.find(id)
	switch {
	case !ok && p.whole, ok && !same(k):
		a.complain(Idempotence, at, "the checkpoint tells of it with content that was not taken (R9)")
	case ok && k.terminal() != status.Terminal(), ok && k.terminal() && k.state() != status:
		a.complain(Idempotence, at, "the checkpoint has it as %s, and it is %s (R9)", status, k.state())
	}
}

// judgeCheckpointed holds the sequence that a fence names to the latest checkpoint. A
// build that knows none of them names none.
func (a *auditor) judgeCheckpointed(p *partition, f *operation.Fence, at spot) {
	last := p.sums.after
	switch {
	case f.Checkpoint == last:
	case f.Checkpoint == 0:
		p.sums = tracked{unsure: true}
	case last > 0 || p.sums.whole || p.whole && !p.sums.unsure:
		a.complain(Chain, at, "the fence names a checkpoint up to %d, and the latest one goes up to %d (R9)", f.Checkpoint, last)
	default:
		p.sums.after = f.Checkpoint
	}
}
