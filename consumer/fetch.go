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

// fetch reads a claimed partition after its cursor until ctx is done. Decoding happens
// here, beside the engine; a full engine holds the reading up.
func (f *fetcher) fetch(ctx context.Context, c *claimed) {
	for at := c.claim.Fence.Cursor; ; {
		err := f.input.Read(ctx, c.claim.Fence.Partition, at, func(msg jetstream.Msg) {
			it := f.item(c, msg)
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

func (f *fetcher) item(c *claimed, msg jetstream.Msg) item {
	it := item{claim: c, subject: msg.Subject(), raw: slices.Clone(msg.Data())}
	if meta, err := msg.Metadata(); err == nil {
		it.sequence, it.received = meta.Sequence.Stream, meta.Timestamp.UTC()
	}
	it.origin.parent, it.origin.state = traceheader.Extract(msg.Headers())
	sub, err := f.space.ParseSubmission(msg.Subject())
	if err != nil {
		it.invalid = &operation.InvalidError{Field: "subject", Message: err.Error()}
		return it
	}
	it.sub = sub
	it.decode(f.custom)
	f.tracing.received(&it, time.Now())
	return it
}
