package consumer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// keeper makes the engine own the partitions that this worker should own: it claims
// those that are wanted, hands over those that no longer are, and claims again what
// was lost on the way.
type keeper struct {
	cfg    *Config
	store  Store
	engine *engine
	fetch  *fetcher
	stats  *stats
	// patience is how long an owner that is not this worker is given to let go.
	patience func(worker string) time.Duration
	// resized is called with [ecsstore.ErrResized] when the store has another number of
	// partitions than it was opened with.
	resized func(error)

	mu     sync.Mutex // guards wanted, held
	wanted map[int]bool
	held   map[int]*tenure
	wake   chan struct{} // of capacity 1: something has changed
}

// tenure is what the keeper knows of a partition that it is claiming or has claimed.
type tenure struct {
	epoch   uint64    // of the latest claim, 0 before
	owned   bool      // the engine has it, or is about to get it
	busy    bool      // a claim or a release is under way
	next    time.Time // no claim before
	refused int       // claims that failed in a row
}

func newKeeper(cfg *Config, store Store, e *engine, f *fetcher, s *stats) *keeper {
	return &keeper{
		cfg: cfg, store: store, engine: e, fetch: f, stats: s,
		wanted: map[int]bool{}, held: map[int]*tenure{}, wake: make(chan struct{}, 1),
	}
}

// want says which partitions this worker should own from now on.
func (k *keeper) want(partitions []int) {
	wanted := make(map[int]bool, len(partitions))
	for _, p := range partitions {
		wanted[p] = true
	}
	k.mu.Lock()
	changed := !maps.Equal(wanted, k.wanted)
	k.wanted = wanted
	k.mu.Unlock()
	if changed {
		k.poke()
	}
}

func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// lost is called by the engine when it has given a partition up because it no longer
// knows whether it owns it. That may be before the claim that gave it the partition is
// over: then the next claim waits for its end.
func (k *keeper) lost(partition int, err error) {
	k.cfg.Logger.Warn("partition in doubt, claiming it again", slog.Int("partition", partition), slog.Any("error", err))
	k.mu.Lock()
	if t := k.held[partition]; t != nil {
		t.owned = false
	}
	k.mu.Unlock()
	k.poke()
}

