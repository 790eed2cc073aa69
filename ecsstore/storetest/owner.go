package storetest

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Owner is a worker that has claimed a partition, for tests that commit.
type Owner struct{ ecsstore.Held }

// Claim claims a partition for name.
func Claim(t *testing.T, s Store, partition int, name string) *Owner {
	t.Helper()
	c, err := s.Claim(t.Context(), partition, name, 0)
	if err != nil {
		t.Fatalf("claiming partition %d: %v", partition, err)
	}
	return &Owner{c.Held}
}

// Stored tells the owner that part i of a batch, its own, is stored.
func (o *Owner) Stored(b *ecsstore.Batch, r ecsstore.Receipt, i int) {
	o.Fence, o.Expect = b.Parts[i].Fence, r.Fences[i]
}

// Part returns the owner's next commit: as many windows, and nothing in them.
func (o *Owner) Part(windows int) ecsstore.Part {
	p := ecsstore.Part{Fence: o.Fence, Expect: o.Expect}
	f := &p.Fence
	f.Crashes, f.Released = 0, false
	for range windows {
		f.Windows++
		p.Windows = append(p.Windows, operation.Window{
			ID: operation.WindowID(f.Partition, f.Windows), Partition: f.Partition, Number: f.Windows,
			Owner: f.Owner, Epoch: f.Epoch, After: f.Cursor, Cursor: f.Cursor, Cause: operation.ClosedByTimer,
			Opened: noon, Closed: noon,
		})
	}
	return p
}

// Batch makes a commit of parts.
func Batch(parts ...ecsstore.Part) *ecsstore.Batch {
	return &ecsstore.Batch{ID: uuid.NewString(), Parts: parts}
}

// Head returns a head at a revision, whose history has one entry.
func Head(id uuid.UUID, revision uint64, op uuid.UUID) *ecsstore.Entity {
	return &ecsstore.Entity{
		ID: id, Type: "tank", Place: ecsstore.Root, Revision: revision, CreatedAt: noon, UpdatedAt: noon,
		Components: map[string]any{"level": json.Number("12345678901234567890.5")},
		History: []ecsstore.Modification{{
			Revision: revision, OpID: op, OpType: operation.ModifyField, Time: noon, Priority: operation.High, Depth: 2,
		}},
	}
}
