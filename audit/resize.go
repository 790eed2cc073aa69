package audit

import (
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// judgePartitions holds the number of partitions to what it was: it changes with
// windows that do nothing else, and only when nothing lives (rule R23).
func (a *auditor) judgePartitions(p *partition, w *window, at spot) {
	resized := w.cause == operation.ClosedByResize
	if resized && len(p.lives) > 0 {
		a.complain(Tiling, at, "window %s changes the number of partitions, and %d operations live (R23)", w.id, len(p.lives))
	}
	if resized && len(w.taken)+len(w.settled)+len(w.decisions) > 0 {
		a.complain(Tiling, at, "window %s changes the number of partitions, and does something else (R23)", w.id)
	}
	if w.partitions == 0 {
		return
	}
	if a.partitions > 0 && a.partitions != w.partitions && !resized {
		a.complain(Tiling, at, "by window %s there are %d partitions, and there are %d (R23)", w.id, w.partitions, a.partitions)
	}
	a.partitions = w.partitions
}

// judgePages holds a commit of pages to what a change of the number of partitions does:
// it writes them while it has the fence, and nothing else.
func (a *auditor) judgePages(c *commit, part *part) {
	for _, s := range c.fences {
		if s.partition == part.partition && s.fence.Resizing == 0 {
			a.complain(Tiling, spot{partition: s.partition, sequences: []uint64{s.sequence}},
				"the ledger is rewritten, and the number of partitions is not being changed (R9)")
		}
	}
	k := &walk{a: a, c: c, p: a.partition(part.partition), part: part}
	for _, s := range part.ledger {
		k.recall(s)
	}
}

// recall enters what a partition remembers of operations that others took before the
// number of partitions was changed (rule R9).
func (k *walk) recall(s *stored) {
	for i := range s.ledger {
		t := &s.ledger[i]
		old, ok := k.a.taken(t.op, t.digest)
		if k.a.whole && !ok {
			k.complain(Idempotence, s, t.op, "it is remembered with content %016x, and no partition has taken that (R9)", t.digest)
		}
		if ok && old.state() != t.status {
			k.complain(Idempotence, s, t.op, "it is remembered as %s, and it is %s (R9)", t.status, old.state())
		}
		if _, ok := k.p.ledger.find(t.op); ok {
			continue
		}
		k.p.ledger.enter(t.op, known{
			target: hashOf(t.target),
			digest: t.digest, at: uint32(s.at.Unix()), ended: s.sequence, status: statusIndex(t.status), //nolint:gosec // small
		})
	}
}

// taken returns what any partition remembers of an operation with some content.
func (a *auditor) taken(op uuid.UUID, digest uint64) (known, bool) {
	for _, p := range a.parts {
		if k, ok := p.ledger.find(op); ok && k.digest == digest {
			return k, true
		}
	}
	return known{}, false
}
