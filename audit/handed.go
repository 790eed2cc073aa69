package audit

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// A change of the number of partitions hands on what partitions remember of operations
// (rule R9): pages are written for each partition that will be, and stand in for all
// that it remembered before.

// content identifies an operation: those of different targets may have the same id.
type content struct {
	op     uuid.UUID
	digest uint64
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

// recall enters a page of what a partition is to remember.
func (k *walk) recall(s *stored) {
	for i := range s.page.taken {
		t := &s.page.taken[i]
		was, ok := k.a.taken(content{t.op, t.digest})
		k.remembers(s, t, was, ok)
		if !ok {
			was = known{target: hashOf(t.target), digest: t.digest, ended: s.sequence, status: statusIndex(t.status)}
		}
		was.at = uint32(s.at.Unix()) //nolint:gosec // small
		old, twice := k.p.handed.find(t.op)
		if twice && old.digest == t.digest {
			continue // a change that was taken up writes its pages again
		}
		if twice {
			k.a.twins[content{t.op, old.digest}] = old
		}
		k.p.handed.enter(t.op, was)
	}
}

// remembers holds what a page says of an operation to what was known of it.
func (k *walk) remembers(s *stored, t *taken, was known, ok bool) {
	if k.a.whole && !ok {
		k.complain(Idempotence, s, t.op, "it is remembered with content %016x, and no partition has taken that (R9)", t.digest)
	}
	if ok && was.state() != t.status {
		k.complain(Idempotence, s, t.op, "it is remembered as %s, and it is %s (R9)", t.status, was.state())
	}
	hash, n := hashOf(t.target), s.page.partitions
	if hash == 0 {
		return
	}
	if ok && was.target != 0 && was.target != hash {
		k.complain(Idempotence, s, t.op, "it is remembered as one on %s, which it was not (R9)", t.target)
	}
	if n > 0 && share(hash, n) != k.p.id {
		k.complain(Idempotence, s, t.op, "it is remembered here, and its target %s belongs to partition %d of %d (R9)", t.target, share(hash, n), n)
	}
}

// taken returns what any partition remembers of an operation.
func (a *auditor) taken(o content) (known, bool) {
	for _, p := range a.parts {
		if k, ok := p.ledger.find(o.op); ok && k.digest == o.digest {
			return k, true
		}
	}
	k, ok := a.twins[o]
	return k, ok
}

// handOn ends a change: from here on each partition remembers what it was handed on.
// Where the number is what it was, or may be, it remembers the rest as well.
func (a *auditor) handOn(c *commit, from int, at spot) {
	moved := from > 0 && from != a.partitions
	if moved && a.whole {
		a.judgeHanded(c, from, at)
	}
	for _, p := range a.parts {
		if moved {
			p.ledger, p.handed, p.sums = p.handed, ledger{}, tracked{whole: p.id < a.partitions, unsure: p.id >= a.partitions}
			continue
		}
		for id, k := range p.handed.all {
			if _, ok := p.ledger.find(id); !ok {
				p.ledger.enter(id, k)
			}
		}
		p.handed = ledger{}
		if from == 0 {
			p.sums = tracked{unsure: true}
		}
	}
}

// judgeHanded wants the partitions that will be to have been handed on all that those
// remembered that were. Workers may hand on less where there is very much.
func (a *auditor) judgeHanded(c *commit, from int, at spot) {
	lost, total := map[int][]uuid.UUID{}, map[int]int{}
	for _, p := range a.parts {
		if p.ledger.taken > remembered {
			return
		}
		for id, k := range p.ledger.all {
			if k.target == 0 || p.id >= from || share(k.target, from) != p.id || !p.ledger.fresh(k, c.at, a.retention) {
				continue
			}
			heir := share(k.target, a.partitions)
			total[heir]++
			if _, ok := a.partition(heir).handed.find(id); !ok {
				lost[heir] = append(lost[heir], id)
			}
		}
	}
	for _, heir := range slices.Sorted(maps.Keys(lost)) {
		if ids := lost[heir]; total[heir] <= min(remembered, handedOn/a.partitions) {
			first := slices.MinFunc(ids, func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
			a.complain(Idempotence, spot{partition: heir, sequences: at.sequences, op: first},
				"it was taken before the number of partitions was changed, and this partition, whose it is now, is not handed it on, nor %d others (R9)", len(ids)-1)
		}
	}
}

// handedOn is how many operations all partitions together are handed on at most.
const handedOn = 1 << 20
