package resolver

import (
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// The oracle is the rules read out loud, slowly: no sorting and no indexes. It asks of
// every pair who goes ahead, and a contender's rank is the number of those ahead of it.

// parentOf returns the contender that rule R6 puts x behind, if there is one.
func parentOf(c Contest, x Contender) (Contender, bool) {
	p, ok := nominalParent(c, x)
	if !ok || slices.Contains(nominalLine(c, x), x.OpID) {
		return Contender{}, false
	}
	return p, true
}

func nominalParent(c Contest, x Contender) (Contender, bool) {
	for _, p := range c.Contenders {
		if x.ParentID != uuid.Nil && p.OpID == x.ParentID && p.Effective == x.Effective {
			return p, true
		}
	}
	return Contender{}, false
}

// nominalLine returns whom one meets going up from x until nobody new turns up.
func nominalLine(c Contest, x Contender) (line []uuid.UUID) {
	for p, ok := nominalParent(c, x); ok && !slices.Contains(line, p.OpID); p, ok = nominalParent(c, p) {
		line = append(line, p.OpID)
	}
	return line
}

// counted returns x with the creation time and the place in the stream that count.
func counted(c Contest, x Contender) Contender {
	p, ok := parentOf(c, x)
	if !ok {
		return x
	}
	p = counted(c, p)
	if p.CreatedAt.After(x.CreatedAt) || p.CreatedAt.Equal(x.CreatedAt) && p.Sequence > x.Sequence {
		x.CreatedAt, x.Sequence = p.CreatedAt, p.Sequence
	}
	return x
}

func generation(c Contest, x Contender) int {
	if p, ok := parentOf(c, x); ok {
		return generation(c, p) + 1
	}
	return 0
}

func isAncestor(c Contest, a, x Contender) bool {
	p, ok := parentOf(c, x)
	return ok && (p.OpID == a.OpID || isAncestor(c, a, p))
}

// goesAhead reports whether x ranks before y.
func goesAhead(c Contest, x, y Contender) bool {
	if x.Effective != y.Effective {
		return x.Effective > y.Effective
	}
	if isAncestor(c, x, y) {
		return true
	}
	if isAncestor(c, y, x) {
		return false
	}
	cx, cy := counted(c, x), counted(c, y)
	switch {
	case !cx.CreatedAt.Equal(cy.CreatedAt):
		return cx.CreatedAt.Before(cy.CreatedAt)
	case cx.Sequence != cy.Sequence:
		return cx.Sequence < cy.Sequence
	case generation(c, x) != generation(c, y):
		return generation(c, x) < generation(c, y)
	case !x.CreatedAt.Equal(y.CreatedAt):
		return x.CreatedAt.Before(y.CreatedAt)
	case x.Sequence != y.Sequence:
		return x.Sequence < y.Sequence
	}
	return x.OpID.String() < y.OpID.String()
}

// oracle returns the contenders in rank order, with nil where two of them or none
// take a place.
func oracle(c Contest, l Limits) []*operation.Contender {
	places := make([]*operation.Contender, len(c.Contenders))
	for _, x := range c.Contenders {
		ahead := 0
		carryAhead := 0
		for _, y := range c.Contenders {
			if y.OpID == x.OpID || !goesAhead(c, y, x) {
				continue
			}
			ahead++
			if y.OnLoss == operation.Carry && y.Losses+1 <= l.MaxCarries && !leads(c, y) {
				carryAhead++
			}
		}
		if places[ahead] != nil {
			return make([]*operation.Contender, len(c.Contenders))
		}
		places[ahead] = sentence(c, l, x, carryAhead)
	}
	return places
}

// leads reports whether nobody goes ahead of x.
func leads(c Contest, x Contender) bool {
	return !slices.ContainsFunc(c.Contenders, func(y Contender) bool { return y.OpID != x.OpID && goesAhead(c, y, x) })
}

// sentence returns x with the verdict it deserves, where carryAhead losers that are
// carried before it.
func sentence(c Contest, l Limits, x Contender, carryAhead int) *operation.Contender {
	out := &operation.Contender{
		OpID: x.OpID, Priority: x.Priority, EffectivePriority: x.Effective, InheritedFrom: x.InheritedFrom,
		ParentID: x.ParentID, CreatedAt: x.CreatedAt, Sequence: x.Sequence, Losses: x.Losses, OnLoss: x.OnLoss, Creates: x.Creates,
	}
	if leads(c, x) {
		out.Verdict = operation.Waits
		if c.Holder == nil || oraclePreempts(c, x) || oracleProvides(c, x) {
			out.Verdict = operation.Wins
		}
		return out
	}
	out.Verdict, out.Reason = operation.Loses, operation.LostConflict
	if x.OnLoss == operation.Carry {
		switch {
		case x.Losses+1 > l.MaxCarries:
			out.Reason = operation.MaxCarriesExceeded
		case carryAhead+1 > l.MaxCarried:
			out.Reason = operation.CarriedOverflow
		default:
			out.Verdict, out.Reason = operation.Carried, ""
		}
	}
	out.Separator = oracleSeparator(c, x)
	return out
}

func oraclePreempts(c Contest, first Contender) bool {
	if c.Holder == nil || c.Holder.Status != operation.Pending || c.Holder.Protected || oracleProvides(c, first) {
		return false
	}
	return c.Holder.EffectivePriority < first.Effective
}

// oracleProvides reports whether the holder waits for what the first makes.
func oracleProvides(c Contest, first Contender) bool {
	return c.Holder != nil && c.Holder.Missing && c.Holder.Status == operation.Pending && first.Creates
}

// oracleSeparator compares a loser with the one that nobody goes ahead of.
func oracleSeparator(c Contest, x Contender) operation.Separator {
	first := c.Contenders[slices.IndexFunc(c.Contenders, func(y Contender) bool { return leads(c, y) })]
	switch {
	case x.Effective < first.Effective:
		return operation.ByPriority
	case isAncestor(c, first, x):
		return operation.ByParent
	case counted(c, first).CreatedAt.Before(counted(c, x).CreatedAt):
		return operation.ByCreatedAt
	}
	return operation.BySequence
}
