package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// crowd has operations of all kinds come to a few entities: they contend, wait, fail,
// are carried, displaced, cancelled.
func (w *world) crowd(random *rand.Rand, entities []uuid.UUID, n int) {
	w.t.Helper()
	for i := range n {
		entity, p := entities[random.IntN(len(entities))], operation.Priorities()[random.IntN(4)]
		var o operation.Operation
		switch random.IntN(6) {
		case 0:
			o = slow(entity, p, script{Take: "200ms", Fail: random.IntN(2), Set: json.RawMessage("3")})
		case 1:
			o = carry(count(entity, p))
		case 2:
			o = modify(entity, p, `"text"`) // of another type
		case 3:
			o = modify(w.entity("nowhere"), p, "1")
		default:
			o = modify(entity, p, "2")
		}
		w.submit(o)
		switch {
		case i%7 == 0:
			w.cancel(o)
		case i%5 == 0:
			after(time.Duration(random.IntN(60)) * time.Millisecond)
		}
	}
}

// TestR11_RecordedWindowsAreDecidedAgain reads the windows of a busy while, as hierarchy
// replay does, and decides them again.
func TestR11_RecordedWindowsAreDecidedAgain(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		w.crowd(rand.New(rand.NewPCG(11, 11)), w.made("valve-1", "valve-2"), 120)
		after(time.Minute)
		decisions, conflicts := 0, 0
		for window, err := range w.read.Windows(w.t.Context(), ecsstore.WindowFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range window.Record.Decisions {
				decisions++
				if d.Conflict() {
					conflicts++
				}
				contest := resolver.Recorded(d)
				slices.Reverse(contest.Contenders)
				if again := resolver.Resolve(contest, w.cfg.Limits); !resolver.Same(d, again) {
					t.Errorf("window %s decided (-), and now (+):\n%s", window.Record.ID, cmp.Diff(d, again))
				}
			}
		}
		if decisions < 50 || conflicts < 10 {
			t.Errorf("%d decisions, %d of them of conflicts: too few to tell", decisions, conflicts)
		}
	})
}

// listener notes the events that it gets, and what their headers say.
type listener struct {
	mu     sync.Mutex // guards what follows
	events []string
	first  map[string]string // the first of each subject: the last one's sequence before it
	last   map[string]string // the sequence of the latest of each subject
}

// The headers of a republished message.
const (
	republishedSequence = "Nats-Sequence"
	republishedBefore   = "Nats-Last-Sequence"
)

func listen(t *testing.T, nc *nats.Conn, subject string) (*listener, *nats.Subscription) {
	t.Helper()
	l := &listener{first: map[string]string{}, last: map[string]string{}}
	sub, err := nc.Subscribe(subject, func(msg *nats.Msg) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, msg.Subject+" "+string(msg.Data))
		if l.first[msg.Subject] == "" {
			l.first[msg.Subject] = msg.Header.Get(republishedBefore)
		}
		l.last[msg.Subject] = msg.Header.Get(republishedSequence)
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, sub
}

