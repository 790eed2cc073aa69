package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

// openEvery is how often a worker that starts tries to open what it needs.
const openEvery = 500 * time.Millisecond

// eventually opens something, as often as it takes: a broker that is away, or has no
// leader at the moment, is no reason for a worker not to start (rule R25). It gives up
// when ctx is done, or when trying again cannot help.
func eventually[T any](ctx context.Context, log *slog.Logger, open func(context.Context) (T, error)) (T, error) {
	again := time.NewTicker(openEvery)
	defer again.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, storeTimeout)
		got, err := open(once)
		cancel()
		if err == nil || ctx.Err() != nil || hopeless(err) {
			return got, err
		}
		log.WarnContext(ctx, "the broker is not ready, trying again", slog.Any("error", err))
		select {
		case <-again.C:
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

// hopeless reports whether an error says something that does not change by itself.
func hopeless(err error) bool {
	for _, lasting := range []error{
		ecsstore.ErrNotInitialized, ecsstore.ErrUnsafeStream, ecsstore.ErrOldServer, ecsstore.ErrNoJetStream,
		jetstream.ErrBucketNotFound, nats.ErrConnectionClosed, nats.ErrPermissionViolation,
	} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}
