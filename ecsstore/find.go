package ecsstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Found is what the streams know of an operation, wherever it is in its life. A
// Found without Status was never accepted, or is no longer known.
type Found struct {
	Status        operation.Status
	Priority      operation.Priority
	Effective     operation.Priority // 0 while it waits in the operations stream
	InheritedFrom uuid.UUID
	Depth         int
	Operation     *operation.Operation // while it waits in the operations stream
}

// Find looks an operation up, first among those that wait to be taken, then among
// the live and lately ended, then among those that succeeded: in that order nothing
// that moves on meanwhile is missed. One that waits may be the same again of one that
// has ended (rule R9), which goes first. custom reports the types registered beside the
// built-in ones.
func (s *JetStream) Find(ctx context.Context, ref operation.Ref, custom func(operation.Type) bool) (Found, error) {
	partition := subjects.Partition(ref.Target, s.partitions)
	waiting, err := s.findPending(ctx, partition, ref, custom)
	if err != nil {
		return Found{}, fmt.Errorf("looking up operation %s: %w", ref.ID, err)
	}
	ended := func(ctx context.Context, _ int, ref operation.Ref) (Found, error) {
		return s.findEnded(ctx, ref, waiting.Operation)
	}
	for _, look := range []func(context.Context, int, operation.Ref) (Found, error){s.findRecord, s.findHistory, ended} {
		found, err := look(ctx, partition, ref)
		if err != nil {
			return Found{}, fmt.Errorf("looking up operation %s: %w", ref.ID, err)
		}
		if found.Status != "" {
			return found, nil
		}
	}
	return waiting, nil
}

// findPending reads what the partition has not resolved for the target.
func (s *JetStream) findPending(ctx context.Context, partition int, ref operation.Ref, custom func(operation.Type) bool) (Found, error) {
	var fence operation.Fence
	if _, err := s.last(ctx, s.space.Fence(partition), &fence); err != nil {
		return Found{}, err
	}
	filter, at := s.space.SubmittedTo(partition, ref.Target), fence.Cursor+1
	for range pendingSingly {
		msg, err := s.leaderGet(ctx, s.space.OpsStream(), getRequest{Sequence: at, NextFor: filter})
		if err != nil || msg == nil {
			return Found{}, err
		}
		at = msg.Sequence + 1
		if found := pending(s.space, msg.Subject, msg.Data, ref, custom); found.Status != "" {
			return found, nil
		}
	}
	return s.search(ctx, s.space.OpsStream(), jetstream.ConsumerConfig{
		FilterSubjects: []string{filter}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at,
	}, func(msg jetstream.Msg) (Found, error) {
		return pending(s.space, msg.Subject(), msg.Data(), ref, custom), nil
	})
}

// pendingSingly is how many operations that wait for an entity are read one by one.
// There are rarely more; a longer queue is read in one go.
const pendingSingly = 8

// search looks through the messages that a consumer selects, up to the present end,
// until one of them tells something.
func (s *JetStream) search(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig, tells func(jetstream.Msg) (Found, error),
) (found Found, err error) {
	reading := scan{js: s.js, stream: stream, cfg: cfg}
	var malformed error
	err = reading.run(ctx, func(msg jetstream.Msg) bool {
		if found, malformed = tells(msg); malformed != nil {
			malformed = fmt.Errorf("reading %s: %w", msg.Subject(), malformed)
		}
		return malformed == nil && found.Status == ""
	})
	return found, cmp.Or(malformed, err)
}

// pending is what a message of the operations stream says of an operation: nothing
// unless it is that operation.
func pending(space subjects.Space, subject string, data []byte, ref operation.Ref, custom func(operation.Type) bool) Found {
	sub, err := space.ParseSubmission(subject)
	if err != nil {
		return Found{}
	}
	op, err := operation.Decode(data, sub.Class, sub.Target, custom)
	if err != nil || op.ID != ref.ID {
		return Found{}
	}
	return Found{Status: operation.Pending, Priority: op.Priority, Operation: op}
}

func (s *JetStream) findRecord(ctx context.Context, partition int, ref operation.Ref) (Found, error) {
	var r operation.Record
	sequence, err := s.last(ctx, s.space.Record(partition, ref.ID), &r)
	if err != nil || sequence == 0 {
		return Found{}, err
	}
	return recorded(&r), nil
}

// recorded is what the record of an operation says of it.
func recorded(r *operation.Record) Found {
	return Found{
		Status: r.Status, Priority: r.EffectivePriority, Effective: r.EffectivePriority,
		InheritedFrom: r.InheritedFrom, Depth: r.Depth,
	}
}

// findHistory looks for a success among the latest changes of the target.
func (s *JetStream) findHistory(ctx context.Context, _ int, ref operation.Ref) (Found, error) {
	head, err := s.head(ctx, ref.Target)
	if err != nil || head.Entity == nil {
		return Found{}, err
	}
	return remembered(head.Entity, ref), nil
}

// remembered is what the history of an entity says of an operation.
func remembered(e *Entity, ref operation.Ref) Found {
	for _, m := range e.History {
		if m.OpID == ref.ID {
			return Found{Status: operation.Succeeded, Priority: m.Priority, Effective: m.Priority, Depth: m.Depth}
		}
	}
	return Found{}
}

// findEnded reads the completed events of the target: a success that changed nothing, or
// one that its history has forgotten. If the operation waits to be taken, it may also
// have ended in another way before.
func (s *JetStream) findEnded(ctx context.Context, ref operation.Ref, waiting *operation.Operation) (Found, error) {
	cfg := jetstream.ConsumerConfig{}
	for _, kind := range endings(waiting) {
		cfg.FilterSubjects = append(cfg.FilterSubjects, s.space.Event(kind, ref.Target))
	}
	if since := created(waiting); !since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	return s.search(ctx, s.space.StoreStream(), cfg, func(msg jetstream.Msg) (Found, error) {
		return ended(s.space, msg.Subject(), msg.Data(), ref)
	})
}

// endings lists the kinds of events that tell how an operation has ended, as far as it
// matters to those that look for it.
func endings(waiting *operation.Operation) []operation.Kind {
	if waiting == nil { // one that did not succeed is as good as none
		return []operation.Kind{operation.CompletedEvent}
	}
	return []operation.Kind{operation.CompletedEvent, operation.RejectedEvent, operation.CancelledEvent}
}

// maxFast is how far the clock of a publisher may be ahead of the broker's.
const maxFast = time.Minute

// created returns a time before which nothing can have been told of an operation, or
// zero.
func created(op *operation.Operation) time.Time {
	if op == nil || op.CreatedAt.IsZero() {
		return time.Time{}
	}
	return op.CreatedAt.Add(-maxFast)
}

// ended is what the event of an end says of an operation: nothing unless it is of that
// operation.
func ended(space subjects.Space, subject string, data []byte, ref operation.Ref) (Found, error) {
	kind, _, err := space.ParseEvent(subject)
	if err != nil {
		return Found{}, err
	}
	var event struct {
		Data operation.Detail `json:"data"`
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return Found{}, err
	}
	d := event.Data
	if d.OpID != ref.ID {
		return Found{}, nil
	}
	status := map[operation.Kind]operation.Status{
		operation.CompletedEvent: operation.Succeeded, operation.RejectedEvent: operation.Rejected, operation.CancelledEvent: operation.Cancelled,
	}[kind]
	return Found{Status: status, Priority: d.Priority, Effective: d.EffectivePriority, Depth: 1}, nil
}
