package client

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/internal/traceheader"
)

// traced returns headers with the trace context of ctx: the span of whoever submits
// becomes the one that the operation's trace goes on from.
func traced(ctx context.Context) nats.Header {
	out := nats.Header{}
	traceheader.Inject(ctx, out)
	return out
}
