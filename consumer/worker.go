package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

// ErrClosed says that the connection to the broker was closed for good.
var ErrClosed = errors.New("connection to the broker is closed")

// Worker is one member of the consumer group.
type Worker struct {
	cfg    Config
	nc     *nats.Conn
	js     jetstream.JetStream
	stats  *stats
	health health

	partitions atomic.Int64 // of the system; 0 until it is known
	unobserve  func()

	mu    sync.Mutex // guards store
	store *ecsstore.JetStream
}

// New returns a worker that is not running yet. The connection stays the caller's;
// it should reconnect for ever and buffer nothing while it is disconnected.
func New(nc *nats.Conn, cfg Config) (*Worker, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	t, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, nc: nc, js: js, stats: newStats(t), health: health{ownerless: map[int]time.Time{}}}
	w.unobserve, err = w.observe()
	return w, err
}

// Name returns the worker's name.
func (w *Worker) Name() string { return w.cfg.Name }

// Stats returns what the worker has done so far.
func (w *Worker) Stats() Stats { return w.stats.snapshot() }

// Run works until ctx is done: then it takes nothing more, finishes the commit that
// is under way, lets go of its partitions and returns nil. Slow systems at work are told to
// end; those that do not are left behind after a moment. It waits for a broker that is
// not ready, and returns an error if the streams cannot be used or the connection is
// closed.
func (w *Worker) Run(ctx context.Context) error {
	defer w.unobserve()
	store, err := eventually(ctx, w.cfg.Logger, func(ctx context.Context) (*ecsstore.JetStream, error) {
		return ecsstore.NewJetStream(ctx, w.js, w.cfg.Space)
	})
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return fmt.Errorf("starting worker %s: %w", w.cfg.Name, err)
	}
	w.cfg.Logger.InfoContext(ctx, "worker starts", slog.String("name", w.cfg.Name))
	defer func() { w.cfg.Logger.InfoContext(ctx, "worker has ended", slog.String("name", w.cfg.Name)) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	closed := w.nc.StatusChanged(nats.CLOSED)
	defer w.nc.RemoveStatusListener(closed)
	go func() { // ends with ctx
		select {
		case <-closed:
			cancel(ErrClosed)
		case <-ctx.Done():
		}
	}()
	if err := w.terms(ctx, store); err != nil && ctx.Err() == nil {
		return fmt.Errorf("worker %s: %w", w.cfg.Name, err)
	}
	if err := context.Cause(ctx); errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// stopTimeout bounds what a stopping worker still does.
const stopTimeout = 3 * time.Second

// slowStopTimeout is how long it waits for slow systems that it has told to end.
const slowStopTimeout = time.Second

// streams is what a worker works on; [ecsstore.JetStream] is one.
type streams interface {
	Store
	Input
}

// work runs the engine and its helpers until ctx is done, or the number of partitions is
// another than that of store: then it returns [ecsstore.ErrResized].
func (w *Worker) work(ctx context.Context, store streams) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// What the engine starts outlives ctx until the engine has stopped.
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	stop := context.AfterFunc(ctx, func() {
		if !resized(ctx) {
			w.health.stop()
		}
		time.AfterFunc(stopTimeout, done)
	})
	defer stop()
	var wait, attempts sync.WaitGroup
	engine := w.engine(store, wait.Go)
	engine.attempt = attempts.Go
	keeper := newKeeper(&w.cfg, store, engine, w.fetcher(store, engine), w.stats)
	engine.lost, keeper.resized = keeper.lost, end
	w.partitions.Store(int64(store.Partitions()))
	members, err := eventually(ctx, w.cfg.Logger, func(ctx context.Context) (*members, error) {
		return newMembers(ctx, &w.cfg, w.js, store.Partitions(), keeper.want)
	})
	if err != nil {
		return err
	}
	keeper.patience = members.patience
	janitor := &janitor{input: store, engine: engine, keeper: keeper, log: w.cfg.Logger, alive: members.includes, health: &w.health}
	if w.cfg.Meter != nil {
		janitor.pending = store.Pending
	}
	wait.Go(func() { keeper.run(ctx, work) })
	present, absent := context.WithCancel(work)
	defer absent()
	wait.Go(func() { members.run(present) })
	wait.Go(func() { janitor.run(ctx) })
	serving, stopServing := context.WithCancel(work)
	defer stopServing()
	wait.Go(func() {
		defer stopServing()
		<-ctx.Done()
		if !resized(ctx) {
			members.drain(work)
		}
	})
	engine.run(serving, work)
	if resized(ctx) {
		engine.forget() // its fences are not its own any more; it stays a member
		done()
		wait.Wait()
		w.leaveBehind(&attempts)
		return context.Cause(ctx)
	}
	engine.release(work)
	absent()
	members.leave(work)
	done()
	wait.Wait()
	w.leaveBehind(&attempts)
	return nil
}

// leaveBehind waits for the attempts of slow systems, which have been told to end, but not
// for ever: nothing that they do counts any more, and the next owner repeats them.
func (w *Worker) leaveBehind(attempts *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { // ends with the last of them
		attempts.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(slowStopTimeout):
		w.cfg.Logger.Warn("slow systems were told to end and go on", slog.Duration("after", slowStopTimeout))
	}
}

func (w *Worker) engine(store Store, launch func(func())) *engine {
	return &engine{
		cfg: &w.cfg, tracing: newTracing(&w.cfg), store: store, log: w.cfg.Logger, stats: w.stats, health: &w.health, launch: launch,
		items: make(chan item, maxQueued), claims: make(chan *claimed), drops: make(chan drop),
		results: make(chan result), loaded: make(chan loaded, 1), stored: make(chan committed, 1),
		advances: make(chan map[int]uint64), looks: make(chan chan<- map[int]Standing),
		parts: map[int]*partition{}, doubts: map[int]bool{}, cache: newCache(), limit: MaxWindow, slots: make(chan struct{}, w.cfg.MaxConcurrent),
	}
}

func (w *Worker) fetcher(input Input, e *engine) *fetcher {
	return &fetcher{input: input, space: w.cfg.Space, custom: w.cfg.custom, log: w.cfg.Logger, out: e.items, tracing: e.tracing}
}

// release lets go of every partition the engine still owns.
func (e *engine) release(ctx context.Context) {
	var held []ecsstore.Held
	for _, p := range slices.Collect(maps.Values(e.parts)) {
		held = append(held, p.held())
		e.disown(p.id)
	}
	e.letGo(ctx, held)
}

// letGo releases partitions at once, or those that it can.
func (e *engine) letGo(ctx context.Context, held []ecsstore.Held) {
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := e.store.Release(ctx, held...)
	switch {
	case err == nil:
	case len(held) > 1 && !errors.Is(err, ecsstore.ErrUnknown): // of one of them it may be the fault
		var wait sync.WaitGroup
		for _, h := range held {
			wait.Go(func() { e.letGo(ctx, []ecsstore.Held{h}) })
		}
		wait.Wait()
	case errors.Is(err, ecsstore.ErrRefused): // somebody has it already
		e.log.DebugContext(ctx, "a partition was taken over", slog.Any("error", err))
	default:
		e.log.WarnContext(ctx, "letting go of partitions", slog.Any("error", err))
	}
}

// Entities counts the entities in the store, deleted ones included. Before the worker
// has opened the store, that is an error.
func (w *Worker) Entities(ctx context.Context) (uint64, error) {
	w.mu.Lock()
	store := w.store
	w.mu.Unlock()
	if store == nil {
		return 0, errors.New("the store has not been opened yet")
	}
	return store.Entities(ctx)
}
