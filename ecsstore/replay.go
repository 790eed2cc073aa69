package ecsstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
)

// replay reads what the partition left in the store, up to the claim's own fence:
// that message is a read barrier, since nobody else can write for the partition
// after it.
func (s *JetStream) replay(ctx context.Context, c *Claim, book *ledger) error {
	ends, err := s.replayRecords(ctx, c)
	if err == nil && c.Fence.Chain != "" {
		err = s.replayLedger(ctx, c, book, ends)
	}
	return s.broken(err)
}

// broken says what to do about records that contradict each other.
func (s *JetStream) broken(err error) error {
	if errors.Is(err, ErrHalted) {
		return fmt.Errorf("%w: stream %s is broken; restore it from a backup", err, s.space.StoreStream())
	}
	return err
}

// ledgerEnds is where the decision records of a partition end, and the pages that stand in
// for some; 0 if there are none.
type ledgerEnds struct{ windows, pages uint64 }

// replayPause is how long a replica is given that has yet to catch up with the claim.
const replayPause = 5 * time.Millisecond

// replayRecords reads the records of operations, and finds out where the ledger ends. What
// a replica answers is whole if the claim's fence is in it.
func (s *JetStream) replayRecords(ctx context.Context, c *Claim) (ends ledgerEnds, err error) {
	p := c.Fence.Partition
	fence, window, page := s.space.Fence(p), s.space.Window(p), s.space.Ledger(p)
	q := directRequest{LastOf: []string{s.space.Records(p), window, page, fence}}
	for {
		var at uint64
		ends, c.Records = ledgerEnds{}, nil
		rest, err := s.direct(ctx, q, func(m stored) error {
			switch m.Subject {
			case fence:
				at = m.Sequence
			case window:
				ends.windows = m.Sequence
			case page:
				ends.pages = m.Sequence
			default:
				return located(c.remember(m.Data), m)
			}
			return nil
		})
		switch {
		case errors.Is(err, errTooMany), err == nil && rest > 0:
			return s.scanRecords(ctx, c)
		case !passing(err):
			return ends, fmt.Errorf("reading stream %s: %w", s.space.StoreStream(), err)
		case at == c.Expect:
			return ends, nil
		case at > c.Expect:
			return ends, ErrLost
		}
		if err := pause(ctx, replayPause); err != nil {
			return ends, err
		}
	}
}

// scanRecords is replayRecords for a partition with more records than a replica answers at
// once. It needs a consumer, which takes the broker longer.
func (s *JetStream) scanRecords(ctx context.Context, c *Claim) (ends ledgerEnds, err error) {
	p := c.Fence.Partition
	window, page := s.space.Window(p), s.space.Ledger(p)
	c.Records = nil
	err = s.scan(ctx, c, jetstream.ConsumerConfig{
		FilterSubjects: []string{s.space.Records(p), window, page, s.space.Fence(p)},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	}, func(msg jetstream.Msg, sequence uint64) error {
		switch msg.Subject() {
		case window:
			ends.windows = sequence
		case page:
			ends.pages = sequence
		default:
			return c.remember(msg.Data())
		}
		return nil
	})
	c.Records = latest(c.Records)
	return ends, err
}

// How much of a ledger one request reads.
const (
	ledgerBatch = 1000
	ledgerBytes = 8 << 20
)

// replayLedger reads what is left of the decision records that the ledger consists of, and
// the pages. The records tell of a gap themselves: each names the one before it.
func (s *JetStream) replayLedger(ctx context.Context, c *Claim, book *ledger, ends ledgerEnds) error {
	pages := max(c.Fence.Ledger, 1)
	err := upTo(ctx, &pages, ends.pages, func() (uint64, error) {
		return s.read(ctx, s.space.Ledger(c.Fence.Partition), &pages, ends.pages, func(m stored) error { return c.recall(m.Data, m.Sequence) })
	})
	if err != nil {
		return err
	}
	err = upTo(ctx, &book.next, ends.windows, func() (uint64, error) { return s.readWindows(ctx, c, book, ends.windows) })
	if err != nil {
		return err
	}
	slices.SortStableFunc(c.Ledger, func(a, b LedgerPage) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return book.end(c)
}

// upTo reads until next is beyond the end. Where nothing comes, the replica has yet to catch
// up.
func upTo(ctx context.Context, next *uint64, end uint64, read func() (uint64, error)) error {
	for *next <= end {
		before := *next
		if _, err := read(); err != nil {
			return err
		}
		if *next > before {
			continue
		}
		if err := pause(ctx, replayPause); err != nil {
			return err
		}
	}
	return nil
}

func (s *JetStream) readWindows(ctx context.Context, c *Claim, book *ledger, end uint64) (rest uint64, err error) {
	return s.read(ctx, s.space.Window(c.Fence.Partition), &book.next, end, func(m stored) error { return book.read(c, m.Data, m.Sequence) })
}

// read calls each with messages of a subject from next on, not beyond the end, and moves
// next behind them. It returns how many more a replica has.
func (s *JetStream) read(ctx context.Context, subject string, next *uint64, end uint64, each func(stored) error) (rest uint64, err error) {
	q := directRequest{Sequence: max(*next, 1), NextFor: subject, Batch: ledgerBatch, MaxBytes: ledgerBytes}
	rest, err = s.direct(ctx, q, func(m stored) error {
		if m.Sequence > end {
			return nil
		}
		*next = m.Sequence + 1
		return located(each(m), m)
	})
	if !passing(err) {
		return 0, fmt.Errorf("reading stream %s: %w", s.space.StoreStream(), err)
	}
	return rest, nil
}

// located says which message an error is about.
func located(err error, m stored) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s at %d: %w", strings.ReplaceAll(m.Subject, "\n", " "), m.Sequence, err)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
	if page.Partitions != c.Fence.Partitions {
		return nil // of a change that was undone
	}
	c.Ledger = append(c.Ledger, LedgerPage{Sequence: sequence, Taken: page.Taken, Handed: true})
	return nil
}

// ledger holds the decision records of a partition to the hashes that tie each to
// the one before, and the last to the fence.
type ledger struct {
	last    string // of the latest record, or of the one that checkpoints go up to
	next    uint64 // sequence in the store from which records are yet to be read
	begun   bool   // a record has been read
	targets bool   // enter the entities of operations into the pages
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
	switch {
	case l.last == "" || record.Previous == l.last:
	case !l.begun:
		return errDisjoint
	default:
		return fmt.Errorf("%w: decision record %s does not follow from the one before it", ErrHalted, record.ID)
	}
	sum := sha256.Sum256(data)
	l.last, l.begun = hex.EncodeToString(sum[:]), true
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
	if !l.begun || l.last == c.Fence.Chain {
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
			failed = located(each(msg, at), stored{Subject: msg.Subject(), Sequence: at})
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
