package ecsstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Errors of a claim. ErrHalted means that the streams contradict each other: the
// partition must not go on until somebody has looked (rule R25). ErrResized means
// that the store has to be opened again, ErrResizing that this will be so in a moment.
var (
	ErrLost     = errors.New("another worker owns the partition")
	ErrHalted   = errors.New("partition halted")
	ErrResizing = errors.New("the number of partitions is being changed")
	ErrResized  = errors.New("the number of partitions has changed")
)

// Claim is a partition as its new owner finds it.
type Claim struct {
	Fence   operation.Fence
	Unclean bool               // the owner before did not let go in good order
	Expect  uint64             // stream sequence of the fence
	Records []operation.Record // operations that outlived their window, in the order of their sequence
	Ledger  []LedgerPage       // oldest first
}

// LedgerPage is what a decision record, or a page that stands in for some, says about the operations it took or ended.
type LedgerPage struct {
	Sequence uint64 // of the record in the store
	Taken    []operation.Taken
	Settled  []operation.Settled
}

// Claim makes owner the owner of a partition: from the moment it has written the
// fence, every commit of an earlier owner is refused. A positive epoch is the one
// the caller had: the claim fails with [ErrLost] if the partition has moved on.
func (s *JetStream) Claim(ctx context.Context, partition int, owner string, epoch uint64) (Claim, error) {
	var c Claim
	var err error
	if c.Expect, err = s.last(ctx, s.space.Fence(partition), &c.Fence); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if err := c.allowed(s.partitions, epoch); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if err := s.checkInput(ctx, partition, c.Fence.Cursor); err != nil {
		return Claim{}, err
	}
	c.Unclean = c.Fence.Unclean()
	c.Fence = c.Fence.Claimed(partition, owner)
	c.Fence.Partitions = s.partitions
	if waits, err := s.waits(ctx, partition, c.Fence.Cursor); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	} else if !waits {
		c.Fence.Crashes = 0 // whatever its owners died of, it was none of its operations
	}
	if c.Expect, err = s.writeFence(ctx, &c.Fence, c.Expect); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	if err := s.replay(ctx, &c, &ledger{}); err != nil {
		return Claim{}, fmt.Errorf("claiming partition %d: %w", partition, err)
	}
	return c, nil
}

// allowed reports why a worker that knows a number of partitions may not claim the
// one whose fence was just read.
func (c *Claim) allowed(partitions int, epoch uint64) error {
	switch f := &c.Fence; {
	case f.Resizing > 0:
		return fmt.Errorf("%w from %d to %d by %s", ErrResizing, partitions, f.Resizing, f.Owner)
	case f.Partitions > 0 && f.Partitions != partitions:
		return fmt.Errorf("%w from %d to %d", ErrResized, partitions, f.Partitions)
	case epoch > 0 && f.Epoch != epoch:
		return fmt.Errorf("%w: %s", ErrLost, f.Owner)
	}
	return nil
}

// Fence returns the fence of a partition, the zero fence if it was never claimed.
func (s *JetStream) Fence(ctx context.Context, partition int) (operation.Fence, error) {
	var f operation.Fence
	_, err := s.last(ctx, s.space.Fence(partition), &f)
	return f, err
}

// Release tells the next owner that this one let go in good order. expect is the
// fence's sequence.
func (s *JetStream) Release(ctx context.Context, fence operation.Fence, expect uint64) error {
	fence.Released = true
	if _, err := s.writeFence(ctx, &fence, expect); err != nil {
		return fmt.Errorf("releasing partition %d: %w", fence.Partition, err)
	}
	return nil
}

// writeFence replaces a fence under compare-and-swap, as a batch of one message.
func (s *JetStream) writeFence(ctx context.Context, f *operation.Fence, expect uint64) (uint64, error) {
	m, err := fenceAlone(s.space, f, expect)
	if err != nil {
		return 0, err
	}
	return s.publish(ctx, f.BatchID, []message{m})
}

