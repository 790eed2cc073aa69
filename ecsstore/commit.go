package ecsstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// RecordTTL is how long the record of an operation outlives it.
const RecordTTL = 15 * time.Minute

// Batch is one commit: what the partitions in it decided, and the heads that
// changed by it. It is stored whole or not at all.
type Batch struct {
	ID     string
	Parts  []Part
	Writes []Write     // each entity once
	Reads  []ReadCheck // entities the commit relies on and does not write
}

// Part is one partition's share of a commit. A commit that is stored fills in the
// digests and the chain of its windows and the fence's Chain and BatchID; one that is
// not leaves the part as it was, so that it can be sent again.
type Part struct {
	Fence    operation.Fence
	Expect   uint64 // stream sequence of the fence it replaces
	Windows  []operation.Window
	Records  []operation.Record
	Versions []Version
	Events   []Event
	Dead     []DeadLetter
	Ledger   []operation.Ledger // pages that stand in for decision records; see [JetStream.Resize]

	Checkpoints []operation.Checkpoint // of decision records that are stored already
}

// Event is an event and where it goes.
type Event struct {
	Kind       operation.Kind
	Target     string // the entity's token in the subject
	Body       operation.Event
	TraceState string // that goes with the body's trace parent
}

// DeadLetter is a message of the operations stream that no operation could be made
// of.
type DeadLetter struct {
	Sequence uint64
	Subject  string // as stored in the operations stream
	Reason   string
	Data     []byte
}

// Headers of a dead letter.
const (
	HeaderDeadReason   = "Hierarchy-Reason"
	HeaderDeadSubject  = "Hierarchy-Subject"
	HeaderDeadSequence = "Hierarchy-Sequence"
)

// Receipt tells where a commit was stored.
type Receipt struct {
	Fences  []uint64             // of each part, in order
	Windows []uint64             // the last window record of each part, in order; 0 if it has none
	Ledgers []uint64             // the first page of each part, in order; 0 if it has none
	Heads   map[uuid.UUID]uint64 // of each write
}

// Size returns how many messages the part becomes, its heads apart.
func (p *Part) Size() int {
	return 1 + len(p.Windows) + len(p.Records) + len(p.Versions) + len(p.Events) + len(p.Dead) + len(p.Ledger) + len(p.Checkpoints)
}

// Commit stores a batch. See [ErrRefused] and its neighbours for what an error
// means.
func (s *JetStream) Commit(ctx context.Context, b *Batch) (Receipt, error) {
	enc := encoder{space: s.space, retention: ttl(s.retention)}
	if err := enc.batch(b); err != nil {
		return Receipt{}, fmt.Errorf("encoding commit %s: %w", b.ID, err)
	}
	ctx, span := startCommit(ctx, b, s.space.StoreStream(), len(enc.out))
	first, err := s.publish(ctx, b.ID, enc.out)
	endCommit(span, first, err)
	if err != nil {
		return Receipt{}, fmt.Errorf("commit %s: %w", b.ID, err)
	}
	return enc.receipt(b, first), nil
}

// encoder turns a batch into messages: fences first, then heads, then what each
// partition says.
type encoder struct {
	space     subjects.Space
	retention string
	parts     []Part // of the batch, filled in
	out       []message
	windows   []int // index of the last window record of each part, -1 if it has none
	ledgers   []int // index of the first page of each part, -1 if it has none
}

func ttl(d time.Duration) string { return d.Truncate(time.Second).String() }

func (e *encoder) batch(b *Batch) error {
	e.out = make([]message, len(b.Parts), len(b.Parts)+len(b.Writes)+64)
	for _, w := range b.Writes {
		data, err := encodeHead(w.Entity)
		if err := e.append(e.space.State(w.Entity.ID), data, err); err != nil {
			return err
		}
		e.last().expect(w.Expect)
		e.last().rollup()
	}
	e.parts = slices.Clone(b.Parts)
	for i := range e.parts {
		p := &e.parts[i]
		p.Fence.BatchID, p.Windows = b.ID, slices.Clone(p.Windows)
		if err := e.part(p, b.ID); err != nil {
			return err
		}
		if err := e.fence(p, &e.out[i]); err != nil {
			return err
		}
	}
	e.checks(b)
	return nil
}

// add appends a message with the JSON of body.
func (e *encoder) add(subject string, body any) error {
	data, err := json.Marshal(body)
	return e.append(subject, data, err)
}

// append appends a message with what encoding its body came to.
func (e *encoder) append(subject string, data []byte, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	e.out = append(e.out, message{subject: subject, data: data})
	return nil
}

func (e *encoder) last() *message { return &e.out[len(e.out)-1] }