// run keeps claiming and releasing until ctx is done. work is the context of what
// it starts.
func (k *keeper) run(ctx, work context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(k.step(ctx, work))
		select {
		case <-k.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// step starts what can be started now, and returns when to look again.
func (k *keeper) step(ctx, work context.Context) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	wait, now := time.Hour, time.Now()
	for p := range k.wanted {
		t := k.held[p]
		if t == nil {
			t = &tenure{}
			k.held[p] = t
		}
		switch {
		case t.owned || t.busy:
		case t.next.After(now):
			wait = min(wait, t.next.Sub(now))
		default:
			t.busy = true
			k.engine.launch(func() { k.claim(ctx, work, p, t.epoch) })
		}
	}
	var unwanted []int
	for p, t := range k.held {
		if !k.wanted[p] && t.owned && !t.busy {
			t.busy = true
			unwanted = append(unwanted, p)
		}
	}
	if len(unwanted) > 0 {
		k.engine.launch(func() { k.handOver(ctx, unwanted) })
	}
	return wait
}

// claim claims a partition and gives it to the engine.
func (k *keeper) claim(ctx, work context.Context, partition int, epoch uint64) {
	began := time.Now()
	c, waited, err := k.take(ctx, work, partition, epoch)
	k.note(partition, func(t *tenure) {
		t.busy = false
		if err != nil {
			t.refuse(time.Now())
		}
	})
	k.poke()
	k.report(ctx, partition, c.claim, err, waited, time.Since(began))
}

// take claims a partition for the engine, and begins to read it before. It returns how
// long it has waited for the owner before.
func (k *keeper) take(ctx, work context.Context, partition int, epoch uint64) (c *claimed, waited time.Duration, err error) {
	claimCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	reading, stop := context.WithCancel(work)
	c = &claimed{owned: make(chan struct{}), stop: stop}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	fence, err := k.store.Fence(claimCtx, partition)
	if err != nil {
		return c, 0, err
	}
	k.engine.launch(func() { k.fetch.fetch(reading, c, partition, fence.Cursor) })
	k.store.Prepare(claimCtx, fence)
	began := time.Now()
	if epoch == 0 {
		k.await(claimCtx, fence)
	}
	waited = time.Since(began)
	if c.claim, err = k.store.Claim(claimCtx, partition, k.cfg.Name, epoch); err != nil {
		return c, waited, err
	}
	k.note(partition, func(t *tenure) { t.owned, t.epoch, t.refused = true, c.claim.Fence.Epoch, 0 })
	select {
	case k.engine.claims <- c: // from here on the engine may lose it again
		close(c.owned)
		return c, waited, nil
	case <-ctx.Done():
		return c, waited, ctx.Err()
	}
}

// note changes what is known of a partition that is held.
func (k *keeper) note(partition int, change func(*tenure)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(k.held[partition])
}

// refuse notes that a claim has failed: the next one comes later and takes the
// partition from whoever has it.
func (t *tenure) refuse(now time.Time) {
	t.owned, t.epoch = false, 0
	t.refused++
	t.next = now.Add(min(time.Duration(t.refused)*50*time.Millisecond, 2*time.Second))
}

// How long a claim waits for an owner that is still there to let go; one that drains is about
// to, and takes as long as a worker takes to stop.
const (
	handOverTimeout = 500 * time.Millisecond
	drainTimeout    = stopTimeout
	handOverLook    = 10 * time.Millisecond
)

// await gives the present owner a moment to let go of a partition in good order. It
// is a courtesy: the claim that follows is safe without it.
func (k *keeper) await(ctx context.Context, fence operation.Fence) {
	began := time.Now()
	look := time.NewTicker(handOverLook)
	defer look.Stop()
	for fence.Unclean() && fence.Owner != k.cfg.Name && time.Since(began) < k.patience(fence.Owner) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		var err error
		if fence, err = k.store.Fence(ctx, fence.Partition); err != nil {
			return
		}
	}
}

func (k *keeper) report(ctx context.Context, partition int, got ecsstore.Claim, err error, waited, took time.Duration) {
	log := k.cfg.Logger.With(slog.Int("partition", partition))
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ecsstore.ErrResized):
		k.resized(err)
	case errors.Is(err, ecsstore.ErrResizing):
		log.DebugContext(ctx, "claiming a partition later", slog.Any("reason", err))
	case err != nil:
		k.stats.trouble(partition, err)
		log.WarnContext(ctx, "claiming a partition", slog.Any("error", err), slog.Bool("halted", errors.Is(err, ecsstore.ErrHalted)))
	default:
		log.DebugContext(ctx, "claimed a partition", slog.Uint64("epoch", got.Fence.Epoch),
			slog.Duration("waited", waited), slog.Duration("took", took), slog.Bool("unclean", got.Unclean))
	}
}

// handOver takes partitions from the engine, which releases them.
func (k *keeper) handOver(ctx context.Context, partitions []int) {
	d := drop{partitions: partitions, done: make(chan struct{})}
	select {
	case k.engine.drops <- d:
	case <-ctx.Done():
		return
	}
	select {
	case <-d.done:
	case <-ctx.Done():
		return
	}
	k.mu.Lock()
	for _, p := range partitions {
		delete(k.held, p)
	}
	k.mu.Unlock()
	k.poke()
}

// doubt takes a partition from the engine without releasing it, because its streams
// contradict what it knows.
func (k *keeper) doubt(ctx context.Context, partition int, err error) {
	d := drop{partitions: []int{partition}, abandon: true, done: make(chan struct{})}
	select {
	case k.engine.drops <- d:
		k.stats.trouble(partition, err)
		k.lost(partition, err)
	case <-ctx.Done():
	}
}
