package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// A worker works with the number of partitions that its store was opened with. When it
// meets a fence of another number, it ends its term, opens the store again and starts
// over. Nothing can go wrong until it notices: the fences that it knows were rewritten
// by the commit that changed the number, so that its own commits are refused.

// terms works, one term after the other, until ctx is done.
func (w *Worker) terms(ctx context.Context, store *ecsstore.JetStream) error {
	for {
		w.mu.Lock()
		w.store = store
		w.mu.Unlock()
		err := w.work(ctx, store)
		if !errors.Is(err, ecsstore.ErrResized) || ctx.Err() != nil {
			return err
		}
		w.cfg.Logger.InfoContext(ctx, "starting over", slog.Any("reason", err))
		if store, err = w.reopen(ctx); err != nil {
			return err
		}
		w.cfg.Logger.InfoContext(ctx, "the number of partitions has changed", slog.Int("partitions", store.Partitions()))
	}
}

// resized reports whether a term has ended because the number of partitions is another.
func resized(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ecsstore.ErrResized) }

// How often a worker looks whether a change of the number of partitions is over.
const (
	reopenFirst = 20 * time.Millisecond
	reopenMost  = time.Second
)

// reopen opens the store when its streams and its fences agree on the number of
// partitions again.
func (w *Worker) reopen(ctx context.Context) (*ecsstore.JetStream, error) {
	defer w.health.resizing("")
	for wait := reopenFirst; ; wait = min(2*wait, reopenMost) {
		store, err := eventually(ctx, w.cfg.Logger, func(ctx context.Context) (*ecsstore.JetStream, error) {
			return ecsstore.NewJetStream(ctx, w.js, w.cfg.Space)
		})
		if err != nil {
			return nil, err
		}
		fence, err := eventually(ctx, w.cfg.Logger, func(ctx context.Context) (operation.Fence, error) {
			return store.Fence(ctx, 0)
		})
		if err != nil || fence.Partitions == 0 || fence.Partitions == store.Partitions() {
			return store, err
		}
		w.health.resizing(fmt.Sprintf("the number of partitions is being changed from %d to %d; finish with: hierarchy scale-partitions %[2]d",
			store.Partitions(), fence.Partitions))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// another returns the number of partitions that a fence is of, if that is another than
// n.
func another(fences []operation.Fence, n int) (int, bool) {
	for _, f := range fences {
		if f.Partitions > 0 && f.Partitions != n {
			return f.Partitions, true
		}
	}
	return 0, false
}

// forget gives up every partition without a word.
func (e *engine) forget() {
	for _, id := range slices.Collect(maps.Keys(e.parts)) {
		e.disown(id)
	}
	e.stats.forget()
}

// resizing says why a worker that waits for a change of the number of partitions is not
// ready; "" ends that, and what was known of owners.
func (h *health) resizing(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits = why
	h.ownerless, h.looked = map[int]time.Time{}, time.Time{}
}