func (e *encoder) part(p *Part, batchID string) error {
	for i := range p.Records {
		if err := e.record(p.Fence.Partition, &p.Records[i]); err != nil {
			return err
		}
	}
	digest := sha256.New()
	for i := range p.Versions {
		v := &p.Versions[i]
		data, err := encodeVersion(v)
		if err := e.append(e.space.Version(v.Entity, v.Number), data, err); err != nil {
			return err
		}
		digestMessage(digest, e.last())
	}
	for i := range p.Events {
		ev := &p.Events[i]
		data, err := ev.Body.Encode()
		if err := e.append(e.space.EventToken(ev.Kind, ev.Target), data, err); err != nil {
			return err
		}
		e.last().set(headerTTL, e.retention)
		e.last().traced(ev)
		digestMessage(digest, e.last())
	}
	for i := range p.Dead {
		e.dead(p.Fence.Partition, &p.Dead[i])
		digestMessage(digest, e.last())
	}
	if err := e.ledger(p); err != nil {
		return err
	}
	return e.window(p, batchID, digest)
}

// ledger appends the pages and the checkpoints.
func (e *encoder) ledger(p *Part) error {
	first := -1
	if len(p.Ledger) > 0 {
		first = len(e.out)
	}
	e.ledgers = append(e.ledgers, first)
	for i := range p.Ledger {
		if err := e.add(e.space.Ledger(p.Fence.Partition), &p.Ledger[i]); err != nil {
			return err
		}
		e.last().set(headerTTL, e.retention)
	}
	for i := range p.Checkpoints {
		if err := e.add(e.space.Checkpoint(p.Fence.Partition), &p.Checkpoints[i]); err != nil {
			return err
		}
		e.last().set(headerTTL, e.retention)
	}
	return nil
}

// window appends the decision records; the last one carries the digest of the
// part, each the hash of the one before.
func (e *encoder) window(p *Part, batchID string, digest hash.Hash) error {
	last := -1
	for i := range p.Windows {
		w := &p.Windows[i]
		w.BatchID, w.Previous = batchID, p.Fence.Chain
		if i == len(p.Windows)-1 {
			w.Digest = hex.EncodeToString(digest.Sum(nil))
		}
		if err := e.add(e.space.Window(p.Fence.Partition), w); err != nil {
			return err
		}
		e.last().set(headerTTL, e.retention)
		sum := sha256.Sum256(e.last().data)
		p.Fence.Chain = hex.EncodeToString(sum[:])
		last = len(e.out) - 1
	}
	e.windows = append(e.windows, last)
	return nil
}

func (e *encoder) fence(p *Part, m *message) error {
	data, err := json.Marshal(&p.Fence)
	if err != nil {
		return fmt.Errorf("fence of partition %d: %w", p.Fence.Partition, err)
	}
	*m = message{subject: e.space.Fence(p.Fence.Partition), data: data}
	m.expect(p.Expect)
	m.rollup()
	return nil
}

func (e *encoder) record(partition int, r *operation.Record) error {
	if err := e.add(e.space.Record(partition, r.OpID), r); err != nil {
		return err
	}
	e.last().rollup()
	if r.Status.Terminal() {
		e.last().set(headerTTL, ttl(RecordTTL))
	}
	return nil
}

func (e *encoder) dead(partition int, d *DeadLetter) {
	m := message{subject: e.space.Dead(partition), data: d.Data}
	m.set(headerTTL, e.retention)
	m.set(HeaderDeadReason, d.Reason)
	m.set(HeaderDeadSubject, d.Subject)
	m.set(HeaderDeadSequence, fmt.Sprint(d.Sequence))
	e.out = append(e.out, m)
}

// checks hangs the conditions on entities that were only read on messages that
// carry none yet, and adds empty messages where those do not suffice.
func (e *encoder) checks(b *Batch) {
	free := 0
	for _, r := range b.Reads {
		for free < len(e.out) && e.out[free].own {
			free++
		}
		if free == len(e.out) {
			m := message{subject: e.space.Check(b.Parts[0].Fence.Partition)}
			m.set(headerTTL, "1s")
			e.out = append(e.out, m)
		}
		e.out[free].expectOn(e.space.State(r.ID), r.Sequence)
	}
}

// receipt completes the batch, of which the first message was stored at first.
func (e *encoder) receipt(b *Batch, first uint64) Receipt {
	copy(b.Parts, e.parts)
	r := Receipt{Heads: make(map[uuid.UUID]uint64, len(b.Writes))}
	at := func(index int) uint64 { // 0 where there is none
		if index < 0 {
			return 0
		}
		return first + uint64(index) //nolint:gosec // an index
	}
	for i := range b.Parts {
		r.Fences = append(r.Fences, at(i))
		r.Windows = append(r.Windows, at(e.windows[i]))
		r.Ledgers = append(r.Ledgers, at(e.ledgers[i]))
	}
	for i, w := range b.Writes {
		r.Heads[w.Entity.ID] = at(len(b.Parts) + i)
	}
	return r
}

// digestMessage adds a message to the digest of its part: the subject, a zero byte,
// the data and another zero byte.
func digestMessage(h hash.Hash, m *message) {
	for _, piece := range [][]byte{[]byte(m.subject), m.data} {
		_, _ = h.Write(slices.Concat(piece, []byte{0}))
	}
}
