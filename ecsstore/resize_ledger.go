package ecsstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// LedgerSize is how many operations of a partition are remembered after they were
// taken, so that the same op_id again is recognised (rule R9).
const LedgerSize = 32_768

// How the ledgers are handed on. All partitions together may remember no more than
// fits into the memory of whoever changes their number.
const (
	ledgerTotal = 1 << 20 // operations
	ledgerPage  = 500     // operations in one message
)

// remember writes the ledgers of the partitions that will be, of what those have in
// theirs that are (rule R9): an operation published again afterwards comes to another
// partition and must be known there.
func (z *Resizing) remember(ctx context.Context, to int) error {
	from := z.fences[0].Fence.Partitions
	if from == to {
		return nil // undone before anything had moved
	}
	m := memories{from: from, to: to, of: make([][]operation.Taken, to), limit: min(LedgerSize, ledgerTotal/to)}
	for p := range from {
		c := Claim{Held: z.fences[p]}
		if err := z.s.replay(ctx, &c, &ledger{next: c.Fence.Ledger, targets: true}); err != nil {
			return fmt.Errorf("reading the ledger of partition %d: %w", p, err)
		}
		m.add(p, &c)
	}
	for p := range m.of {
		if err := z.handOn(ctx, p, to, m.latest(p)); err != nil {
			return fmt.Errorf("writing the ledger of partition %d: %w", p, err)
		}
	}
	return nil
}

// handOn writes the pages of a partition under its claimed fence.
func (z *Resizing) handOn(ctx context.Context, p, to int, taken []operation.Taken) error {
	t := &z.fences[p]
	part := Part{Fence: t.Fence, Expect: t.Expect}
	for page := range slices.Chunk(taken, ledgerPage) {
		part.Ledger = append(part.Ledger, operation.Ledger{Partition: p, Partitions: to, Taken: page})
	}
	b := &Batch{ID: uuid.NewString(), Parts: []Part{part}}
	receipt, err := z.s.Commit(ctx, b)
	if err != nil {
		return err
	}
	*t = Held{Fence: b.Parts[0].Fence, Expect: receipt.Fences[0]}
	// What was decided before is not this partition's any more.
	t.Fence.Ledger, t.Fence.Checkpoint = t.Expect, 0
	z.sum.Recalled += len(taken)
	return nil
}

// memories are the operations that partitions remember, by the partitions that their
// entities will belong to.
type memories struct {
	from, to int
	of       [][]operation.Taken
	limit    int // for each partition
}

// add enters what a partition of the old number remembers.
func (m *memories) add(p int, c *Claim) {
	statuses := map[uuid.UUID]operation.Status{}
	for _, page := range c.Ledger {
		for _, s := range page.Settled {
			statuses[s.OpID] = s.Status
		}
	}
	for i := range c.Records {
		statuses[c.Records[i].OpID] = c.Records[i].Status
	}
	for _, page := range c.Ledger {
		for _, t := range page.Taken {
			if !t.Fate.Counted() || t.OpID == uuid.Nil {
				continue
			}
			if status, ok := statuses[t.OpID]; ok {
				t.Status = status
			}
			t.Reason = ""
			for _, q := range m.heirs(p, t.Target) {
				m.of[q] = append(m.of[q], t)
			}
		}
	}
	for q := range m.of {
		if len(m.of[q]) > 2*m.limit {
			m.of[q] = slices.Clone(m.latest(q))
		}
	}
}

// heirs returns the partitions that remember an operation of partition p: the one of
// its entity, or all that it can be of where the entity is not known.
func (m *memories) heirs(p int, target string) (out []int) {
	if target != "" {
		return []int{subjects.PartitionOf(target, m.to)}
	}
	step := gcd(m.from, m.to)
	for q := p % step; q < m.to; q += step {
		out = append(out, q)
	}
	return out
}

// gcd is the greatest number that divides both: a hash that is p modulo from and q
// modulo to leaves the same rest by it.
func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// latest returns what a partition of the new number remembers, in the order of the
// operations stream.
func (m *memories) latest(q int) []operation.Taken {
	slices.SortStableFunc(m.of[q], func(a, b operation.Taken) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return m.of[q][max(len(m.of[q])-m.limit, 0):]
}
