package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Memory is a store in memory for tests. It encodes what [JetStream] encodes, holds
// it to the same conditions, and passes the same suite (package storetest). It has
// no time: nothing in it expires.
//
// [Memory.Submit] does what publishers do, [Memory.Stored] looks behind the store,
// and [Memory.Fail] makes calls go wrong. Its methods may be called from any
// goroutine.
type Memory struct {
	space      subjects.Space
	partitions int
	bound      int // of the operations stream, for Fill

	mu         sync.Mutex // guards everything below
	store, ops tape
	faults     map[Call][]Fault
}

// NewMemory returns an empty store.
func NewMemory(space subjects.Space, partitions int) *Memory {
	return &Memory{
		space: space, partitions: partitions, bound: int(DefaultSettings().QueueSize),
		store: newTape(), ops: newTape(), faults: map[Call][]Fault{},
	}
}

// Partitions returns the number of partitions.
func (m *Memory) Partitions() int { return m.partitions }

// Submit stores a message as if it had been published for a target, and returns its
// sequence in the operations stream. The class is a priority's name or
// [subjects.CancelToken].
func (m *Memory) Submit(class string, target uuid.UUID, body []byte) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	subject := m.space.SubmittedTo(subjects.Partition(target, m.partitions), target)
	return m.ops.append(StoredMessage{Subject: strings.Replace(subject, "*", class, 1), Data: body})
}

// Stored returns what the store holds under a subject, which may have wildcards, in
// the order in which it was written.
func (m *Memory) Stored(subject string) []StoredMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.list(subject, 0)
}

// Load returns the head of each entity; one that never existed has sequence 0.
func (m *Memory) Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.read(ctx, CallLoad); err != nil {
		return nil, fmt.Errorf("reading heads: %w", err)
	}
	heads := make(map[uuid.UUID]Head, len(ids))
	for _, id := range ids {
		head, err := m.head(id)
		if err != nil {
			return nil, err
		}
		heads[id] = head
	}
	return heads, nil
}

func (m *Memory) head(id uuid.UUID) (Head, error) {
	var e Entity
	sequence, err := m.last(m.space.State(id), &e)
	if err != nil || sequence == 0 {
		return Head{}, err
	}
	return Head{Entity: &e, Sequence: sequence}, nil
}

// last reads the last message of a subject into out and returns its sequence, 0 if
// there is none.
func (m *Memory) last(subject string, out any) (uint64, error) {
	sequence := m.store.last(subject)
	if sequence == 0 {
		return 0, nil
	}
	if err := decodeNumbers(m.store.messages[sequence].Data, out); err != nil {
		return 0, fmt.Errorf("reading %s: %w", subject, err)
	}
	return sequence, nil
}

// Commit stores a batch. See [ErrRefused] and its neighbours for what an error
// means.
func (m *Memory) Commit(ctx context.Context, b *Batch) (Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	enc := encoder{space: m.space, retention: ttl(DefaultSettings().Retention)}
	if err := enc.batch(b); err != nil {
		return Receipt{}, fmt.Errorf("encoding commit %s: %w", b.ID, err)
	}
	first, err := m.publish(ctx, CallCommit, enc.out)
	if err != nil {
		return Receipt{}, fmt.Errorf("commit %s: %w", b.ID, err)
	}
	return enc.receipt(b, first), nil
}

// memoryPayload is the broker's default max_payload.
const memoryPayload = 1 << 20

// publish stores messages as one atomic batch and returns the sequence of the first.
func (m *Memory) publish(ctx context.Context, call Call, batch []message) (uint64, error) {
	if err := fits(batch, memoryPayload); err != nil {
		return 0, err
	}
	fault := m.next(call)
	if err := ctx.Err(); err != nil || fault == FailAndNotPersist {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, errors.Join(err, errInjected))
	}
	if err := fault.refusal(); err != nil {
		return 0, err
	}
	if err := m.check(batch); err != nil {
		return 0, err
	}
	first := m.store.end + 1
	for i := range batch {
		m.store.write(&batch[i])
	}
	if fault == FailButPersist {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, errInjected)
	}
	return first, nil
}

// check holds a batch to its conditions. They concern what was stored before the
// batch, so that none may follow a write to its subject.
func (m *Memory) check(batch []message) error {
	written := map[string]bool{}
	for i := range batch {
		msg := &batch[i]
		on, want, conditional := msg.condition()
		if last := m.store.last(on); conditional && (written[on] || last != want) {
			return fmt.Errorf("%w: %s was last written at %d, not at %d", ErrRefused, on, last, want)
		}
		if msg.header[headerRollup] != nil && written[msg.subject] {
			return fmt.Errorf("%w: %s replaces what the batch itself writes", ErrUnknown, msg.subject)
		}
		written[msg.subject] = true
	}
	return nil
}

// StoredMessage is a message as a store keeps it.
type StoredMessage struct {
	Subject  string
	Sequence uint64
	Header   nats.Header
	Data     []byte
}

// Fence returns the fence of a partition, the zero fence if it was never claimed.
func (m *Memory) Fence(ctx context.Context, partition int) (operation.Fence, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.read(ctx, CallFence); err != nil {
		return operation.Fence{}, fmt.Errorf("reading the fence of partition %d: %w", partition, err)
	}
	return m.fence(partition)
}

func (m *Memory) fence(partition int) (f operation.Fence, err error) {
	_, err = m.last(m.space.Fence(partition), &f)
	return f, err
}
