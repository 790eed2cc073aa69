package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// judge looks at a decision by itself: from what it says of the contenders and the
// holder it works out anew who is first, what becomes of each and why (rules R1, R3
// to R8). Nothing here is shared with the code that decided.
func judge(d *decision) []fault {
	j := &judgement{d: d}
	if len(d.contenders) == 0 {
		j.complain(OneWinner, uuid.Nil, "nothing contends")
		return j.faults
	}
	j.distinct()
	j.priorities()
	j.order()
	j.verdicts()
	j.carried()
	return j.faults
}

type judgement struct {
	d      *decision
	rank   []place
	faults []fault
}

func (j *judgement) complain(i Invariant, op uuid.UUID, format string, args ...any) {
	j.faults = append(j.faults, fault{invariant: i, entity: j.d.entity, op: op, message: fmt.Sprintf(format, args...)})
}

// distinct wants each operation once.
func (j *judgement) distinct() {
	cs := j.d.contenders
	for i := range cs {
		if slices.ContainsFunc(cs[:i], func(c contender) bool { return c.op == cs[i].op }) {
			j.complain(OneWinner, cs[i].op, "it contends twice in one window")
		}
	}
}

// priorities wants the effective priority to be at least the own, and a lender
// exactly where it is more (rule R1).
func (j *judgement) priorities() {
	for i := range j.d.contenders {
		c := &j.d.contenders[i]
		switch {
		case c.effective < c.own:
			j.complain(Inheritance, c.op, "its effective priority %s is below its own %s (R1)", c.effective, c.own)
		case c.effective > c.own && c.from == uuid.Nil:
			j.complain(Inheritance, c.op, "its effective priority %s is above its own %s, and nobody lends it (R1)", c.effective, c.own)
		case c.effective == c.own && c.from != uuid.Nil:
			j.complain(Inheritance, c.op, "its effective priority is its own, and yet %s lends it (R1)", c.from)
		case c.effective > c.own && c.parent == uuid.Nil:
			j.complain(Inheritance, c.op, "it inherits %s without having a parent (R1)", c.effective)
		}
	}
}

// place is what a contender is ranked by: the higher priority first, then the
// smaller of all that follows.
type place struct {
	priority   operation.Priority
	at         time.Time // created, or its latest contending ancestor if that is later (R6)
	behind     uint64    // the sequence of whichever that is
	generation int       // contending ancestors
	created    time.Time
	sequence   uint64
	op         uuid.UUID
	ancestors  []int // nearest first
}

func (p *place) compare(o *place) int {
	return cmp.Or(
		cmp.Compare(o.priority, p.priority),
		p.at.Compare(o.at),
		cmp.Compare(p.behind, o.behind),
		cmp.Compare(p.generation, o.generation),
		p.created.Compare(o.created),
		cmp.Compare(p.sequence, o.sequence),
		slices.Compare(p.op[:], o.op[:]),
	)
}

// order wants the contenders in rank order and the comparisons named rightly (rules
// R3 and R6).
func (j *judgement) order() {
	cs := j.d.contenders
	j.rank = make([]place, len(cs))
	for i := range cs {
		j.rank[i] = j.place(i)
	}
	for i := 1; i < len(cs); i++ {
		if j.rank[i-1].compare(&j.rank[i]) > 0 {
			j.complain(RightWinner, cs[i].op, "it ranks before %s (R3, R6), which is put before it", cs[i-1].op)
		}
		if want := j.separator(i); cs[i].separator != want {
			j.complain(RightWinner, cs[i].op, "it is behind the first by %s, not by %q", want, cs[i].separator)
		}
	}
	if s := cs[0].separator; s != "" {
		j.complain(RightWinner, cs[0].op, "it is the first, and yet behind it by %q", s)
	}
}

func (j *judgement) place(i int) place {
	c := &j.d.contenders[i]
	p := place{
		priority: c.effective, at: c.created, behind: c.sequence,
		created: c.created, sequence: c.sequence, op: c.op, ancestors: j.ancestors(i),
	}
	p.generation = len(p.ancestors)
	for _, a := range p.ancestors {
		older := &j.d.contenders[a]
		if d := older.created.Compare(p.at); d > 0 || d == 0 && older.sequence > p.behind {
			p.at, p.behind = older.created, older.sequence
		}
	}
	return p
}