// fenceAlone dates a fence and returns it as the one message of a batch.
func fenceAlone(space subjects.Space, f *operation.Fence, expect uint64) (message, error) {
	f.BatchID = uuid.NewString()
	f.Time = time.Now().UTC()
	data, err := json.Marshal(f)
	if err != nil {
		return message{}, fmt.Errorf("encoding the fence: %w", err)
	}
	m := message{subject: space.Fence(f.Partition), data: data}
	m.expect(expect)
	m.rollup()
	return m, nil
}

// waits reports whether the partition has operations beyond its cursor.
func (s *JetStream) waits(ctx context.Context, partition int, cursor uint64) (bool, error) {
	msg, err := s.leaderGet(ctx, s.space.OpsStream(), getRequest{LastFor: s.space.Submitted(partition)})
	return msg != nil && msg.Sequence > cursor, err
}

// checkInput compares the cursor with the operations stream: operations it has not
// passed must all be there.
func (s *JetStream) checkInput(ctx context.Context, partition int, cursor uint64) error {
	info, err := s.ops.Info(ctx)
	if err != nil {
		return unreadable(s.space.OpsStream(), err)
	}
	return checkCursor(s.space.OpsStream(), partition, cursor, info.State)
}

// unreadable says why a stream was not read. One that is gone halts the partition.
func unreadable(stream string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrNotInitialized) {
		return fmt.Errorf("%w: stream %s does not exist: restore it from a backup", ErrHalted, stream)
	}
	return fmt.Errorf("reading stream %s: %w", stream, err)
}

func checkCursor(stream string, partition int, cursor uint64, state jetstream.StreamState) error {
	switch {
	case state.LastSeq < cursor:
		return fmt.Errorf("%w: partition %d has resolved stream %s up to %d, but the stream ends at %d: it has rewound; restore it from a backup",
			ErrHalted, partition, stream, cursor, state.LastSeq)
	case state.FirstSeq > cursor+1:
		return fmt.Errorf("%w: partition %d has resolved stream %s up to %d, but the stream begins at %d: operations are missing; restore it from a backup",
			ErrHalted, partition, stream, cursor, state.FirstSeq)
	case state.NumDeleted > 0:
		return fmt.Errorf("%w: stream %s has %d holes: operations are missing; restore it from a backup",
			ErrHalted, stream, state.NumDeleted)
	}
	return nil
}

// replay reads what the partition left in the store, up to the claim's own fence:
// that message is a read barrier, since nobody else can write for the partition
// after it.
func (s *JetStream) replay(ctx context.Context, c *Claim, book *ledger) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.replayRecords(ctx, c) })
	if c.Fence.Chain != "" {
		group.Go(func() error { return s.replayLedger(ctx, c, book) })
	}
	err := group.Wait()
	if errors.Is(err, ErrHalted) {
		return fmt.Errorf("%w: stream %s is broken; restore it from a backup", err, s.space.StoreStream())
	}
	return err
}

// replayRecords reads the records of operations. Beside it, the ledger may be read.
func (s *JetStream) replayRecords(ctx context.Context, c *Claim) error {
	p := c.Fence.Partition
	err := s.scan(ctx, c, jetstream.ConsumerConfig{
		FilterSubjects: []string{s.space.Records(p), s.space.Fence(p)},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	}, func(msg jetstream.Msg, _ uint64) error { return c.remember(msg.Data()) })
	c.Records = latest(c.Records)
	return err
}

// replayLedger reads the decision records that the ledger consists of.
func (s *JetStream) replayLedger(ctx context.Context, c *Claim, book *ledger) error {
	p := c.Fence.Partition
	err := s.scan(ctx, c, jetstream.ConsumerConfig{
		FilterSubjects: []string{s.space.Window(p), s.space.Ledger(p), s.space.Fence(p)},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(c.Fence.Ledger, 1),
	}, func(msg jetstream.Msg, sequence uint64) error {
		if msg.Subject() == s.space.Ledger(p) {
			return c.recall(msg.Data(), sequence)
		}
		return book.read(c, msg.Data(), sequence)
	})
	if err != nil {
		return err
	}
	return book.end(c)
}

// remember adds an operation record to the claim.
func (c *Claim) remember(data []byte) error {
	var r operation.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%w: %w", ErrHalted, err)
	}
	c.Records = append(c.Records, r)
	return nil
}

