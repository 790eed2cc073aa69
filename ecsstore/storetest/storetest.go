// Package storetest holds every store to what a worker relies on.
//
// [Run] is the suite. It is run against [ecsstore.Memory], which tests use in place
// of a broker, and against [ecsstore.JetStream] on one server and on three, so that
// what is tested with the one holds for the other. Each case gets a [Fixture]: an
// empty store, a way to submit operations beside it and a way to look behind it.
//
// The suite knows a store by its answers and by what it has stored, and nothing of
// how it works. What only a broker can do (lose its connection, elect a leader, run
// out of room) is tested where the store is.
package storetest

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Store is what a worker needs of the place where its partitions live. It is the
// consumer's interface of that name.
type Store interface {
	// Partitions returns the number of partitions.
	Partitions() int
	// Claim makes owner the owner of a partition and returns what it left behind.
	Claim(ctx context.Context, partition int, owner string, epoch uint64) (ecsstore.Claim, error)
	// Fence returns the fence of a partition, the zero fence if it was never claimed.
	Fence(ctx context.Context, partition int) (operation.Fence, error)
	// Release lets go of partitions in good order, of all or of none.
	Release(ctx context.Context, held ...ecsstore.Held) error
	// Load returns the head of each entity.
	Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ecsstore.Head, error)
	// Find looks up an operation that another names as its parent.
	Find(ctx context.Context, ref operation.Ref, custom func(operation.Type) bool) (ecsstore.Found, error)
	// Commit stores a batch whole or not at all.
	Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error)
}

// Fixture is an empty store of at least four partitions that nobody has claimed.
type Fixture struct {
	Store Store
	Space subjects.Space // of what is stored
	// Submit publishes an operation, or whatever the body is, for a target and returns
	// its sequence. The class is a priority's name or [subjects.CancelToken].
	Submit func(class string, target uuid.UUID, body []byte) uint64
	// Stored returns what the store holds under a subject, which may have wildcards, in
	// the order in which it was written.
	Stored func(subject string) []ecsstore.StoredMessage
}

// Run runs the suite. It calls open for each case; what open starts must end with
// the t that it is given.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	for _, part := range []struct {
		name  string
		cases map[string]func(*scene)
	}{
		{"claim", claims}, {"commit", commits}, {"content", contents}, {"find", finds},
	} {
		for name, run := range part.cases {
			t.Run(part.name+"/"+name, func(t *testing.T) {
				run(&scene{T: t, Fixture: open(t)})
			})
		}
	}
}
