package resolver

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// standing is a contender with what it is ranked by.
type standing struct {
	*Contender
	index  int       // in the contest
	at     time.Time // counts as created then, and
	behind uint64    // at that place in the stream (rule R6)
	depth  int       // contending ancestors of equal effective priority
}

// contendingParents returns for each contender the index of its parent, if that
// contends at the same effective priority, and else -1. It returns nil if nobody has
// a parent, which is the common case.
func contendingParents(cs []Contender) []int {
	if !slices.ContainsFunc(cs, func(c Contender) bool { return c.ParentID != uuid.Nil }) {
		return nil
	}
	indexes := make(map[uuid.UUID]int, len(cs))
	for i := range cs {
		indexes[cs[i].OpID] = i
	}
	parents := make([]int, len(cs))
	for i := range cs {
		p, ok := indexes[cs[i].ParentID]
		if !ok || cs[p].Effective != cs[i].Effective {
			p = -1
		}
		parents[i] = p
	}
	cutCycles(parents)
	return parents
}

// cutCycles makes the members of each cycle count as having no parent. [Inherit]
// refuses cycles, so that there are none unless somebody made them up.
func cutCycles(parents []int) {
	var members []int
	for i, p := range parents {
		for range parents {
			if p < 0 || p == i {
				break
			}
			p = parents[p]
		}
		if p == i {
			members = append(members, i)
		}
	}
	for _, i := range members {
		parents[i] = -1
	}
}

// rank returns the contenders from the first to the last.
func rank(cs []Contender, parents []int) []standing {
	ranked := make([]standing, len(cs))
	for i := range cs {
		ranked[i] = standing{Contender: &cs[i], index: i, at: cs[i].CreatedAt, behind: cs[i].Sequence}
		if parents != nil {
			ranked[i].queueUp(cs, parents)
		}
	}
	slices.SortFunc(ranked, func(a, b standing) int { return a.compare(&b) })
	return ranked
}

// queueUp puts a contender behind its contending ancestors: it counts as created no
// earlier than the latest of them.
func (s *standing) queueUp(cs []Contender, parents []int) {
	for p := parents[s.index]; p >= 0; p = parents[p] {
		s.depth++
		if cmp.Or(cs[p].CreatedAt.Compare(s.at), cmp.Compare(cs[p].Sequence, s.behind)) > 0 {
			s.at, s.behind = cs[p].CreatedAt, cs[p].Sequence
		}
	}
}

// compare is negative if s ranks before o. It is a total order: ids differ.
func (s *standing) compare(o *standing) int {
	if d := cmp.Compare(o.Effective, s.Effective); d != 0 {
		return d
	}
	if d := s.at.Compare(o.at); d != 0 {
		return d
	}
	return cmp.Or(
		cmp.Compare(s.behind, o.behind),
		cmp.Compare(s.depth, o.depth),
		s.CreatedAt.Compare(o.CreatedAt),
		cmp.Compare(s.Sequence, o.Sequence),
		slices.Compare(s.OpID[:], o.OpID[:]),
	)
}

// separator names the first comparison in which a loser differs from the first.
func separator(first, loser *standing, parents []int) operation.Separator {
	switch {
	case loser.Effective != first.Effective:
		return operation.ByPriority
	case parents != nil && descends(loser, first, parents):
		return operation.ByParent
	case !loser.at.Equal(first.at):
		return operation.ByCreatedAt
	}
	return operation.BySequence
}

// descends reports whether a is one of s's contending ancestors.
func descends(s, a *standing, parents []int) bool {
	p := parents[s.index]
	for p >= 0 && p != a.index {
		p = parents[p]
	}
	return p >= 0
}
