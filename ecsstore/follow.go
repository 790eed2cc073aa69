package ecsstore

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// EventFilter says which events to read. The zero filter matches all that are kept.
type EventFilter struct {
	Kinds  []operation.Kind // none: every kind
	Entity uuid.UUID        // none: every entity
	Since  time.Time        // by the broker's clock; none: from the first kept, or from now on with Follow
	Follow bool             // go on at the end and wait for more
}

// StoredEvent is an event as the stream keeps it.
type StoredEvent struct {
	Kind     operation.Kind
	Sequence uint64    // in the store's stream
	Stored   time.Time // by the broker's clock
	Body     operation.Event
}

// Events yields events in the order in which they were committed, each once, also
// across reconnections. With Follow it ends when ctx is done or the connection is
// closed; the error it then yields says which.
func (r *Reader) Events(ctx context.Context, f EventFilter) iter.Seq2[StoredEvent, error] {
	return func(yield func(StoredEvent, error) bool) {
		cfg, err := r.eventConfig(ctx, f)
		if err != nil {
			yield(StoredEvent{}, err)
			return
		}
		for msg, err := range r.scan(ctx, r.space.StoreStream(), cfg, f.Follow) {
			var event StoredEvent
			if err == nil {
				event, err = r.storedEvent(msg)
			}
			if err != nil {
				err = fmt.Errorf("reading events: %w", err)
			}
			if !yield(event, err) {
				return
			}
		}
	}
}

func (r *Reader) eventConfig(ctx context.Context, f EventFilter) (jetstream.ConsumerConfig, error) {
	cfg := jetstream.ConsumerConfig{FilterSubjects: r.eventSubjects(f)}
	switch {
	case !f.Since.IsZero():
		since := f.Since
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	case f.Follow:
		// A start of "new" would be taken afresh if the broker lost the consumer
		// before the first event.
		last, err := r.lastSequence(ctx)
		if err != nil {
			return cfg, err
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last+1
	}
	return cfg, nil
}

func (r *Reader) eventSubjects(f EventFilter) []string {
	switch {
	case len(f.Kinds) == 0 && f.Entity == uuid.Nil:
		return []string{r.space.Events()}
	case len(f.Kinds) == 0:
		return []string{r.space.EventsAbout(f.Entity)}
	}
	var out []string
	for _, kind := range f.Kinds {
		if f.Entity == uuid.Nil {
			out = append(out, r.space.EventsOf(kind))
		} else {
			out = append(out, r.space.Event(kind, f.Entity))
		}
	}
	return out
}

func (r *Reader) storedEvent(msg jetstream.Msg) (StoredEvent, error) {
	kind, _, err := r.space.ParseEvent(msg.Subject())
	if err != nil {
		return StoredEvent{}, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return StoredEvent{}, err
	}
	out := StoredEvent{Kind: kind, Sequence: meta.Sequence.Stream, Stored: meta.Timestamp}
	if err := decodeNumbers(msg.Data(), &out.Body); err != nil {
		return StoredEvent{}, fmt.Errorf("event %d: %w", out.Sequence, err)
	}
	return out, nil
}

// toTheEnd is for a scan that does not follow.
const toTheEnd = false

// scan yields what a stream stores, in order and each once, from the start that
// cfg names to the present end, or on and on if it is to follow.
func (r *Reader) scan(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig, follow bool,
) iter.Seq2[jetstream.Msg, error] {
	return func(yield func(jetstream.Msg, error) bool) {
		s := scan{js: r.js, stream: stream, cfg: cfg, follow: follow}
		if err := s.run(ctx, func(msg jetstream.Msg) bool { return yield(msg, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

// decodeEach turns messages into values of T; what names them in errors.
func decodeEach[T any](messages iter.Seq2[jetstream.Msg, error], what string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for msg, err := range messages {
			out := new(T)
			if err == nil {
				err = decodeNumbers(msg.Data(), out)
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", what, err))
				return
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}
