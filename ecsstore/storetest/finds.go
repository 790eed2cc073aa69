package storetest

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

var finds = map[string]func(*scene){
	"R1 an operation through its life":  findThroughALife,
	"R1 nothing of what never was":      findNothing,
	"R1 a custom type":                  findCustomType,
	"R1 a success that changed nothing": findCompleted,
	"R1 behind a long queue":            findBehindAQueue,
}

// find looks up an operation.
func (s *scene) find(target, op uuid.UUID) ecsstore.Found {
	s.Helper()
	return s.findWith(target, op, func(operation.Type) bool { return false })
}

func (s *scene) findWith(target, op uuid.UUID, custom func(operation.Type) bool) ecsstore.Found {
	s.Helper()
	got, err := s.Store.Find(s.Context(), operation.Ref{Target: target, ID: op}, custom)
	if err != nil {
		s.Fatal(err)
	}
	return got
}

// submit publishes an operation that wants no more than its target.
func (s *scene) submit(kind operation.Type, target, op uuid.UUID) uint64 {
	s.Helper()
	return s.Submit("high", target, fmt.Appendf(nil, `{"op_id":%q,"op_type":%q,"target_entity_id":%q}`, op, kind, target))
}

// However far an operation has come, it is found: in the operations stream, in its
// record, in the history of its target.
func findThroughALife(s *scene) {
	o := s.claim(1, "worker")
	target, op := s.entity(1), uuid.New()
	s.Submit(subjects.CancelToken, target, fmt.Appendf(nil, `{"cancel_id":%q,"op_id":%q}`, uuid.New(), op))
	s.Submit("low", target, []byte("no operation"))
	s.submit(operation.DetachEntity, target, uuid.New())
	sequence := s.submit(operation.DetachEntity, target, op)
	s.equal("while it is in the operations stream", ecsstore.Found{
		Status: operation.Pending, Priority: operation.High, Operation: &operation.Operation{
			ID: op, Type: operation.DetachEntity, Target: target, Priority: operation.High,
		},
	}, s.find(target, op))

	p := o.Part(1)
	p.Fence.Cursor = sequence
	p.Records = []operation.Record{record(op, target, sequence, operation.Executing)}
	s.commit(Batch(p), o)
	want := ecsstore.Found{
		Status: operation.Executing, Priority: operation.High, Effective: operation.High,
		InheritedFrom: operation.EntityID("parent"), Depth: 2,
	}
	s.equal("while it executes", want, s.find(target, op))

	p = o.Part(1)
	p.Records = []operation.Record{record(op, target, sequence, operation.Rejected)}
	s.commit(Batch(p), o)
	want.Status = operation.Rejected
	s.equal("once it has ended", want, s.find(target, op))

	other := uuid.New() // of which no record was ever needed
	b := Batch(o.Part(1))
	b.Writes = []ecsstore.Write{{Entity: Head(target, 1, other)}}
	s.commit(b, o)
	s.equal("once it has succeeded", ecsstore.Found{
		Status: operation.Succeeded, Priority: operation.High, Effective: operation.High, Depth: 2,
	}, s.find(target, other))
}

// What was never submitted, was submitted for another, or was rejected in the window
// that took it, is not found.
func findNothing(s *scene) {
	o := s.claim(1, "worker")
	target, op := s.entity(1), uuid.New()
	s.equal("before anything is stored", ecsstore.Found{}, s.find(target, op))
	sequence := s.submit(operation.DetachEntity, s.entity(1), op)
	s.equal("as an operation for another", ecsstore.Found{}, s.find(target, op))
	lost := uuid.New()
	p := o.Part(1)
	p.Fence.Cursor = max(sequence, s.submit(operation.DetachEntity, target, lost))
	p.Events = []ecsstore.Event{
		s.event(operation.RejectedEvent, o, target, lost), s.event(operation.CompletedEvent, o, target, uuid.New()),
	}
	b := Batch(p)
	b.Writes = []ecsstore.Write{{Entity: Head(target, 1, uuid.New())}}
	s.commit(b, o)
	s.equal("after it has lost", ecsstore.Found{}, s.find(target, lost))
	s.equal("in a partition that nobody has claimed", ecsstore.Found{}, s.find(s.entity(2), lost))
}

// A type that nobody has registered cannot be read; with its system it can.
func findCustomType(s *scene) {
	target, op := s.entity(0), uuid.New()
	s.submit("calibrate", target, op)
	s.equal("without the system", ecsstore.Found{}, s.find(target, op))
	got := s.findWith(target, op, func(t operation.Type) bool { return t == "calibrate" })
	if got.Status != operation.Pending || got.Operation == nil || got.Operation.Type != "calibrate" {
		s.Errorf("with the system: %+v", got)
	}
}

// A success that changed nothing, or one that the history has forgotten, is found by
// its event.
func findCompleted(s *scene) {
	o := s.claim(3, "worker")
	target := s.entity(3)
	var ops []uuid.UUID
	for range 3 {
		op := uuid.New()
		p := o.Part(1)
		p.Events = []ecsstore.Event{s.event(operation.CompletedEvent, o, target, op)}
		s.commit(Batch(p), o)
		ops = append(ops, op)
	}
	for _, op := range ops {
		s.equal("by its event", ecsstore.Found{
			Status: operation.Succeeded, Priority: operation.Low, Effective: operation.Critical, Depth: 1,
		}, s.find(target, op))
	}
}

// An operation is found, or not, however many others wait for its entity.
func findBehindAQueue(s *scene) {
	target, op := s.entity(0), uuid.New()
	for range 50 {
		s.submit(operation.DetachEntity, target, uuid.New())
	}
	s.equal("before it is there", ecsstore.Found{}, s.find(target, op))
	s.submit(operation.DetachEntity, target, op)
	s.submit(operation.DetachEntity, target, uuid.New())
	if got := s.find(target, op); got.Status != operation.Pending || got.Operation == nil || got.Operation.ID != op {
		s.Errorf("behind the queue: %+v", got)
	}
}
