package resolver_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

// A scheduler holds the valve with an operation that failed and waits for its next
// attempt. An operator and an interlock want it in the same window.
func ExampleResolve() {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	contender := func(id byte, p operation.Priority, age time.Duration) resolver.Contender {
		return resolver.Contender{
			OpID: uuid.UUID{15: id}, Priority: p, Effective: p, New: true,
			CreatedAt: resolver.Clamp(now.Add(-age), now, 2*time.Second), Sequence: uint64(id),
		}
	}
	decision := resolver.Resolve(resolver.Contest{
		Entity: operation.EntityID("valve-7"),
		Holder: &operation.Holder{
			OpID: uuid.UUID{15: 1}, EffectivePriority: operation.Normal, Status: operation.Pending,
		},
		Contenders: []resolver.Contender{
			contender(2, operation.High, time.Minute),
			contender(3, operation.Critical, 0),
		},
	}, resolver.Limits{MaxCarries: 100, MaxCarried: 100})

	fmt.Print(resolver.Explain(decision))
	// Output:
	// entity 8767ecaf-54c1-5c2f-9992-db23a47e3d6e: 2 operations contend for it
	// held by 00000000-0000-0000-0000-000000000001 with normal, between two attempts and out of its grace period: the first is of higher priority and displaces it (R8)
	// 1. 00000000-0000-0000-0000-000000000003 wins with critical
	// 2. 00000000-0000-0000-0000-000000000002 loses (lost_conflict) with high: high is below critical (R3)
}

// A parent and its child are staged by the same window; the child inherits at once.
func ExampleInherit() {
	valve := operation.EntityID("valve-7")
	parent := operation.Operation{ID: uuid.UUID{15: 1}, Target: valve, Priority: operation.High}
	child := operation.Operation{ID: uuid.UUID{15: 2}, Target: valve, Priority: operation.Low, ParentID: parent.ID}

	in, err := resolver.Inherit(&child, func(ref operation.Ref) (resolver.Parent, bool, error) {
		return resolver.Parent{Priority: parent.Priority, Live: true}, ref == parent.Ref(), nil
	})
	fmt.Println(in.Effective, in.From == parent.ID, in.Depth, err)
	// Output: high true 2 <nil>
}
