package consumer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/internal/traceheader"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// fetcher reads partitions of the operations stream.
type fetcher struct {
	input   Input
	space   subjects.Space
	custom  func(operation.Type) bool
	log     *slog.Logger
	out     chan<- item // owned by the engine
	tracing *tracing
}

// fetchPause is how long a partition is left alone that could not be read.
const fetchPause = time.Second

// fetch reads a partition after a cursor until ctx is done. The partition is being
// claimed; once it is owned, what lies before the claim's own cursor is left out. Decoding
// happens here, beside the engine; a full engine holds the reading up.
func (f *fetcher) fetch(ctx context.Context, c *claimed, partition int, cursor uint64) {
	for at := cursor; ; {
		err := f.input.Read(ctx, partition, at, func(msg jetstream.Msg) {
			select {
			case <-c.owned:
			case <-ctx.Done():
				return
			}
			it := item{claim: c}
			if meta, err := msg.Metadata(); err == nil {
				it.sequence, it.received = meta.Sequence.Stream, meta.Timestamp.UTC()
			}
			if it.sequence <= c.claim.Fence.Cursor {
				return
			}
			f.read(&it, msg)
			select {
			case f.out <- it:
				at = it.sequence
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return
		}
		f.log.WarnContext(ctx, "reading operations", slog.Any("error", err))
		select {
		case <-time.After(fetchPause):
		case <-ctx.Done():
			return
		}
	}
}

// read takes over what a message says.
func (f *fetcher) read(it *item, msg jetstream.Msg) {
	it.subject, it.raw = msg.Subject(), slices.Clone(msg.Data())
	it.origin.parent, it.origin.state = traceheader.Extract(msg.Headers())
	sub, err := f.space.ParseSubmission(msg.Subject())
	if err != nil {
		it.invalid = &operation.InvalidError{Field: "subject", Message: err.Error()}
		return
	}
	it.sub = sub
	it.decode(f.custom)
	f.tracing.received(it, time.Now())
}
