package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// scene is one case: a test and an empty store.
type scene struct {
	*testing.T
	Fixture
	named int // entities so far
}

// noon is when everything happens.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_000, time.UTC)

// entity returns the id of a new entity of a partition.
func (s *scene) entity(partition int) uuid.UUID {
	for {
		s.named++
		id := operation.EntityID("entity-" + strconv.Itoa(s.named))
		if subjects.Partition(id, s.Store.Partitions()) == partition {
			return id
		}
	}
}

// head returns a head at a revision, whose history has one entry.
func head(id uuid.UUID, revision uint64, op uuid.UUID) *ecsstore.Entity {
	return &ecsstore.Entity{
		ID: id, Type: "tank", Place: ecsstore.Root, Revision: revision, CreatedAt: noon, UpdatedAt: noon,
		Components: map[string]any{"level": json.Number("12345678901234567890.5")},
		History: []ecsstore.Modification{{
			Revision: revision, OpID: op, OpType: operation.ModifyField, Time: noon, Priority: operation.High, Depth: 2,
		}},
	}
}

// owner is a worker that has claimed a partition.
type owner struct {
	fence  operation.Fence
	expect uint64
}

// claim claims a partition for name.
func (s *scene) claim(partition int, name string) *owner {
	s.Helper()
	c := s.claimed(partition, name)
	return &owner{fence: c.Fence, expect: c.Expect}
}

func (s *scene) claimed(partition int, name string) ecsstore.Claim {
	s.Helper()
	c, err := s.Store.Claim(s.Context(), partition, name, 0)
	if err != nil {
		s.Fatalf("claiming partition %d: %v", partition, err)
	}
	return c
}

// part returns the owner's next commit: as many windows, and nothing in them.
func (o *owner) part(windows int) ecsstore.Part {
	p := ecsstore.Part{Fence: o.fence, Expect: o.expect}
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

// batch makes a commit of parts.
func batch(parts ...ecsstore.Part) *ecsstore.Batch {
	return &ecsstore.Batch{ID: uuid.NewString(), Parts: parts}
}

// commit stores a batch whose parts are the owners', in that order.
func (s *scene) commit(b *ecsstore.Batch, owners ...*owner) ecsstore.Receipt {
	s.Helper()
	receipt, err := s.Store.Commit(s.Context(), b)
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	for i, o := range owners {
		o.fence, o.expect = b.Parts[i].Fence, receipt.Fences[i]
	}
	return receipt
}

// create stores an entity and returns the sequence of its head.
func (s *scene) create(o *owner, id uuid.UUID) uint64 {
	s.Helper()
	b := batch(o.part(1))
	b.Writes = []ecsstore.Write{{Entity: head(id, 1, uuid.New())}}
	return s.commit(b, o).Heads[id]
}

// refused commits a batch, wants that error and nothing stored.
func (s *scene) refused(b *ecsstore.Batch, want error) {
	s.Helper()
	before := s.all()
	_, err := s.Store.Commit(s.Context(), b)
	if !errors.Is(err, want) {
		s.Errorf("commit: %v, want %v", err, want)
	}
	s.same(before)
}

// all returns everything that is stored.
func (s *scene) all() []ecsstore.StoredMessage { return s.Stored(s.Space.Kept()) }

// same wants the store unchanged.
func (s *scene) same(before []ecsstore.StoredMessage) {
	s.Helper()
	if diff := cmp.Diff(before, s.all()); diff != "" {
		s.Errorf("what is stored has changed:\n%s", diff)
	}
}

// only returns the one message that is stored under a subject.
func (s *scene) only(subject string) ecsstore.StoredMessage {
	s.Helper()
	got := s.Stored(subject)
	if len(got) != 1 {
		s.Fatalf("%d messages are stored under %s, want one", len(got), subject)
	}
	return got[0]
}

// equal compares two values; empty and absent are the same.
func (s *scene) equal(what string, want, got any) {
	s.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// event returns an event about an entity.
func (s *scene) event(kind operation.Kind, o *owner, target, op uuid.UUID) ecsstore.Event {
	s.Helper()
	detail := operation.Detail{
		OpID: op, OpType: operation.ModifyField, Target: target.String(), Priority: operation.Low,
		EffectivePriority: operation.Critical, Worker: o.fence.Owner, Partition: o.fence.Partition,
		Window: operation.WindowID(o.fence.Partition, o.fence.Windows+1), Sequence: 1,
	}
	var data any = operation.CompletedDetail{Detail: detail, Attempt: 1}
	if kind == operation.RejectedEvent {
		data = operation.RejectedDetail{Detail: detail, Reason: operation.LostConflict, Message: "a < b"}
	}
	id := fmt.Sprintf("%s/%s/1", op, kind)
	body, err := operation.NewEvent(kind, id, o.fence.Partition, target.String(), noon, "", data)
	if err != nil {
		s.Fatal(err)
	}
	return ecsstore.Event{Kind: kind, Target: target.String(), Body: body}
}

// record returns the record of an operation on an entity.
func record(op, target uuid.UUID, sequence uint64, status operation.Status) operation.Record {
	r := operation.Record{
		OpID: op, Status: status, Role: operation.HolderRole, Sequence: sequence, ReceivedAt: noon, CreatedAt: noon,
		Digest: "d1", EffectivePriority: operation.High, InheritedFrom: operation.EntityID("parent"), Depth: 2,
		Window: "0-1", Attempt: 1,
	}
	if !status.Terminal() {
		r.Operation = &operation.Operation{ID: op, Type: operation.DetachEntity, Target: target, Priority: operation.Low}
	}
	return r
}
