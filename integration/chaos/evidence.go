package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// evidence is what the store's stream says at the end of a run.
type evidence struct {
	ends     map[uuid.UUID][]operation.Kind // terminal events of each operation
	answers  map[uuid.UUID]int              // to each cancellation
	taken    map[uint64]operation.Taken     // by sequence of the operations stream
	buried   map[uint64]int                 // dead letters, by the sequence of what they were
	batches  map[uuid.UUID]bool             // commits that made windows
	windows  int
	latest   map[int]*operation.Window // of each partition
	problems []string
}

func newEvidence() *evidence {
	return &evidence{
		ends: map[uuid.UUID][]operation.Kind{}, answers: map[uuid.UUID]int{}, taken: map[uint64]operation.Taken{},
		buried: map[uint64]int{}, batches: map[uuid.UUID]bool{}, latest: map[int]*operation.Window{},
	}
}

// gather reads the store's stream from its beginning to its present end.
func gather(ctx context.Context, js jetstream.JetStream) (*evidence, error) {
	space := subjects.Space{}
	stream, err := js.Stream(ctx, space.StoreStream())
	if err != nil {
		return nil, fmt.Errorf("reading stream %s: %w", space.StoreStream(), err)
	}
	filters := []string{space.Windows(), space.DeadLetters()}
	for _, kind := range []operation.Kind{operation.CompletedEvent, operation.RejectedEvent, operation.CancelledEvent, operation.CancelRefusedEvent} {
		filters = append(filters, space.EventsOf(kind))
	}
	reader, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: filters})
	if err != nil {
		return nil, fmt.Errorf("reading stream %s: %w", space.StoreStream(), err)
	}
	messages, err := reader.Messages(jetstream.PullMaxMessages(2000), jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("reading stream %s: %w", space.StoreStream(), err)
	}
	defer messages.Stop()
	e := newEvidence()
	for left := reader.CachedInfo().NumPending; left > 0; left-- {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("reading stream %s with %d to go: %w", space.StoreStream(), left, err)
		}
		if err := e.read(msg); err != nil {
			return nil, fmt.Errorf("reading %s: %w", msg.Subject(), err)
		}
	}
	return e, nil
}

func (e *evidence) read(msg jetstream.Msg) error {
	if kind, _, err := (subjects.Space{}).ParseEvent(msg.Subject()); err == nil {
		return e.event(kind, msg.Data())
	}
	if text := msg.Headers().Get(ecsstore.HeaderDeadSequence); text != "" {
		sequence, err := strconv.ParseUint(text, 10, 64)
		e.buried[sequence]++
		return err
	}
	return e.window(msg.Data())
}

func (e *evidence) event(kind operation.Kind, data []byte) error {
	var event struct {
		Data struct {
			OpID     uuid.UUID `json:"op_id"`
			CancelID uuid.UUID `json:"cancel_id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return err
	}
	if _, ends := kind.Outcome(); ends {
		e.ends[event.Data.OpID] = append(e.ends[event.Data.OpID], kind)
	}
	if event.Data.CancelID != uuid.Nil {
		e.answers[event.Data.CancelID]++
	}
	return nil
}

// window enters a decision record, which has to follow from the one before: the same
// cursor, the next number, the same epoch or a later one.
func (e *evidence) window(data []byte) error {
	w := new(operation.Window)
	if err := json.Unmarshal(data, w); err != nil {
		return err
	}
	e.windows++
	batch, err := uuid.Parse(w.BatchID)
	if err != nil {
		return err
	}
	e.batches[batch] = true
	if old := e.latest[w.Partition]; old != nil && (w.After != old.Cursor || w.Number != old.Number+1 || w.Epoch < old.Epoch) {
		e.problem("window %s of %s in epoch %d begins after %d; the one before it, %s of %s in epoch %d, ends at %d",
			w.ID, w.Owner, w.Epoch, w.After, old.ID, old.Owner, old.Epoch, old.Cursor)
	}
	e.latest[w.Partition] = w
	for _, t := range w.Taken {
		if _, twice := e.taken[t.Sequence]; twice || t.Sequence <= w.After || t.Sequence > w.Cursor {
			e.problem("window %s took the message %d, which is not its own", w.ID, t.Sequence)
		}
		e.taken[t.Sequence] = t
	}
	return nil
}

// problem notes a contradiction; a few of them say enough.
func (e *evidence) problem(format string, args ...any) {
	if len(e.problems) < maxProblems {
		e.problems = append(e.problems, fmt.Sprintf(format, args...))
	}
}

const maxProblems = 20

// weigh compares what was acknowledged with what is stored. known are the ids of all
// that was published.
func (e *evidence) weigh(notes []note, known map[uuid.UUID]bool) {
	for _, n := range notes {
		e.weighNote(n)
	}
	for id, kinds := range e.ends {
		if len(kinds) > 1 {
			e.problem("operation %s has %d terminal events: %v", id, len(kinds), kinds)
		}
		if !known[id] {
			e.problem("operation %s ended, but nobody has sent it", id)
		}
	}
}

func (e *evidence) weighNote(n note) {
	t, ok := e.taken[n.Sequence]
	if !ok {
		e.problem("%s %s was acknowledged at %d, but no window took it", n.Class, n.ID, n.Sequence)
		return
	}
	ends := e.ends[n.ID]
	switch n.Class {
	case ending, copied:
		if t.OpID != n.ID || t.Digest != n.Digest {
			e.problem("operation %s with digest %s was acknowledged at %d, where a window took %s with %s", n.ID, n.Digest, n.Sequence, t.OpID, t.Digest)
		}
		if len(ends) == 0 {
			e.problem("operation %s was acknowledged at %d and taken as %s, but has no terminal event", n.ID, n.Sequence, t.Fate)
		}
	case refused:
		if len(ends) != 1 || ends[0] != operation.RejectedEvent {
			e.problem("malformed operation %s, acknowledged at %d, ended as %v", n.ID, n.Sequence, ends)
		}
	case asking:
		if e.answers[n.ID] != 1 {
			e.problem("cancellation %s, acknowledged at %d, has %d answers", n.ID, n.Sequence, e.answers[n.ID])
		}
	case dead:
		if e.buried[n.Sequence] != 1 {
			e.problem("message %d, of which no operation can be made, has %d dead letters", n.Sequence, e.buried[n.Sequence])
		}
	}
}
