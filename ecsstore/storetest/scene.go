package storetest

import (
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

// claim claims a partition for name.
func (s *scene) claim(partition int, name string) *Owner {
	s.Helper()
	return Claim(s.T, s.Store, partition, name)
}

func (s *scene) claimed(partition int, name string) ecsstore.Claim {
	s.Helper()
	c, err := s.Store.Claim(s.Context(), partition, name, 0)
	if err != nil {
		s.Fatalf("claiming partition %d: %v", partition, err)
	}
	return c
}

// commit stores a batch whose parts are the owners', in that order.
func (s *scene) commit(b *ecsstore.Batch, owners ...*Owner) ecsstore.Receipt {
	s.Helper()
	receipt, err := s.Store.Commit(s.Context(), b)
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	for i, o := range owners {
		o.Stored(b, receipt, i)
	}
	return receipt
}

// create stores an entity and returns the sequence of its head.
func (s *scene) create(o *Owner, id uuid.UUID) uint64 {
	s.Helper()
	b := Batch(o.Part(1))
	b.Writes = []ecsstore.Write{{Entity: Head(id, 1, uuid.New())}}
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
func (s *scene) event(kind operation.Kind, o *Owner, target, op uuid.UUID) ecsstore.Event {
	s.Helper()
	detail := operation.Detail{
		OpID: op, OpType: operation.ModifyField, Target: target.String(), Priority: operation.Low,
		EffectivePriority: operation.Critical, Worker: o.Fence.Owner, Partition: o.Fence.Partition,
		Window: operation.WindowID(o.Fence.Partition, o.Fence.Windows+1), Sequence: 1,
	}
	var data any = operation.CompletedDetail{Detail: detail, Attempt: 1}
	if kind == operation.RejectedEvent {
		data = operation.RejectedDetail{Detail: detail, Reason: operation.LostConflict, Message: "a < b"}
	}
	id := fmt.Sprintf("%s/%s/1", op, kind)
	body, err := operation.NewEvent(kind, id, o.Fence.Partition, target.String(), noon, "", data)
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
