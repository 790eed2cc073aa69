package resolver

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Stored is an operation as the system before this one kept it in its store.
type Stored struct {
	OpID      uuid.UUID
	Effective operation.Priority
	CreatedAt time.Time
	Sequence  uint64
	Status    operation.Status
	Protected bool // pending, and within the grace period of its latest attempt
}

// ResolveStored applies the rule of the system before this one, which stored every
// operation first and resolved afterwards, to the operations of one entity: all that
// are executing or protected win, and beside them the one pending operation that
// ranks highest by rule R3. The other pending ones lose. An operation of any other
// status does neither. Both lists are in rank order.
//
// Nothing in this system calls it. It is the yardstick for migrations and for the
// reference cases that both systems must agree on.
func ResolveStored(ops []Stored) (winners, losers []uuid.UUID) {
	ranked := slices.Clone(ops)
	slices.SortFunc(ranked, compareStored)
	taken := false
	for _, op := range ranked {
		switch {
		case op.Status == operation.Executing, op.Status == operation.Pending && op.Protected:
			winners = append(winners, op.OpID)
		case op.Status != operation.Pending:
		case taken:
			losers = append(losers, op.OpID)
		default:
			winners = append(winners, op.OpID)
			taken = true
		}
	}
	return winners, losers
}

func compareStored(a, b Stored) int {
	return cmp.Or(
		cmp.Compare(b.Effective, a.Effective),
		a.CreatedAt.Compare(b.CreatedAt),
		cmp.Compare(a.Sequence, b.Sequence),
		slices.Compare(a.OpID[:], b.OpID[:]),
	)
}
