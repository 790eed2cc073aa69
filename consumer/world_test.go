package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/audit"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// world is a broker with both streams, and workers on it. When its test ends, the
// workers are stopped and all that is stored is checked; see conserve.
type world struct {
	t     *testing.T
	s     *natstest.Server
	js    jetstream.JetStream
	space subjects.Space
	read  *ecsstore.Reader
	cfg   Config
	zero  time.Time // what transcripts count from
	rough time.Time // and from when they round it
	words bool      // they tell what changed, and messages
	crews []*crew
	parts int                   // partitions that what is published is sorted into
	rules audit.Rules           // what the workers were started with
	wrap  func(streams) streams // puts faults between a worker and its store; nil: none
	lab   *lab

	sent  []sent                            // all that was published, in order
	names map[uuid.UUID]string              // what transcripts call entities and operations
	count map[operation.Priority]int        // operations so far
	ops   map[uuid.UUID]operation.Operation // those submitted, by id
}

// sent is a message that the operations stream took.
type sent struct {
	sequence uint64
	subject  string
	body     []byte

	partitions int // that there were
}

// crew is a worker that runs.
type crew struct {
	*Worker
	stop func() // in good order
	die  func() // like a crash: its connection is gone
	kill func() // die, without waiting for the end
}

// bubble runs f in a world of virtual time.
func bubble(t *testing.T, f func(w *world)) {
	t.Helper()
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		w := newWorld(t, s, 4)
		f(w)
		w.finish()
	})
}

// outside runs f in a world of real time.
func outside(t *testing.T, partitions int, f func(w *world)) {
	t.Helper()
	w := newWorld(t, natstest.Start(t), partitions)
	f(w)
	w.finish()
}

func newWorld(t *testing.T, s *natstest.Server, partitions int, change ...func(*ecsstore.Settings)) *world {
	t.Helper()
	w := &world{
		t: t, s: s, js: s.JetStream(t), parts: partitions, cfg: DefaultConfig(), lab: newLab(), zero: time.Now(),
		names: map[uuid.UUID]string{}, count: map[operation.Priority]int{}, ops: map[uuid.UUID]operation.Operation{},
	}
	w.cfg.Logger, w.cfg.checkpointEvery = slog.New(slog.DiscardHandler), 5
	if os.Getenv("HIERARCHY_DEBUG") != "" {
		w.cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.cfg.Systems, w.cfg.Slow = w.lab.systems(), w.lab.slow()
	w.cfg.Slow[ask] = Remote(w.js.Conn(), askSubject)
	settings := ecsstore.DefaultSettings()
	settings.Storage, settings.Partitions = jetstream.MemoryStorage, partitions
	settings.Retention = 1000 * time.Hour // nothing that conserve looks at may expire
	for _, c := range change {
		c(&settings)
	}
	if err := ecsstore.Init(t.Context(), w.js, w.space, settings); err != nil {
		t.Fatal(err)
	}
	w.read = ecsstore.NewReader(w.js, w.space)
	return w
}

// start starts a worker; change may alter its settings.
func (w *world) start(change ...func(*Config)) *crew {
	w.t.Helper()
	return w.startOn(w.s.Connect(w.t), w.wrap, change...)
}

// startOn starts a worker on a connection of its own.
func (w *world) startOn(nc *nats.Conn, wrap func(streams) streams, change ...func(*Config)) *crew {
	w.t.Helper()
	cfg := w.cfg
	cfg.Name = fmt.Sprintf("w%d", len(w.crews)+1)
	for _, c := range change {
		c(&cfg)
	}
	w.rules = audit.Rules{
		GracePeriod: cfg.GracePeriod, RetryBase: cfg.RetryBase, RetryMax: cfg.RetryMax,
		MaxClockSkew: cfg.MaxClockSkew, MaxOperationAge: cfg.MaxOperationAge, IndependentChildren: cfg.IndependentChildren,
	}
	worker, err := New(nc, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, worker, wrap) }()
	wait := sync.OnceFunc(func() {
		if err := <-done; err != nil && !errors.Is(err, ErrClosed) && nc.IsConnected() {
			w.t.Errorf("worker %s: %v", cfg.Name, err)
		}
	})
	c := &crew{Worker: worker}
	c.kill = func() { nc.Close(); cancel() }
	c.die = func() { c.kill(); wait() }
	c.stop = func() { cancel(); wait() }
	w.crews = append(w.crews, c)
	w.t.Cleanup(c.stop)
	return c
}

func run(ctx context.Context, worker *Worker, wrap func(streams) streams) error {
	if wrap == nil {
		return worker.Run(ctx)
	}
	store, err := ecsstore.NewJetStream(ctx, worker.js, worker.cfg.Space)
	if err != nil {
		return err
	}
	return worker.work(ctx, wrap(store))
}

// ready starts a worker that has every partition.
func (w *world) ready(change ...func(*Config)) *crew {
	w.t.Helper()
	c := w.start(change...)
	w.settled(c)
	return c
}

// settled waits until the workers own all partitions between them.
func (w *world) settled(crews ...*crew) {
	w.t.Helper()
	natstest.Await(w.t, "all partitions to be owned", func(context.Context) bool {
		n := 0
		for _, c := range crews {
			n += len(c.Stats().Partitions)
		}
		return n == w.partitions()
	})
}

// finish stops the workers and checks what they have left.
func (w *world) finish() {
	w.t.Helper()
	for _, c := range w.crews {
		c.stop()
	}
	w.conserve()
	w.audited()
	w.trim()
	w.audited()
	w.remembers()
}

// trim removes the operations that every partition has decided, as workers do in time: an
// audit has less to compare with then.
func (w *world) trim() {
	w.t.Helper()
	fences, err := w.read.Fences(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(fences) < w.parts {
		return // some partition has yet to take its first
	}
	decided := fences[0].Cursor
	for _, f := range fences {
		decided = min(decided, f.Cursor)
	}
	stream, err := w.js.Stream(w.t.Context(), w.space.OpsStream())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := stream.Purge(w.t.Context(), jetstream.WithPurgeSequence(decided+1)); err != nil {
		w.t.Fatal(err)
	}
}

// after lets virtual time pass.
func after(d time.Duration) { natstest.Advance(d) }

func (w *world) partitions() int { return w.parts }
