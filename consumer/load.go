package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// loaded is what was asked for before a round could be planned.
type loaded struct {
	heads  map[uuid.UUID]ecsstore.Head
	found  map[operation.Ref]ecsstore.Found
	fences map[int]operation.Fence // of partitions in doubt
	err    error
}

// load reads what the round lacks.
func (e *engine) load(ctx context.Context, r *round) {
	ids, refs := r.lacks()
	e.away = true
	e.launch(func() {
		got := loaded{found: map[operation.Ref]ecsstore.Found{}}
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		got.heads, got.err = e.store.Load(ctx, ids)
		for _, ref := range refs {
			if got.err != nil {
				break
			}
			got.found[ref], got.err = e.store.Find(ctx, ref, e.cfg.custom)
		}
		e.loaded <- got
	})
}

// inspect reads the fences of partitions whose commit was refused. They tell whether
// the partition is another's by now, or a head has changed.
func (e *engine) inspect(ctx context.Context) {
	ids := slices.Sorted(maps.Keys(e.doubts))
	e.away = true
	e.launch(func() {
		got := loaded{fences: map[int]operation.Fence{}}
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		for _, id := range ids {
			if got.fences[id], got.err = e.store.Fence(ctx, id); got.err != nil {
				break
			}
		}
		e.loaded <- got
	})
}

// judge gives a partition up if its fence is not the one that this worker wrote last.
func (e *engine) judge(id int, fence operation.Fence) {
	delete(e.doubts, id)
	if p := e.parts[id]; p != nil && fence.BatchID != p.fence.BatchID {
		e.disown(id)
		e.lost(id, fmt.Errorf("%w: %s, in epoch %d", ecsstore.ErrLost, fence.Owner, fence.Epoch))
	}
}

func (e *engine) reload(got loaded) {
	e.away = false
	if got.err != nil {
		e.log.Warn("reading the store", slog.Any("error", got.err))
		e.pause(time.Now())
		return
	}
	for id, head := range got.heads {
		e.cache.put(id, head)
	}
	for id, fence := range got.fences {
		e.judge(id, fence)
	}
	if e.found == nil {
		e.found = map[operation.Ref]ecsstore.Found{}
	}
	maps.Copy(e.found, got.found)
}
