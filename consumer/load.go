package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

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

// How reading for a round is bounded: more time is given with each failure in a row, and
// what was read before is not read again.
const (
	loadTimeoutMost = time.Minute
	findAtOnce      = 8
)

// load reads what the round lacks.
func (e *engine) load(ctx context.Context, r *round) {
	ids, refs := r.lacks()
	timeout := min(time.Duration(e.fails+1)*storeTimeout, loadTimeoutMost)
	e.away = true
	e.launch(func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		got := loaded{}
		got.heads, got.err = e.store.Load(ctx, ids)
		if got.err == nil {
			got.found, got.err = e.find(ctx, refs)
		}
		e.loaded <- got
	})
}

// endedMost bounds how many operations that have ended are remembered.
const endedMost = 4096

// outdate forgets what may have changed of the operations that were looked up: what has
// ended stays as it is, so that a contender that is carried for long does not have its
// parents looked up for each of its windows.
func (e *engine) outdate() {
	maps.DeleteFunc(e.found, func(_ operation.Ref, f ecsstore.Found) bool { return !f.Status.Terminal() })
	if len(e.found) > endedMost {
		clear(e.found)
	}
}

// find looks operations up. With an error it returns those that were found all the same.
func (e *engine) find(ctx context.Context, refs []operation.Ref) (map[operation.Ref]ecsstore.Found, error) {
	var mu sync.Mutex // guards out
	out := map[operation.Ref]ecsstore.Found{}
	var group errgroup.Group
	group.SetLimit(findAtOnce)
	for _, ref := range refs {
		group.Go(func() error {
			found, err := e.store.Find(ctx, ref, e.cfg.custom)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out[ref] = found
			return nil
		})
	}
	return out, group.Wait()
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
			fence, err := e.store.Fence(ctx, id)
			if err != nil {
				got.err = err
				break
			}
			got.fences[id] = fence
		}
		e.loaded <- got
	})
}

// judge gives a partition up if its fence is not the one that this worker wrote last. That
// is why commits were refused then, and the others are none the worse for it.
func (e *engine) judge(id int, fence operation.Fence) {
	delete(e.doubts, id)
	if p := e.parts[id]; p != nil && fence.BatchID != p.fence.BatchID {
		e.fails, e.solo = 0, 0
		e.disown(id)
		e.lost(id, fmt.Errorf("%w: %s, in epoch %d", ecsstore.ErrLost, fence.Owner, fence.Epoch))
	}
}

func (e *engine) reload(got loaded) {
	e.away = false
	if got.err != nil {
		e.log.Warn("reading the store", slog.Any("error", got.err))
		e.asOf = time.Time{}
		e.pause(time.Now())
	}
	for id, head := range got.heads {
		e.cache.put(id, head, e.foreign(id))
	}
	for id, fence := range got.fences {
		e.judge(id, fence)
	}
	if e.found == nil {
		e.found = map[operation.Ref]ecsstore.Found{}
	}
	maps.Copy(e.found, got.found)
}