// TestR20_ListenersSeeWhatIsStored has a durable consumer and a plain subscriber listen
// to a worker some of whose commits are refused, and some of whose replies are lost.
// Both see the events that are stored, each once and in the order of the stream.
func TestR20_ListenersSeeWhatIsStored(t *testing.T) {
	bubble(t, func(w *world) {
		durable, err := w.js.CreateConsumer(w.t.Context(), w.space.StoreStream(), jetstream.ConsumerConfig{
			Durable: "listener", FilterSubject: w.space.Events(), AckPolicy: jetstream.AckExplicitPolicy,
		})
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := listen(t, w.js.Conn(), w.space.Events())
		m := &moody{}
		w.wrap = m.wrap
		w.ready()
		valves := w.made("valve-1", "valve-2")
		random := rand.New(rand.NewPCG(20, 20))
		for range 4 {
			m.fail(nil, ecsstore.ErrRefused, ecsstore.ErrBusy, ecsstore.ErrUnknown)
			w.crowd(random, valves, 25)
			after(5 * time.Second)
		}
		after(time.Minute)
		var stored, told []string
		for _, msg := range w.stored(w.space.Events()) {
			stored = append(stored, msg.Subject()+" "+string(msg.Data()))
		}
		for range stored {
			msg, err := durable.Next(jetstream.FetchMaxWait(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, msg.Subject()+" "+string(msg.Data()))
			if err := msg.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := durable.Next(jetstream.FetchMaxWait(time.Second)); !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("the durable consumer sees more than is stored: %v", err)
		}
		if diff := cmp.Diff(stored, told); diff != "" {
			t.Errorf("the durable consumer (-stored +seen):\n%s", diff)
		}
		plain.mu.Lock()
		defer plain.mu.Unlock()
		if diff := cmp.Diff(stored, plain.events); diff != "" {
			t.Errorf("the plain subscriber (-stored +seen):\n%s", diff)
		}
		if len(stored) < 200 {
			t.Errorf("%d events are too few to tell", len(stored))
		}
	})
}

// TestR20_ASubscriberCanTellThatItMissedSome compares what the headers of an event say of
// the one before it with the last that was seen.
func TestR20_ASubscriberCanTellThatItMissedSome(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		subject := w.space.Event(operation.CompletedEvent, valve)
		submit := func() { w.submit(modify(valve, operation.Normal, "1")); after(time.Second) }
		before, sub := listen(t, w.js.Conn(), subject)
		submit()
		seamless, _ := listen(t, w.js.Conn(), subject)
		submit()
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		submit()
		late, _ := listen(t, w.js.Conn(), subject)
		submit()
		for _, l := range []*listener{before, seamless, late} {
			l.mu.Lock()
			defer l.mu.Unlock()
		}
		if n := len(before.events); n != 2 || before.last[subject] == "" {
			t.Errorf("the first subscriber saw %d events, the last at %q", n, before.last[subject])
		}
		if late.first[subject] == before.last[subject] {
			t.Error("who comes back late cannot tell that one was missed")
		}
		if len(seamless.events) != 3 || seamless.first[subject] == "" || seamless.first[subject] == late.first[subject] {
			t.Errorf("the headers tell %q and %q", seamless.first[subject], late.first[subject])
		}
	})
}

// TestR21_EveryMomentAddsUp counts from outside, while operations are in every state
// that there is, as hierarchy status does.
func TestR21_EveryMomentAddsUp(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.RetryBase = 2 * time.Second
		w.ready()
		valves := w.made("valve-1", "valve-2")
		random := rand.New(rand.NewPCG(21, 21))
		seen := map[string]int{}
		for range 40 {
			w.crowd(random, valves, 4)
			w.publish(w.space.Submit(operation.Low, valves[0]), []byte("no JSON"))
			w.addsUp(seen)
			after(time.Duration(random.IntN(30)) * time.Millisecond)
			w.addsUp(seen)
		}
		after(time.Minute)
		w.addsUp(seen)
		for _, state := range []string{
			"pending in the stream", "executing", "waiting as holder", "waiting as next", "waiting as carried",
			"succeeded", "rejected", "cancelled", "dead-lettered",
		} {
			if seen[state] == 0 {
				t.Errorf("nothing was ever %s", state)
			}
		}
	})
}

// addsUp holds rule R21 against the fences, the records and what the stream took.
func (w *world) addsUp(seen map[string]int) {
	w.t.Helper()
	fences, records := w.atOnce()
	cursors, sum := map[int]uint64{}, operation.Counts{}
	for _, f := range fences {
		cursors[f.Partition] = f.Cursor
		sum.Submitted += f.Counts.Submitted
		sum.Succeeded += f.Counts.Succeeded
		sum.Rejected += f.Counts.Rejected
		sum.Cancelled += f.Counts.Cancelled
		sum.DeadLettered += f.Counts.DeadLettered
		sum.Live += f.Counts.Live
	}
	var live uint64
	for _, r := range records {
		live++
		state := "waiting as " + string(r.Role)
		if r.Status == operation.Executing {
			state = "executing"
		}
		seen[state]++
	}
	var taken, pending uint64
	for _, s := range w.sent {
		tokens := strings.Split(s.subject, ".")
		switch entity := uuid.MustParse(tokens[3]); {
		case tokens[2] == "cancel":
		case s.sequence > cursors[subjects.Partition(entity, w.partitions())]:
			pending++
		default:
			taken++
		}
	}
	ended := sum.Succeeded + sum.Rejected + sum.Cancelled + sum.DeadLettered
	if sum.Submitted != taken || sum.Submitted != ended+sum.Live || live != sum.Live {
		w.t.Errorf("%d were sent, of which %d are pending; the fences count %+v; %d records live", taken+pending, pending, sum, live)
	}
	for state, n := range map[string]uint64{
		"pending in the stream": pending, "succeeded": sum.Succeeded, "rejected": sum.Rejected,
		"cancelled": sum.Cancelled, "dead-lettered": sum.DeadLettered,
	} {
		seen[state] += int(n) //nolint:gosec // a small number
	}
}

