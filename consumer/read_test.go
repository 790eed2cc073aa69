package consumer

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// told is an event with the data of any kind.
type told struct {
	kind operation.Kind
	operation.Event
	detail details
}

// details has the data of every kind of event.
type details struct {
	operation.Detail
	Attempt    int                   `json:"attempt"`
	Error      string                `json:"error"`
	Version    uint64                `json:"version"`
	Revision   uint64                `json:"revision"`
	RetryCount int                   `json:"retry_count"`
	MaxRetries int                   `json:"max_retries"`
	BackoffMS  float64               `json:"backoff_ms"`
	Due        time.Time             `json:"due"`
	Reason     operation.Reason      `json:"reason"`
	Message    string                `json:"message"`
	Winner     uuid.UUID             `json:"winner_op_id"`
	Outranked  operation.Priority    `json:"winner_priority"`
	CancelID   uuid.UUID             `json:"cancel_id"`
	Status     operation.Status      `json:"status"`
	Contenders []operation.Contender `json:"contenders"`
	Changes    []operation.Change    `json:"changes"`
}

func (w *world) decode(msg jetstream.Msg) told {
	w.t.Helper()
	var e told
	if err := json.Unmarshal(msg.Data(), &e.Event); err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(e.Data, &e.detail); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if e.kind, _, err = w.space.ParseEvent(msg.Subject()); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// events returns all events that are stored.
func (w *world) events() []told {
	w.t.Helper()
	var out []told
	for _, msg := range w.stored(w.space.Events()) {
		out = append(out, w.decode(msg))
	}
	return out
}

// of returns the events of one kind about an operation.
func (w *world) of(kind operation.Kind, o operation.Operation) []told {
	w.t.Helper()
	var out []told
	for _, e := range w.events() {
		if e.kind == kind && e.detail.OpID == o.ID {
			out = append(out, e)
		}
	}
	return out
}

// stored returns the messages of the store that match a subject.
func (w *world) stored(filter string) []jetstream.Msg {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	consumer, err := w.js.OrderedConsumer(ctx, w.space.StoreStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{filter},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		w.t.Fatal(err)
	}
	defer messages.Stop()
	var out []jetstream.Msg
	for more := true; more; {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			w.t.Fatal(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			w.t.Fatal(err)
		}
		out, more = append(out, msg), meta.NumPending > 0
	}
	return out
}

// outcomes returns the terminal events by operation; more than one is an error.
func (w *world) outcomes() map[uuid.UUID]told {
	w.t.Helper()
	out := map[uuid.UUID]told{}
	for _, e := range w.events() {
		if _, terminal := e.kind.Outcome(); !terminal {
			continue
		}
		if before, twice := out[e.detail.OpID]; twice {
			w.t.Errorf("operation %s ended twice: %s, then %s", w.name(e.detail.OpID), before.kind, e.kind)
		}
		out[e.detail.OpID] = e
	}
	return out
}

// ended returns how an operation ended: completed, cancelled, the reason of its
// rejection, or nothing.
func (e told) ended() string {
	if e.kind == operation.RejectedEvent {
		return string(e.detail.Reason)
	}
	return string(e.kind)
}

// wants checks how operations ended. The outcome nothing is "".
func (w *world) wants(outcome string, ops ...operation.Operation) {
	w.t.Helper()
	got := w.outcomes()
	for _, o := range ops {
		if e := got[o.ID]; e.ended() != outcome {
			w.t.Errorf("%s ended as %q (%s), want %q", w.name(o.ID), e.ended(), e.detail.Message, outcome)
		}
	}
}

const completed = string(operation.CompletedEvent)

// head returns the head of an entity, nil if there is none.
func (w *world) head(id uuid.UUID) *ecsstore.Entity {
	w.t.Helper()
	e, err := w.read.Get(w.t.Context(), id)
	if err != nil {
		w.t.Logf("entity %s: %v", w.name(id), err)
		return nil
	}
	return e
}

// field returns a top-level component as JSON.
func (w *world) field(id uuid.UUID, name string) string {
	w.t.Helper()
	e := w.head(id)
	if e == nil {
		return ""
	}
	text, err := json.Marshal(e.Components[name])
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// records returns the records of live operations.
func (w *world) records() map[uuid.UUID]operation.Record {
	w.t.Helper()
	out := map[uuid.UUID]operation.Record{}
	for p := range w.partitions() {
		for _, msg := range w.stored(w.space.Records(p)) {
			var r operation.Record
			if err := json.Unmarshal(msg.Data(), &r); err != nil {
				w.t.Fatal(err)
			}
			if !r.Status.Terminal() {
				out[r.OpID] = r
			}
		}
	}
	return out
}

// dead returns the reasons of the dead letters.
func (w *world) dead() []string {
	w.t.Helper()
	var out []string
	for _, msg := range w.stored(w.space.DeadLetters()) {
		out = append(out, msg.Headers().Get(ecsstore.HeaderDeadReason))
	}
	return out
}

// name returns what transcripts call an id.
func (w *world) name(id uuid.UUID) string {
	if name, ok := w.names[id]; ok {
		return name
	}
	if o, ok := w.ops[id]; ok {
		return string(o.Type) + " " + id.String()
	}
	return id.String()
}