// latest keeps the last record of each operation. There are several where the broker
// reads from a replica that has yet to catch up: what was last there when the reading
// began comes first, and then what has replaced it since.
func latest(records []operation.Record) []operation.Record {
	last := make(map[uuid.UUID]int, len(records))
	for i := range records {
		last[records[i].OpID] = i
	}
	kept := records[:0]
	for i := range records {
		if last[records[i].OpID] == i {
			kept = append(kept, records[i])
		}
	}
	return kept
}

// recall adds a page of a ledger from before the number of partitions was changed.
func (c *Claim) recall(data []byte, sequence uint64) error {
	var page operation.Ledger
	if err := json.Unmarshal(data, &page); err != nil {
		return fmt.Errorf("%w: %w", ErrHalted, err)
	}
	c.Ledger = append(c.Ledger, LedgerPage{Sequence: sequence, Taken: page.Taken})
	return nil
}

// ledger holds the decision records of a partition to the hashes that tie each to
// the one before, and the last to the fence.
type ledger struct {
	last    string
	targets bool // enter the entities of operations into the pages
}

// read adds a decision record to the claim's ledger.
func (l *ledger) read(c *Claim, data []byte, sequence uint64) error {
	var record struct {
		LedgerPage
		ID       string `json:"id"`
		Previous string `json:"previous"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return fmt.Errorf("%w: %w", ErrHalted, err)
	}
	if l.last != "" && record.Previous != l.last {
		return fmt.Errorf("%w: decision record %s does not follow from the one before it", ErrHalted, record.ID)
	}
	sum := sha256.Sum256(data)
	l.last = hex.EncodeToString(sum[:])
	record.Sequence = sequence
	c.Ledger = append(c.Ledger, record.LedgerPage)
	if l.targets {
		return record.target(data)
	}
	return nil
}

// target enters the entities of what contended, which the record's decisions name.
func (p *LedgerPage) target(data []byte) error {
	var record struct {
		Decisions []struct {
			Entity     string `json:"entity"`
			Contenders []struct {
				OpID uuid.UUID `json:"op_id"`
			} `json:"contenders"`
		} `json:"decisions"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return fmt.Errorf("%w: %w", ErrHalted, err)
	}
	entities := map[uuid.UUID]string{}
	for _, d := range record.Decisions {
		for _, c := range d.Contenders {
			entities[c.OpID] = d.Entity
		}
	}
	for i := range p.Taken {
		if t := &p.Taken[i]; t.Target == "" {
			t.Target = entities[t.OpID]
		}
	}
	return nil
}

// end compares the last decision record with the one that the fence names. There may
// be none: records do not outlive the retention.
func (l *ledger) end(c *Claim) error {
	if l.last == "" || l.last == c.Fence.Chain {
		return nil
	}
	return fmt.Errorf("%w: the last decision record of partition %d is not the one its fence names", ErrHalted, c.Fence.Partition)
}

// scan calls each with the messages of the store that a consumer selects, until it
// meets the claim's fence. It returns [ErrLost] if it meets a later one.
func (s *JetStream) scan(ctx context.Context, c *Claim, cfg jetstream.ConsumerConfig, each func(jetstream.Msg, uint64) error) error {
	fence := s.space.Fence(c.Fence.Partition)
	reading := scan{js: s.js, stream: s.space.StoreStream(), cfg: cfg, follow: true}
	var failed error
	err := reading.run(ctx, func(msg jetstream.Msg) bool {
		meta, err := msg.Metadata()
		if err != nil {
			failed = err
			return false
		}
		switch at := meta.Sequence.Stream; {
		case msg.Subject() != fence:
			if err := each(msg, at); err != nil {
				failed = fmt.Errorf("%s at %d: %w", strings.ReplaceAll(msg.Subject(), "\n", " "), at, err)
			}
		case at == c.Expect:
			return false
		case at > c.Expect:
			failed = ErrLost
		}
		return failed == nil
	})
	if err = cmp.Or(failed, err); err != nil {
		return fmt.Errorf("reading stream %s: %w", s.space.StoreStream(), err)
	}
	return nil
}