// atOnce reads the fences and the records of one moment: it reads again if anything was
// committed meanwhile.
func (w *world) atOnce() ([]operation.Fence, map[uuid.UUID]operation.Record) {
	w.t.Helper()
	for {
		before, err := w.read.Fences(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		records := w.records()
		after, err := w.read.Fences(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if cmp.Equal(before, after) {
			return after, records
		}
	}
}

// TestR22_EventsExpireAndVersionsStay has an hour go by, which is how long the embedded
// broker keeps events.
func TestR22_EventsExpireAndVersionsStay(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		w := newWorld(t, s, 1, func(s *ecsstore.Settings) { s.Retention = 6 * time.Minute })
		c := w.ready()
		valve := w.made("valve-1")[0]
		o := count(valve, operation.Normal)
		w.submit(o)
		after(5 * time.Minute)
		w.wants(completed, o)
		late := count(valve, operation.Normal)
		w.submit(late)
		after(2 * time.Minute)
		if len(w.of(operation.CompletedEvent, o)) != 0 || len(w.of(operation.CompletedEvent, late)) != 1 {
			t.Error("after 7 minutes the first operation's event is there, or the second's is not")
		}
		if n := len(w.stored(w.space.Windows())); n == 0 || n > 5 {
			t.Errorf("%d decision records, want those of the last 6 minutes", n)
		}
		after(12 * time.Minute)
		if n := len(w.events()); n != 0 {
			t.Errorf("%d events after 19 minutes", n)
		}
		if got := w.field(valve, "counter"); got != "2" {
			t.Errorf("counter is %s, want 2", got)
		}
		if n := len(w.stored(w.space.Versions(valve))); n != 3 {
			t.Errorf("%d versions, want 3", n)
		}
		c.stop()
	})
}

// greedy is a store that counts the operations it hands over, and stores nothing before
// its gate is open.
type greedy struct {
	streams
	read atomic.Int64
	gate chan struct{}
}

func (g *greedy) Read(ctx context.Context, partition int, after uint64, handle func(jetstream.Msg)) error {
	return g.streams.Read(ctx, partition, after, func(msg jetstream.Msg) {
		handle(msg)
		g.read.Add(1)
	})
}

func (g *greedy) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	select {
	case <-g.gate:
		return g.streams.Commit(ctx, b)
	case <-ctx.Done():
		return ecsstore.Receipt{}, ctx.Err()
	}
}

// TestR24_AWorkerHoldsOnlySoMuch lets a backlog wait for a worker that cannot commit: it
// takes no more of it into its memory than it may, and all of it when it can.
func TestR24_AWorkerHoldsOnlySoMuch(t *testing.T) {
	bubble(t, func(w *world) {
		g := &greedy{gate: make(chan struct{})}
		w.wrap = func(s streams) streams { g.streams = s; return g }
		backlog := make([]operation.Operation, 3*maxStaged/2)
		valve := w.entity("valve-1")
		for i := range backlog {
			backlog[i] = modify(valve, operation.Low, fmt.Sprint(i))
		}
		w.pour(backlog)
		w.ready()
		after(storeTimeout / 2) // what takes longer is read again from the start
		if n := g.read.Load(); n == 0 || n > maxStaged+maxQueued+int64(w.partitions()) {
			t.Errorf("%d operations are in memory, want at most %d", n, maxStaged+maxQueued)
		}
		close(g.gate)
		after(time.Minute)
		if n := len(w.outcomes()); n != len(backlog) {
			t.Errorf("%d operations have ended, want %d", n, len(backlog))
		}
	})
}
