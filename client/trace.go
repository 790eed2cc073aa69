package client

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
)

// traced returns headers with the trace context of ctx, as the program's propagator
// writes it. Header names are case-sensitive in NATS; W3C spells them in lower case.
func traced(ctx context.Context) nats.Header {
	out := carrier{}
	otel.GetTextMapPropagator().Inject(ctx, out)
	return nats.Header(out)
}

// carrier writes header names in lower case.
type carrier nats.Header

func (c carrier) Get(key string) string { return nats.Header(c).Get(strings.ToLower(key)) }

func (c carrier) Set(key, value string) { c[strings.ToLower(key)] = []string{value} }

func (c carrier) Keys() []string {
	out := make([]string, 0, len(c))
	for key := range c {
		out = append(out, key)
	}
	return out
}
