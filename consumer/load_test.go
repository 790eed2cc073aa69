package consumer

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// load publishes operations one after the other until it is stopped, and goes on after
// each time that nothing is taken.
type load struct {
	w      *world
	random *rand.Rand
	valves []uuid.UUID
	end    chan struct{}
	done   sync.WaitGroup

	accepted []sent
	ops      []operation.Operation
	refused  int
}

func (w *world) load(valves []uuid.UUID, every time.Duration) *load {
	l := &load{w: w, random: rand.New(rand.NewPCG(1, 2)), valves: valves, end: make(chan struct{})} //nolint:gosec // a test
	l.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.publish(w.t.Context(), l.next())
			case <-l.end:
				return
			case <-w.t.Context().Done():
				return
			}
		}
	})
	return l
}

// next makes an operation of the next kind.
func (l *load) next() operation.Operation {
	valve, source := l.valves[l.random.IntN(len(l.valves))], l.valves[l.random.IntN(len(l.valves))]
	p := operation.Priorities()[l.random.IntN(4)]
	switch l.random.IntN(8) {
	case 0:
		return borrow(valve, source, p)
	case 1:
		return slow(valve, p, script{Take: "30ms", Fail: l.random.IntN(2)})
	case 2:
		return carry(count(valve, p))
	case 3:
		if len(l.ops) > 0 {
			return under(l.ops[l.random.IntN(len(l.ops))], count(valve, p))
		}
	}
	return count(valve, p)
}

func (l *load) publish(ctx context.Context, o operation.Operation) {
	body, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	subject := l.w.space.Submit(o.Priority, o.Target)
	ack, err := l.w.js.Publish(ctx, subject, body, jetstream.WithMsgID(o.ID.String()), jetstream.WithRetryAttempts(0))
	if err != nil {
		l.refused++
		return
	}
	l.accepted = append(l.accepted, sent{sequence: ack.Sequence, subject: subject, body: body})
	l.ops = append(l.ops, o)
}

// stop ends the load, and hands what was accepted to the world.
func (l *load) stop() {
	close(l.end)
	l.done.Wait()
	eras := l.w.eras()
	for i, m := range l.accepted {
		m.partitions = eras.at(m.sequence)
		l.w.sent = append(l.w.sent, m)
		l.w.ops[l.ops[i].ID] = l.ops[i]
	}
}

// eras are the sequences of the operations stream after which there was another number
// of partitions.
type eras struct {
	after []uint64
	parts []int
}

// eras reads them from the decision records. The world was made with four partitions.
func (w *world) eras() eras {
	w.t.Helper()
	out := eras{after: []uint64{0}, parts: []int{4}}
	for _, record := range w.windows() {
		if record.Cause == operation.ClosedByResize && record.Partition == 0 {
			out.after, out.parts = append(out.after, record.Cursor), append(out.parts, record.Partitions)
		}
	}
	return out
}

func (e *eras) at(sequence uint64) int {
	i := len(e.after) - 1
	for e.after[i] >= sequence {
		i--
	}
	return e.parts[i]
}