// ancestors lists the contenders that a contender descends from, as far as all of
// them are of its effective priority. Those that descend from themselves have none.
func (j *judgement) ancestors(i int) []int {
	var chain []int
	for at := i; ; {
		above := j.above(at)
		if above < 0 {
			return chain
		}
		if above == i {
			return nil // it comes back to where it began
		}
		if slices.Contains(chain, above) {
			// The chain runs into a circle, none of whose members has a parent.
			return chain[:slices.Index(chain, above)+1]
		}
		chain = append(chain, above)
		at = above
	}
}

// above returns the contender that is another's parent, if it is of the same
// effective priority, else -1.
func (j *judgement) above(i int) int {
	c := &j.d.contenders[i]
	if c.parent == uuid.Nil {
		return -1
	}
	return slices.IndexFunc(j.d.contenders, func(o contender) bool {
		return o.op == c.parent && o.effective == c.effective
	})
}

func (j *judgement) separator(i int) operation.Separator {
	first, loser := &j.rank[0], &j.rank[i]
	switch {
	case first.priority != loser.priority:
		return operation.ByPriority
	case slices.Contains(loser.ancestors, 0):
		return operation.ByParent
	case !first.at.Equal(loser.at):
		return operation.ByCreatedAt
	}
	return operation.BySequence
}

// verdicts wants the first to win, or to wait for a holder that it may not displace
// (rules R7 and R8) and does not provide with the entity (R13), and the others to lose.
func (j *judgement) verdicts() {
	d, first := j.d, j.d.first()
	may := d.holder != nil && d.holder.status == operation.Pending && !d.holder.protected && first.effective > d.holder.effective && !d.provides()
	switch {
	case d.preempts && !may:
		j.complain(Grace, d.holder.id(), "%s displaces it, which it may not: %s (R7, R8)", first.op, d.holder)
	case !d.preempts && may:
		j.complain(Grace, d.holder.id(), "%s of %s does not displace it, though it may: %s (R8)", first.op, first.effective, d.holder)
	}
	want := operation.Wins
	if d.holder != nil && !d.preempts && !d.provides() {
		want = operation.Waits
	}
	if first.verdict != want {
		j.complain(OneWinner, first.op, "as the first it %q, and should be one that %s (R4, R7)", first.verdict, want)
	}
	for i := 1; i < len(d.contenders); i++ {
		c := &d.contenders[i]
		if c.verdict != operation.Loses && c.verdict != operation.Carried {
			j.complain(OneWinner, c.op, "it %q beside %s, which is the first (R4)", c.verdict, first.op)
		}
	}
}

func (h *holder) id() uuid.UUID {
	if h == nil {
		return uuid.Nil
	}
	return h.op
}

func (h *holder) String() string {
	if h == nil {
		return "nobody holds the entity"
	}
	protected := ""
	if h.protected {
		protected = ", within its grace period"
	}
	return fmt.Sprintf("the holder is %s with %s%s", h.status, h.effective, protected)
}

// carried wants losers to be carried if they asked for it and the limits allow it,
// whatever those are, and to lose for the reason that applies (rule R5).
func (j *judgement) carried() {
	losers := j.d.contenders[1:]
	most, full := -1, false // losses of a carried one; the limit of carried ones was met
	for i := range losers {
		c := &losers[i]
		asked := c.onLoss == operation.Carry
		switch {
		case c.verdict == operation.Carried:
			most = max(most, c.losses)
			if !asked || full || c.reason != "" {
				j.complain(RightWinner, c.op, "it is carried (on_loss %q, reason %q, behind one that was not for want of room: %t)", c.onLoss, c.reason, full)
			}
		case asked && c.reason == operation.CarriedOverflow:
			full = true
		case asked && c.reason == operation.MaxCarriesExceeded:
		case asked || c.reason != operation.LostConflict:
			j.complain(RightWinner, c.op, "it loses with reason %q and on_loss %q", c.reason, c.onLoss)
		}
	}
	for i := range losers {
		if c := &losers[i]; c.reason == operation.MaxCarriesExceeded && c.losses <= most {
			j.complain(RightWinner, c.op, "it was carried too often after %d windows, and another was not after %d", c.losses, most)
		}
	}
}
