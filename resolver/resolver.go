// Package resolver decides which of the operations contending for an entity goes
// ahead.
//
// A [Contest] is what one window staged for one entity: the contenders and, where
// the entity is held, its holder. [Resolve] ranks the contenders and returns the
// decision; [Explain] tells a decision in words. Both are pure functions: no clock,
// no I/O, no randomness; the same contest gives the same decision whatever the
// order of its contenders (R11).
//
// The rule book, by the numbers of the behaviour it implements:
//
//   - R1: [Inherit] gives an operation the highest priority of its chain of parents.
//     A cycle or a chain that is too long is refused.
//   - R3: the highest effective priority wins; a tie goes to the earliest creation, a
//     further tie to the earlier in the stream. [Clamp] keeps a forged creation time
//     within the tolerated skew.
//   - R4: each contest has exactly one first contender, which wins or waits.
//   - R5: the others lose; a loser that asked for it is carried instead, within
//     [Limits].
//   - R6: a child whose parent contends beside it at the same effective priority ranks
//     behind it: it counts as created no earlier than its parent.
//   - R7: while the entity is held the first contender waits, unless
//   - R8: the holder is between two attempts, out of its grace period and of lower
//     effective priority: then the first contender wins and preempts it. [Held] counts
//     whom an execution or a grace period holds off.
//   - R13: a first contender that creates the entity goes ahead of a holder that is
//     between two attempts because there is no such entity; it neither waits for the
//     holder nor displaces it.
//   - R10: the parent must be live; [Inherit] looks at the direct parent only.
//
// Rule R6 is put as it is, and not as "a parent beats its child", because the latter
// is no order: with a parent created last, its child created first and a stranger in
// between, each would beat the next in a circle.
//
// What it does not do: gather windows, know who holds what, reject what may not
// contend at all, or carry anything out (package consumer). [ResolveStored] is the
// rule of the system before this one, for comparison.
package resolver

import (
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Contender is an operation that contends for an entity.
type Contender struct {
	OpID          uuid.UUID
	ParentID      uuid.UUID          // Nil if it has none
	InheritedFrom uuid.UUID          // see [Inheritance]
	Priority      operation.Priority // its own
	Effective     operation.Priority
	CreatedAt     time.Time // see [Clamp]
	Sequence      uint64    // in the operations stream
	Losses        int       // windows lost in a row so far
	OnLoss        operation.OnLoss
	Creates       bool // it makes the entity at once
	New           bool // staged by this window: neither the entity's next nor carried
}

// Contest is what one window staged for one entity. The ids of its contenders
// differ, as do their sequences: rule R9 has seen to that.
type Contest struct {
	Entity     uuid.UUID
	Holder     *operation.Holder // nil if the entity is free
	Contenders []Contender
}

// Limits bound how long and how many losers are carried. The zero value carries
// none.
type Limits struct {
	MaxCarries int // windows in a row that one operation may lose
	MaxCarried int // operations carried at a time for one entity
}

// Resolve ranks the contenders and gives each its verdict. The decision shares the
// contest's Holder. A contest without contenders has a decision without any, which
// has no [operation.Decision.First].
func Resolve(c Contest, l Limits) operation.Decision {
	d := operation.Decision{Entity: c.Entity, Holder: c.Holder}
	if len(c.Contenders) == 0 {
		return d
	}
	parents := contendingParents(c.Contenders)
	ranked := rank(c.Contenders, parents)
	d.Contenders = make([]operation.Contender, len(ranked))
	for i := range ranked {
		d.Contenders[i] = entered(ranked[i].Contender)
		if i > 0 {
			d.Contenders[i].Separator = separator(&ranked[0], &ranked[i], parents)
		}
	}
	d.Preempts = preempts(ranked[0].Contender, c.Holder)
	judgeFirst(&d)
	judgeLosers(d.Contenders[1:], l)
	return d
}

// entered returns a contender as the decision shows it, without its verdict.
func entered(c *Contender) operation.Contender {
	return operation.Contender{
		OpID: c.OpID, Priority: c.Priority, EffectivePriority: c.Effective,
		InheritedFrom: c.InheritedFrom, ParentID: c.ParentID,
		CreatedAt: c.CreatedAt, Sequence: c.Sequence, Losses: c.Losses, OnLoss: c.OnLoss, Creates: c.Creates,
	}
}

// preempts reports whether a first contender displaces the holder (rule R8).
func preempts(first *Contender, h *operation.Holder) bool {
	return h != nil && h.Status == operation.Pending && !h.Protected && first.Effective > h.EffectivePriority &&
		!provides(first.Creates, h)
}

// provides reports whether a contender makes the entity that the holder misses (rule
// R13).
func provides(creates bool, h *operation.Holder) bool {
	return creates && h != nil && h.Status == operation.Pending && h.Missing
}

func judgeFirst(d *operation.Decision) {
	first := d.First()
	first.Verdict = operation.Wins
	if d.Holder != nil && !d.Preempts && !provides(first.Creates, d.Holder) {
		first.Verdict = operation.Waits
	}
}

// judgeLosers carries the best of those that asked for it, and lets the others lose.
func judgeLosers(losers []operation.Contender, l Limits) {
	carried := 0
	for i := range losers {
		c := &losers[i]
		c.Verdict = operation.Loses
		switch {
		case c.OnLoss != operation.Carry:
			c.Reason = operation.LostConflict
		case c.Losses >= l.MaxCarries:
			c.Reason = operation.MaxCarriesExceeded
		case carried >= l.MaxCarried:
			c.Reason = operation.CarriedOverflow
		default:
			c.Verdict = operation.Carried
			carried++
		}
	}
}

// Counters count the new contenders of higher effective priority than the holder
// that were held off, whether they went on to wait or to lose. A first contender that
// wins shows that nobody was.
type Counters struct {
	GracePeriodSaves     int // by the holder's grace period
	ExecutingProtections int // by the holder's execution
}

// Held returns what a contest that was decided so adds to the counters.
func Held(c Contest, d operation.Decision) Counters {
	var out Counters
	if c.Holder == nil || len(d.Contenders) == 0 || d.First().Verdict == operation.Wins {
		return out
	}
	higher := 0
	for i := range c.Contenders {
		if c.Contenders[i].New && c.Contenders[i].Effective > c.Holder.EffectivePriority {
			higher++
		}
	}
	switch {
	case c.Holder.Status == operation.Executing:
		out.ExecutingProtections = higher
	case c.Holder.Protected:
		out.GracePeriodSaves = higher
	}
	return out
}

// Clamp returns the creation time that counts (rule R3): created, but no later than
// the broker received the operation and no more than skew before that. A zero
// created is the broker's time.
func Clamp(created, received time.Time, skew time.Duration) time.Time {
	earliest := received.Add(-max(skew, 0))
	switch {
	case created.IsZero() || created.After(received):
		return received.UTC()
	case created.Before(earliest):
		return earliest.UTC()
	}
	return created.UTC()
}
