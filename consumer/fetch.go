package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// How operations are pulled. The heartbeat finds a dead consumer within a second.
const (
	pullMessages  = 512 // in the client's buffer of each partition, at most
	pullExpiry    = 2 * time.Second
	pullHeartbeat = 500 * time.Millisecond
)

// fetcher reads partitions of the operations stream.
type fetcher struct {
	js     jetstream.JetStream
	space  subjects.Space
	custom func(operation.Type) bool
	out    chan<- item // owned by the engine

	mu      sync.Mutex // guards readers
	readers map[int]jetstream.Consumer
}

// fetch starts to read a claimed partition after its cursor, and stops when ctx is
// done. Decoding happens here, beside the engine; a full engine holds the reading up.
func (f *fetcher) fetch(ctx context.Context, c *claimed) error {
	partition := c.claim.Fence.Partition
	consumer, err := f.js.OrderedConsumer(ctx, f.space.OpsStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{f.space.Submitted(partition)},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    c.claim.Fence.Cursor + 1,
	})
	if err != nil {
		return fmt.Errorf("reading partition %d: %w", partition, err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		select {
		case f.out <- f.item(c, msg):
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(pullMessages), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("reading partition %d: %w", partition, err)
	}
	f.reads(partition, consumer)
	context.AfterFunc(ctx, func() {
		consuming.Stop()
		f.readsNoMore(partition, consumer)
	})
	return nil
}

func (f *fetcher) reads(partition int, by jetstream.Consumer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers == nil {
		f.readers = map[int]jetstream.Consumer{}
	}
	f.readers[partition] = by
}

func (f *fetcher) readsNoMore(partition int, by jetstream.Consumer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers[partition] == by { // it may have been claimed again meanwhile
		delete(f.readers, partition)
	}
}

// pending counts the operations of a partition that the broker has not delivered.
func (f *fetcher) pending(ctx context.Context, partition int) (int, error) {
	f.mu.Lock()
	reader := f.readers[partition]
	f.mu.Unlock()
	if reader == nil {
		return 0, nil
	}
	info, err := reader.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrOrderedConsumerNotCreated) {
		return 0, nil // it is just being made anew
	}
	if err != nil {
		return 0, fmt.Errorf("counting what partition %d has yet to read: %w", partition, err)
	}
	return int(info.NumPending), nil //nolint:gosec // a stream's bound is far below
}

// The longest trace headers that are passed on, in bytes; W3C Trace Context.
const (
	maxTraceParent = 55
	maxTraceState  = 512
)

func (f *fetcher) item(c *claimed, msg jetstream.Msg) item {
	it := item{claim: c, subject: msg.Subject(), raw: slices.Clone(msg.Data())}
	if meta, err := msg.Metadata(); err == nil {
		it.sequence, it.received = meta.Sequence.Stream, meta.Timestamp.UTC()
	}
	it.traceParent = header(msg.Headers(), "traceparent", maxTraceParent)
	it.traceState = header(msg.Headers(), "tracestate", maxTraceState)
	sub, err := f.space.ParseSubmission(msg.Subject())
	if err != nil {
		it.invalid = &operation.InvalidError{Field: "subject", Message: err.Error()}
		return it
	}
	it.sub = sub
	it.decode(f.custom)
	return it
}
