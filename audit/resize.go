package audit

import (
	"slices"

	"github.com/hierarchy-events/hierarchy/operation"
)

// judgePartitions holds the number of partitions to what it was: it changes with
// windows that do nothing else (rule R23).
func (a *auditor) judgePartitions(p *partition, w *window, at spot) {
	resized := w.cause == operation.ClosedByResize
	if resized && len(w.taken)+len(w.settled)+len(w.decisions) > 0 {
		a.complain(Tiling, at, "window %s changes the number of partitions, and does something else (R23)", w.id)
	}
	if w.partitions == 0 {
		return
	}
	if a.partitions > 0 && a.partitions != w.partitions && !resized {
		a.complain(Tiling, at, "by window %s there are %d partitions, and there are %d (R23)", w.id, w.partitions, a.partitions)
	}
	a.partitions, p.of = w.partitions, w.partitions
}

// resizes reports whether the commit changes the number of partitions, or undoes that.
func (c *commit) resizes() bool {
	return slices.ContainsFunc(c.parts, func(p *part) bool {
		return slices.ContainsFunc(p.windows, func(s *stored) bool { return s.window.cause == operation.ClosedByResize })
	})
}

// judgeResize holds a commit that changes the number of partitions to what such a
// change is (rule R23): one for all partitions that there were or will be, by which
// nothing lives. from is how many there were, 0 if no record has told.
func (a *auditor) judgeResize(c *commit, from int) {
	if !c.resizes() {
		return
	}
	at := spot{partition: nowhere, sequences: []uint64{c.first, c.end}}
	a.judgeSize(c, from, at)
	for _, p := range a.parts {
		for id, f := range p.lives {
			if !f.stranger { // of which the end may be gone
				a.complain(Tiling, spot{partition: p.id, sequences: at.sequences, entity: f.entity, op: id},
					"it lives, and the number of partitions changes (R23)")
			}
		}
	}
	a.nextGeneration(c, at)
	a.handOn(c, from, at)
}

// judgeSize wants a change to have each partition from the first to the last once.
func (a *auditor) judgeSize(c *commit, from int, at spot) {
	for i, part := range c.parts {
		if len(part.windows) != 1 || part.partition != i || part.last().cause != operation.ClosedByResize || part.last().partitions != a.partitions {
			a.complain(Tiling, at, "the number of partitions changes to %d, and of partition %d the commit does not say just that (R23)", a.partitions, i)
			break
		}
	}
	size, least := len(c.parts), max(from, a.partitions)
	// What is undone before it was done has the partitions that would have been.
	if size < least || size > least && from > 0 && from != a.partitions {
		a.complain(Tiling, at, "the number of partitions changes from %d to %d, and the commit is of %d (R23)", from, a.partitions, size)
	}
	// Fences stand first. Most are replaced before they are read, but leave their places.
	if n := c.inner - c.first; n != uint64(size) { //nolint:gosec // a length
		a.complain(Tiling, at, "the number of partitions changes, and the commit has %d fences for %d partitions (R23)", n, size)
	}
}

// nextGeneration begins the generation of a change. The first partition is in each.
func (a *auditor) nextGeneration(c *commit, at spot) {
	first := a.partition(0)
	next, known := first.generation+1, first.dated
	if !known && len(c.fences) > 0 {
		next, known = c.fences[0].fence.Generation, true
	}
	for _, part := range c.parts {
		if part.partition == nowhere {
			continue
		}
		p := a.partition(part.partition)
		if known && p.dated && next <= p.generation {
			a.complain(Epochs, at, "generation %d begins, and partition %d was of generation %d (R23)", next, p.id, p.generation)
		}
		p.generation, p.dated = next, known
	}
}

// judgeGeneration holds the number and the generation that a fence names to those that
// the changes of the number of partitions have come to (rule R23).
func (a *auditor) judgeGeneration(p *partition, f *operation.Fence, at spot) {
	if p.dated && f.Generation != p.generation {
		a.complain(Epochs, at, "the fence is of generation %d, and by the changes of the number of partitions it is generation %d (R23)",
			f.Generation, p.generation)
	}
	if p.of > 0 && f.Partitions != p.of {
		a.complain(Tiling, at, "the fence says that there are %d partitions, and there are %d (R23)", f.Partitions, p.of)
	}
}
