package audit

import (
	"encoding/hex"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// partition is the model of a partition.
type partition struct {
	id    int
	seen  bool // a decision record of it was read
	whole bool // all of them were

	begins uint64 // number of the first window that was judged, 0 before
	number uint64 // of its latest window
	cursor uint64
	passed uint64 // the highest cursor of the windows that were judged
	chain  string // hash of its latest decision record,
	at     uint64 // and where that lies
	epoch  uint64
	owner  string

	fence    uint64 // where its fence was at its latest commit, 0 if unknown
	fenced   uint64 // epoch of that fence
	released bool

	generation uint64 // of its fence,
	dated      bool   // if that is known
	of         int    // partitions that its fence says there are, 0 if unknown

	tally operation.Counts  // of the windows that were read
	base  *operation.Counts // what was counted before those, once a fence has told

	sums   tracked // what the next checkpoint has to tell
	ledger ledger
	handed ledger              // what it was handed on by a change of the number of partitions that goes on
	lives  map[uuid.UUID]*life // operations that were taken and have not ended
	lanes  map[uuid.UUID]*lane // of the entities that are held or waited for
}

func (a *auditor) partition(id int) *partition {
	p := a.parts[id]
	if p == nil {
		p = &partition{id: id, lives: map[uuid.UUID]*life{}, lanes: map[uuid.UUID]*lane{}, dated: a.whole}
		a.parts[id] = p
	}
	return p
}

// adopt takes over where a decision record says that the partition is.
func (p *partition) adopt(w *window, at uint64) {
	p.seen = true
	p.number, p.cursor, p.epoch, p.owner = w.number, w.cursor, w.epoch, w.owner
	p.chain = hex.EncodeToString(w.sum[:])
	p.at = at
}

func (p *partition) adoptFence(s *stored) {
	p.fence, p.fenced, p.released = s.sequence, s.fence.Epoch, s.fence.Released
	p.generation, p.dated, p.of = s.fence.Generation, true, s.fence.Partitions
}

// committed notes where the fence of a commit lies.
func (p *partition) committed(fence uint64) { p.fence, p.fenced, p.released = fence, p.epoch, false }

// judgeWindows holds the decision records of a part to those before (invariants I6,
// I11 to I13) and its last one to what the part holds.
func (a *auditor) judgeWindows(c *commit, part *part) {
	p := a.partition(part.partition)
	for _, s := range part.windows {
		a.judgeWindow(c, p, s)
		if p.begins == 0 {
			p.begins = s.window.number
		}
		p.adopt(s.window, s.sequence)
	}
	for i, s := range part.windows {
		want := ""
		if i == len(part.windows)-1 {
			want = part.digest()
		}
		if s.window.digest != want {
			a.complain(Agreement, spot{partition: p.id, sequences: []uint64{s.sequence}},
				"the digest of the commit's events, versions and dead letters is %q, window %s has %q: something is missing, added or altered",
				want, s.window.id, s.window.digest)
		}
	}
}

func (a *auditor) judgeWindow(c *commit, p *partition, s *stored) {
	w, at := s.window, spot{partition: p.id, sequences: []uint64{s.sequence}}
	if w.batch != c.id {
		a.complain(Atomicity, at, "window %s says it is of commit %s, and was stored with %s", w.id, w.batch, c.id)
	}
	a.judgePartitions(p, w, at)
	if !p.seen {
		a.judgeFirst(p, w, at)
		return
	}
	if w.number != p.number+1 {
		a.complain(Tiling, at, "window %s follows window %d (R23)", w.id, p.number)
	}
	if w.after != p.cursor {
		a.complain(Tiling, at, "window %s begins after %d, the one before ended at %d: operations were left out or taken twice (R16, R25)", w.id, w.after, p.cursor)
	}
	if w.previous != p.chain {
		a.complain(Chain, at, "window %s follows from decision record %s, and the one before it is %s (R25)", w.id, w.previous, p.chain)
	}
	switch {
	case w.epoch < p.epoch:
		a.complain(Epochs, at, "window %s was committed in epoch %d, after epoch %d had begun (R23)", w.id, w.epoch, p.epoch)
	case w.epoch == p.epoch && w.owner != p.owner:
		a.complain(Owners, at, "window %s was committed by %s in epoch %d, which is %s's (R23)", w.id, w.owner, w.epoch, p.owner)
	case w.epoch > p.epoch:
		a.report.Counts.Claims += w.epoch - p.epoch
	}
}

// judgeFirst looks at the first decision record of a partition that is there.
func (a *auditor) judgeFirst(p *partition, w *window, at spot) {
	p.whole = a.whole && w.number == 1
	switch {
	case w.number == 1:
		a.report.Counts.Claims += w.epoch
		if w.after != 0 && w.cause != operation.ClosedByResize || w.previous != "" {
			a.complain(Tiling, at, "the first window begins after %d and follows from %q", w.after, w.previous)
		}
	case a.whole:
		a.complain(Tiling, at, "the first decision record of the partition is that of window %s: those before are missing, and nothing has expired yet", w.id)
	}
}

// judgeFence holds a fence to the windows committed with it and to the fence it
// replaced.
func (a *auditor) judgeFence(c *commit, s *stored) {
	f, p := s.fence, a.partition(s.partition)
	at := spot{partition: p.id, sequences: []uint64{s.sequence}}
	if f.Partition != s.partition {
		a.complain(Form, at, "the fence of partition %d says it is of %d", s.partition, f.Partition)
	}
	if f.BatchID != c.id {
		a.complain(Atomicity, at, "the fence says it is of commit %s, and was stored with %s", f.BatchID, c.id)
	}
	a.judgeFenceCondition(p, s, at)
	if p.seen && (f.Windows != p.number || f.Cursor != p.cursor || f.Chain != p.chain) {
		a.complain(Chain, at, "the fence has window %d, cursor %d and chain %s; the decision records end with window %d, cursor %d and %s (R25)",
			f.Windows, f.Cursor, f.Chain, p.number, p.cursor, p.chain)
	}
	switch {
	case f.Epoch < max(p.epoch, p.fenced):
		a.complain(Epochs, at, "the fence is of epoch %d, after epoch %d had begun (R23)", f.Epoch, max(p.epoch, p.fenced))
	case len(c.parts) > 0 && (f.Epoch != p.epoch || f.Owner != p.owner) && wrote(c, p.id):
		a.complain(Owners, at, "the fence is %s's in epoch %d, the windows committed with it are %s's in epoch %d", f.Owner, f.Epoch, p.owner, p.epoch)
	case f.Epoch == p.epoch && p.seen && f.Owner != p.owner:
		a.complain(Owners, at, "the fence is %s's in epoch %d, which is %s's (R23)", f.Owner, f.Epoch, p.owner)
	}
	a.judgeCounts(p, f, at)
	a.judgeGeneration(p, f, at)
	a.judgeCheckpointed(p, f, at)
	p.adoptFence(s)
}

// wrote reports whether a commit has decision records of a partition. Pages of a ledger
// are written under a claim that has made none yet.
func wrote(c *commit, partition int) bool {
	for _, p := range c.parts {
		if p.partition == partition && len(p.windows) > 0 {
			return true
		}
	}
	return false
}

// judgeFenceCondition wants a fence to have been written on condition that the one
// before was still there (invariant I8).
func (a *auditor) judgeFenceCondition(p *partition, s *stored, at spot) {
	switch {
	case !s.expects || s.on != "":
		a.complain(Conditions, at, "the fence was written without a condition: a worker that was paused could have written it (R23)")
	case s.expected >= s.sequence:
		a.complain(Conditions, at, "the fence replaces one at %d, behind it", s.expected)
	case p.fence > s.expected:
		a.complain(Conditions, at, "the fence replaces the one at %d, and that had been replaced at %d (R23)", s.expected, p.fence)
	case p.fence > 0 && p.fence < s.expected && s.fence.Epoch == p.fenced && !p.released && !s.fence.Released:
		a.complain(Conditions, at, "the fence replaces one at %d, and in this epoch the latest was written at %d", s.expected, p.fence)
	case s.expected == 0 && (p.seen || s.fence.Epoch > 1):
		a.complain(Conditions, at, "the fence was written as the first, in epoch %d after %d windows", s.fence.Epoch, p.number)
	}
}

// judgeCounts holds the running counts of a fence to what was counted (rule R21).
func (a *auditor) judgeCounts(p *partition, f *operation.Fence, at spot) {
	if f.Counts.Submitted != f.Counts.Succeeded+f.Counts.Rejected+f.Counts.Cancelled+f.Counts.DeadLettered+f.Counts.Live {
		a.complain(Conservation, at, "the fence's counts do not add up: %+v (R21)", f.Counts)
	}
	if p.base == nil {
		base, ok := less(f.Counts, p.tally)
		if !ok || p.whole && base != (operation.Counts{}) {
			a.complain(Conservation, at, "the fence counts %+v, the decision records %+v (R21)", f.Counts, p.tally)
		}
		p.base = &base
		return
	}
	if got, _ := less(f.Counts, p.tally); got != *p.base {
		a.complain(Conservation, at, "the fence counts %+v, the decision records %+v and before them %+v (R21)", f.Counts, p.tally, *p.base)
		p.base = &got // once is enough
	}
}

// less subtracts counts, and reports whether none became negative. Those of live
// operations may.
func less(a, b operation.Counts) (operation.Counts, bool) {
	ok := a.Submitted >= b.Submitted && a.Succeeded >= b.Succeeded && a.Rejected >= b.Rejected &&
		a.Cancelled >= b.Cancelled && a.DeadLettered >= b.DeadLettered && a.Versions >= b.Versions
	return operation.Counts{
		Submitted: a.Submitted - b.Submitted, Succeeded: a.Succeeded - b.Succeeded, Rejected: a.Rejected - b.Rejected,
		Cancelled: a.Cancelled - b.Cancelled, DeadLettered: a.DeadLettered - b.DeadLettered,
		Live: a.Live - b.Live, Versions: a.Versions - b.Versions,
	}, ok
}
