package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
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

func (r *Reader) eventConfig(ctx context.Context, f EventFilter) (jetstream.OrderedConsumerConfig, error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: r.eventSubjects(f)}
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

// How a scan notices that the broker has lost its consumer, and what it reads at once.
const (
	scanExpiry    = 2 * time.Second
	scanHeartbeat = 500 * time.Millisecond
	scanIdle      = 30 * time.Second // after which the broker forgets the consumer
	toTheEnd      = false            // for a scan that does not follow
)

// scan yields what a stream stores, in order and each once, from the start that
// cfg names to the present end, or on and on if it is to follow.
func (r *Reader) scan(
	ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig, follow bool,
) iter.Seq2[jetstream.Msg, error] {
	return func(yield func(jetstream.Msg, error) bool) {
		cfg.InactiveThreshold = scanIdle
		consumer, err := r.js.OrderedConsumer(ctx, stream, cfg)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = fmt.Errorf("stream %s: %w", stream, ErrNotInitialized)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.forget(ctx, stream, consumer)
		if !follow && consumer.CachedInfo().NumPending == 0 {
			return
		}
		consume(ctx, consumer, follow, yield)
	}
}

// forget removes the consumer of a scan; if that fails the broker does it later.
func (r *Reader) forget(ctx context.Context, stream string, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name)
}

// consume hands a consumer's messages to yield. The library calls back from a
// goroutine of its own, which ends with Stop.
func consume(ctx context.Context, consumer jetstream.Consumer, follow bool, yield func(jetstream.Msg, error) bool) {
	inner, cancel := context.WithCancel(ctx)
	messages, ends := make(chan jetstream.Msg), make(chan error, 1)
	running, err := consumer.Consume(func(msg jetstream.Msg) {
		select {
		case messages <- msg:
		case <-inner.Done():
		}
	}, jetstream.PullExpiry(scanExpiry), jetstream.PullHeartbeat(scanHeartbeat), ignorable(ends))
	if err != nil {
		cancel()
		yield(nil, err)
		return
	}
	defer running.Stop()
	defer cancel() // first: Stop may wait for the callback
	for {
		select {
		case msg := <-messages:
			if !yield(msg, nil) || !follow && last(msg) {
				return
			}
		case err := <-ends:
			yield(nil, err)
			return
		case <-ctx.Done():
			yield(nil, context.Cause(ctx))
			return
		}
	}
}

// ignorable passes on the errors that end a scan. The consumer overcomes all others
// by itself.
func ignorable(ends chan<- error) jetstream.PullConsumeOpt {
	return jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		fatal := errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConnectionClosed) ||
			errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrPermissionViolation)
		if !fatal {
			return
		}
		select {
		case ends <- err:
		default:
		}
	})
}

// last reports whether nothing stood behind msg when it was delivered.
func last(msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	return err != nil || meta.NumPending == 0
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
