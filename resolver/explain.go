package resolver

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Explain says in a few lines of plain text why a decision is as it is: one line on
// the entity, one on its holder if it has one, and one per contender in rank order.
// The text is for people; programs read the decision.
func Explain(d operation.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "entity %s: %s\n", d.Entity, crowd(&d))
	if d.Holder != nil {
		fmt.Fprintf(&b, "held by %s with %s, %s\n", d.Holder.OpID, d.Holder.EffectivePriority, holding(&d))
	}
	for i := range d.Contenders {
		c := &d.Contenders[i]
		fmt.Fprintf(&b, "%d. %s %s with %s", i+1, c.OpID, verdict(c), priority(c))
		if i > 0 {
			fmt.Fprintf(&b, ": %s%s", because(c, d.First()), uncarried(c))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func crowd(d *operation.Decision) string {
	free := ""
	if d.Holder == nil {
		free = ", nobody holds it"
	}
	switch n := len(d.Contenders); n {
	case 0:
		return "nothing contends for it" + free
	case 1:
		return "1 operation contends for it" + free
	default:
		return fmt.Sprintf("%d operations contend for it%s", n, free)
	}
}

// holding says how the holder stands and what that means for the first contender.
func holding(d *operation.Decision) string {
	switch h := d.Holder; {
	case len(d.Contenders) == 0:
		return string(h.Status)
	case h.Status == operation.Executing:
		return "executing: an execution is never interrupted, the first waits (R7)"
	case provides(d.First().Creates, h):
		return "between two attempts because there is no such entity: the first creates it and goes ahead (R13)"
	case d.Preempts:
		return "between two attempts and out of its grace period: the first is of higher priority and displaces it (R8)"
	case d.First().EffectivePriority <= h.EffectivePriority:
		return "between two attempts: the first is of no higher priority and waits (R8)"
	case h.Protected:
		return "between two attempts and within its grace period: it keeps its turn, the first waits (R8)"
	}
	return fmt.Sprintf("%s: the first %s", d.Holder.Status, d.First().Verdict)
}

func verdict(c *operation.Contender) string {
	switch c.Verdict {
	case operation.Carried:
		return fmt.Sprintf("is carried (%s lost in a row)", windows(c.Losses+1))
	case operation.Loses:
		return fmt.Sprintf("loses (%s)", c.Reason)
	case operation.Wins, operation.Waits:
	}
	return string(c.Verdict)
}

func windows(n int) string {
	if n == 1 {
		return "1 window"
	}
	return fmt.Sprintf("%d windows", n)
}

// priority names the effective priority and where it comes from.
func priority(c *operation.Contender) string {
	if c.InheritedFrom == uuid.Nil {
		return c.EffectivePriority.String()
	}
	return fmt.Sprintf("%s, inherited from %s (its own is %s, R1)", c.EffectivePriority, c.InheritedFrom, c.Priority)
}

// outrun is said of a contender that ranks where its parent does: taken by itself it
// would come before the first.
const outrun = "as high, but it queues behind its parent, which comes after the first (R6)"

// because says what put a contender behind the first.
func because(c, first *operation.Contender) string {
	later := c.CreatedAt.Sub(first.CreatedAt)
	switch c.Separator {
	case operation.ByPriority:
		return fmt.Sprintf("%s is below %s (R3)", c.EffectivePriority, first.EffectivePriority)
	case operation.ByParent:
		return "as high, but the first is " + kinship(c, first) + " (R6)"
	case operation.ByCreatedAt:
		if later > 0 {
			return fmt.Sprintf("as high, but created %s after the first (R3)", strings.Replace(later.String(), "\u00b5", "u", 1))
		}
		return outrun
	case operation.BySequence:
		if later == 0 && c.Sequence > first.Sequence {
			return fmt.Sprintf("as high and created at the same time, but later in the stream, %d after %d (R3)",
				c.Sequence, first.Sequence)
		}
		return outrun
	}
	return "it ranks behind the first"
}

// kinship says what the first contender is to c, one of its descendants.
func kinship(c, first *operation.Contender) string {
	if c.ParentID == first.OpID {
		return "its parent"
	}
	return "an ancestor of it"
}

// uncarried says why a loser that asked to be carried is not.
func uncarried(c *operation.Contender) string {
	switch c.Reason { //nolint:exhaustive // only two reasons are about being carried
	case operation.MaxCarriesExceeded:
		return fmt.Sprintf("; it asked to be carried, but has now lost %s in a row", windows(c.Losses+1))
	case operation.CarriedOverflow:
		return "; it asked to be carried, but better ones fill the limit"
	}
	return ""
}
