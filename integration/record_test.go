//go:build integration

package integration

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// seen is an event as any subscriber gets it, with the fields that tests look at.
type seen struct {
	kind operation.Kind

	OpID         uuid.UUID             `json:"op_id"`
	Target       uuid.UUID             `json:"target_entity_id"`
	Effective    operation.Priority    `json:"effective_priority"`
	Reason       operation.Reason      `json:"reason"`
	RetryCount   int                   `json:"retry_count"`
	BackoffMS    float64               `json:"backoff_ms"`
	Winner       uuid.UUID             `json:"winner_op_id"`
	Contenders   []operation.Contender `json:"contenders"`
	ResolutionMS float64               `json:"resolution_ms"`
}

// record keeps the events of a site in the order in which they came.
type record struct {
	t      *testing.T
	mu     sync.Mutex // guards events
	events []seen
}

// listen records all events from now on, by a plain subscription.
func (s *site) listen() *record {
	s.t.Helper()
	r := &record{t: s.t}
	sub, err := s.nc.Subscribe(subjects.Space{}.Events(), r.take)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = sub.Unsubscribe() })
	s.flush()
	return r
}

func (r *record) take(msg *nats.Msg) {
	kind, _, err := subjects.Space{}.ParseEvent(msg.Subject)
	if err != nil {
		r.t.Errorf("event on %s: %v", msg.Subject, err)
		return
	}
	var envelope operation.Event
	got := seen{kind: kind}
	err = json.Unmarshal(msg.Data, &envelope)
	if err == nil {
		err = json.Unmarshal(envelope.Data, &got)
	}
	if err != nil {
		r.t.Errorf("event %s: %v", msg.Data, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, got)
}

// all returns the events that match.
func (r *record) all(match func(seen) bool) []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.events), func(e seen) bool { return !match(e) })
}

// of returns the events of an operation, without conflicts.
func (r *record) of(op *operation.Operation) []seen {
	return r.all(func(e seen) bool { return e.OpID == op.ID && e.kind != operation.ConflictEvent })
}

// kinds returns their kinds in short.
func (r *record) kinds(op *operation.Operation) []operation.Kind {
	var out []operation.Kind
	for _, e := range r.of(op) {
		out = append(out, e.kind)
	}
	return out
}

// count returns how many events of a kind there are about an operation.
func (r *record) count(op *operation.Operation, kind operation.Kind) int {
	return len(r.all(func(e seen) bool { return e.OpID == op.ID && e.kind == kind }))
}

// conflicts returns the conflicts over an entity.
func (r *record) conflicts(entity uuid.UUID) []seen {
	return r.all(func(e seen) bool { return e.kind == operation.ConflictEvent && e.Target == entity })
}

var everyEnd = ecsstore.EventFilter{Kinds: []operation.Kind{
	operation.CompletedEvent, operation.RejectedEvent, operation.CancelledEvent,
}}

// conserved checks, by the stored events and the partitions' counts alone, that every
// operation taken has ended exactly once, and returns how many there are.
func (s *site) conserved() int {
	s.t.Helper()
	ends := map[uuid.UUID]int{}
	for stored, err := range s.read.Events(s.t.Context(), everyEnd) {
		if err != nil {
			s.t.Fatalf("reading the events: %v", err)
		}
		var detail operation.Detail
		if err := stored.Body.Decode(&detail); err != nil {
			s.t.Fatalf("reading an event: %v", err)
		}
		ends[detail.OpID]++
	}
	fences, err := s.read.Fences(s.t.Context())
	if err != nil {
		s.t.Fatalf("reading the fences: %v", err)
	}
	var sum operation.Counts
	for _, f := range fences {
		sum.Submitted += f.Counts.Submitted
		sum.DeadLettered += f.Counts.DeadLettered
		sum.Live += f.Counts.Live
	}
	if want := int(sum.Submitted - sum.DeadLettered); len(ends) != want || sum.Live != 0 || want == 0 {
		s.t.Errorf("%d operations have ended, %d live, of %d taken", len(ends), sum.Live, want)
	}
	for id, n := range ends {
		if n != 1 {
			s.t.Errorf("operation %s has ended %d times", id, n)
		}
	}
	return len(ends)
}
