package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

var commits = map[string]func(*scene){
	"R20 all or nothing":                  commitAllOrNothing,
	"R18 head compare and swap":           commitComparesHeads,
	"R18 read checks":                     commitChecksReads,
	"R18 more reads than carriers":        commitChecksMoreReadsThanCarriers,
	"R18 read of what it writes":          commitRefusesToCheckWhatItWrites,
	"R23 several partitions, one stale":   commitOfSeveralPartitions,
	"receipt tells where things are":      commitReceipt,
	"entities of other partitions":        commitEntitiesOfOtherPartitions,
	"is not stored twice":                 commitIsNotStoredTwice,
	"that was refused can be sent again":  commitAgain,
	"without a decision record":           commitWithoutWindows,
	"of as many messages as fit":          commitOfMaxBatch,
	"of too many checks":                  commitOfTooManyChecks,
	"of too large a message":              commitOfTooLargeAMessage,
	"of what cannot be encoded":           commitOfWhatCannotBeEncoded,
	"R25 without a reply may be anything": commitWithoutReply,
}

// full returns a commit that has one of everything.
func (s *scene) full(o *Owner, id uuid.UUID, expect uint64) *ecsstore.Batch {
	s.Helper()
	op := uuid.New()
	p := o.Part(1)
	p.Records = []operation.Record{record(op, id, 1, operation.Executing)}
	p.Versions = []ecsstore.Version{{Entity: id, Number: 1, OpID: op, Time: noon, Head: Head(id, 1, op)}}
	p.Events = []ecsstore.Event{s.event(operation.CompletedEvent, o, id, op), s.event(operation.RejectedEvent, o, id, uuid.New())}
	p.Dead = []ecsstore.DeadLetter{{Sequence: 3, Subject: "x.y", Reason: "no", Data: []byte{0, 1, '{'}}}
	b := Batch(p)
	b.Writes = []ecsstore.Write{{Entity: Head(id, 1, op), Expect: expect}}
	return b
}

// A commit that is refused leaves nothing of itself: no head, no version, no record,
// no event, no decision, no fence.
func commitAllOrNothing(s *scene) {
	o := s.claim(0, "worker")
	id := s.entity(0)
	s.refused(s.full(o, id, 99), ecsstore.ErrRefused)
	s.commit(s.full(o, id, 0), o)
	for _, subject := range []string{
		s.Space.State(id), s.Space.Versions(id), s.Space.Records(0), s.Space.Window(0), s.Space.Fence(0), s.Space.Dead(0),
	} {
		s.only(subject)
	}
	if n := len(s.Stored(s.Space.Events())); n != 2 {
		s.Errorf("%d events are stored, want 2", n)
	}
}

func commitComparesHeads(s *scene) {
	o := s.claim(0, "worker")
	id := s.entity(0)
	write := func(revision, expect uint64) *ecsstore.Batch {
		b := Batch(o.Part(1))
		b.Writes = []ecsstore.Write{{Entity: Head(id, revision, uuid.New()), Expect: expect}}
		return b
	}
	first := s.commit(write(1, 0), o).Heads[id]
	s.refused(write(2, 0), ecsstore.ErrRefused)
	second := s.commit(write(2, first), o).Heads[id]
	for _, stale := range []uint64{0, first, second + 1} {
		s.refused(write(3, stale), ecsstore.ErrRefused)
	}
	s.commit(write(3, second), o)
	s.only(s.Space.State(id))
}

// A commit that relies on what it read is refused once that has changed.
func commitChecksReads(s *scene) {
	o := s.claim(0, "worker")
	source, target := s.entity(2), s.entity(0)
	read := func(sequence uint64) *ecsstore.Batch {
		b := Batch(o.Part(1))
		b.Reads = []ecsstore.ReadCheck{{ID: source, Sequence: sequence}}
		return b
	}
	s.commit(read(0), o) // it does not exist
	s.refused(read(5), ecsstore.ErrRefused)
	at := s.create(o, source)
	s.refused(read(0), ecsstore.ErrRefused)
	b := read(at)
	b.Writes = []ecsstore.Write{{Entity: Head(target, 1, uuid.New())}}
	s.commit(b, o)
	if got := s.only(s.Space.State(source)).Sequence; got != at {
		s.Errorf("what was only read has moved from %d to %d", at, got)
	}
}

// A message carries one condition. Where a commit has fewer free ones than it has
// checks, it brings empty ones along, and each check still counts.
func commitChecksMoreReadsThanCarriers(s *scene) {
	o := s.claim(0, "worker")
	var reads []ecsstore.ReadCheck
	for range 4 {
		id := s.entity(1)
		reads = append(reads, ecsstore.ReadCheck{ID: id, Sequence: s.create(o, id)})
	}
	for stale := range reads {
		b := Batch(o.Part(1))
		b.Reads = append(b.Reads, reads...)
		b.Reads[stale].Sequence++
		s.refused(b, ecsstore.ErrRefused)
	}
	b := Batch(o.Part(1))
	b.Reads = reads
	s.commit(b, o)
	for _, msg := range s.Stored(s.Space.Check(0)) { // all but the one on the decision record
		if len(msg.Data) > 0 || msg.Header.Get("Nats-TTL") != "1s" {
			s.Errorf("a check is stored as %q with %v, want nothing for a second", msg.Data, msg.Header)
		}
	}
	s.commit(Batch(o.Part(1)), o)
}

// What a commit writes has its condition already; another check of it can never hold.
func commitRefusesToCheckWhatItWrites(s *scene) {
	o := s.claim(0, "worker")
	id := s.entity(0)
	at := s.create(o, id)
	b := Batch(o.Part(1))
	b.Writes = []ecsstore.Write{{Entity: Head(id, 2, uuid.New()), Expect: at}}
	b.Reads = []ecsstore.ReadCheck{{ID: id, Sequence: at}}
	s.refused(b, ecsstore.ErrRefused)
}

// One partition that has been lost fails the commit of all.
func commitOfSeveralPartitions(s *scene) {
	owners := []*Owner{s.claim(0, "worker"), s.claim(1, "worker"), s.claim(3, "worker")}
	lost := s.claim(1, "another")
	parts := func() (b *ecsstore.Batch) {
		return Batch(owners[0].Part(1), owners[1].Part(1), owners[2].Part(2))
	}
	s.refused(parts(), ecsstore.ErrRefused)
	owners[1] = lost
	s.commit(parts(), owners...)
	s.commit(parts(), owners...)
	for _, o := range owners {
		fence, err := s.Store.Fence(s.Context(), o.Fence.Partition)
		if err != nil {
			s.Fatal(err)
		}
		s.equal("a fence", o.Fence, fence)
	}
}

func commitReceipt(s *scene) {
	one, two := s.claim(0, "worker"), s.claim(1, "worker")
	a, b := s.entity(0), s.entity(1)
	for round := range uint64(2) {
		rich := s.full(one, s.entity(0), 0)
		rich.Parts = append(rich.Parts, two.Part(3))
		rich.Writes = nil
		for _, id := range []uuid.UUID{b, a} {
			var expect uint64
			if round > 0 {
				expect = s.only(s.Space.State(id)).Sequence
			}
			rich.Writes = append(rich.Writes, ecsstore.Write{Entity: Head(id, round+1, uuid.New()), Expect: expect})
		}
		got := s.commit(rich, one, two)
		last := func(subject string) uint64 {
			all := s.Stored(subject)
			return all[len(all)-1].Sequence
		}
		s.equal("the receipt", ecsstore.Receipt{
			Fences:  []uint64{last(s.Space.Fence(0)), last(s.Space.Fence(1))},
			Windows: []uint64{last(s.Space.Window(0)), last(s.Space.Window(1))},
			Ledgers: []uint64{0, 0},
			Heads:   map[uuid.UUID]uint64{a: last(s.Space.State(a)), b: last(s.Space.State(b))},
		}, got)
	}
}

// A commit may write entities of partitions that it does not speak for.
func commitEntitiesOfOtherPartitions(s *scene) {
	o := s.claim(0, "worker")
	child, parent := s.entity(1), s.entity(2)
	b := Batch(o.Part(1))
	b.Writes = []ecsstore.Write{{Entity: Head(child, 1, uuid.New())}, {Entity: Head(parent, 1, uuid.New())}}
	first := s.commit(b, o)
	b = Batch(o.Part(1))
	b.Writes = []ecsstore.Write{
		{Entity: Head(child, 2, uuid.New()), Expect: first.Heads[child]}, {Entity: Head(parent, 2, uuid.New()), Expect: 1},
	}
	s.refused(b, ecsstore.ErrRefused)
	s.same(s.all())
}

func commitIsNotStoredTwice(s *scene) {
	o := s.claim(0, "worker")
	b := s.full(o, s.entity(0), 0)
	s.commit(b, o)
	s.refused(b, ecsstore.ErrRefused)
}

// What was not stored is as it was: sent again, it continues the partition's chain.
func commitAgain(s *scene) {
	o := s.claim(0, "worker")
	s.commit(Batch(o.Part(1)), o)
	id := s.entity(0)
	b := Batch(o.Part(2))
	b.Writes = []ecsstore.Write{{Entity: Head(id, 1, uuid.New()), Expect: 99}}
	s.refused(b, ecsstore.ErrRefused)
	b.Writes[0].Expect = 0
	s.commit(b, o)
	if pages := len(s.claimed(0, "next").Ledger); pages != 3 {
		s.Errorf("the next owner finds %d pages of the ledger, want 3", pages)
	}
}

func commitWithoutWindows(s *scene) {
	o := s.claim(0, "worker")
	receipt := s.commit(Batch(o.Part(0)), o)
	s.equal("the receipt", ecsstore.Receipt{
		Fences: []uint64{s.only(s.Space.Fence(0)).Sequence}, Windows: []uint64{0}, Ledgers: []uint64{0}, Heads: map[uuid.UUID]uint64{},
	}, receipt)
	s.commit(Batch(o.Part(1)), o)
}

// crowd returns a commit of that many messages.
func (s *scene) crowd(o *Owner, messages int) *ecsstore.Batch {
	s.Helper()
	p := o.Part(1)
	for p.Size() < messages {
		p.Events = append(p.Events, s.event(operation.CompletedEvent, o, operation.EntityID("crowd"), uuid.New()))
	}
	return Batch(p)
}

func commitOfMaxBatch(s *scene) {
	o := s.claim(0, "worker")
	s.refused(s.crowd(o, ecsstore.MaxBatch+1), ecsstore.ErrTooLarge)
	b := s.crowd(o, ecsstore.MaxBatch)
	b.Reads = []ecsstore.ReadCheck{{ID: s.entity(0)}} // on a message that is there anyway
	s.commit(b, o)
	if n := len(s.all()); n != ecsstore.MaxBatch {
		s.Errorf("%d messages are stored, want %d", n, ecsstore.MaxBatch)
	}
}

// Messages that only carry a check count like the others.
func commitOfTooManyChecks(s *scene) {
	o := s.claim(0, "worker")
	b := Batch(o.Part(1))
	for range ecsstore.MaxBatch { // the fence takes none, the decision record one
		b.Reads = append(b.Reads, ecsstore.ReadCheck{ID: uuid.New()})
	}
	s.refused(b, ecsstore.ErrTooLarge)
	b = Batch(o.Part(1))
	for range ecsstore.MaxBatch - 1 {
		b.Reads = append(b.Reads, ecsstore.ReadCheck{ID: uuid.New()})
	}
	s.commit(b, o)
}

// A message that the broker does not take fails the commit at once, wherever it
// stands.
func commitOfTooLargeAMessage(s *scene) {
	o := s.claim(0, "worker")
	huge := []byte(strings.Repeat("x", 1<<20))
	p := o.Part(1)
	p.Dead = []ecsstore.DeadLetter{{Reason: "large", Data: huge}}
	s.refused(Batch(p), ecsstore.ErrTooLarge)
	p = o.Part(1)
	p.Windows[0].Owner = string(huge) // the last message of all
	s.refused(Batch(p), ecsstore.ErrTooLarge)
	s.commit(Batch(o.Part(1)), o)
}

func commitOfWhatCannotBeEncoded(s *scene) {
	o := s.claim(0, "worker")
	b := Batch(o.Part(1))
	broken := Head(s.entity(0), 1, uuid.New())
	broken.Components["n"] = json.Number("seven")
	b.Writes = []ecsstore.Write{{Entity: broken}}
	before := s.all()
	if _, err := s.Store.Commit(s.Context(), b); err == nil {
		s.Error("a head that is no JSON was stored")
	}
	s.same(before)
}

// Without a reply nobody knows. Whoever claims again does.
func commitWithoutReply(s *scene) {
	o := s.claim(0, "worker")
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	b := Batch(o.Part(1))
	if _, err := s.Store.Commit(ctx, b); !errors.Is(err, ecsstore.ErrUnknown) {
		s.Errorf("commit: %v, want %v", err, ecsstore.ErrUnknown)
	}
	fence, err := s.Store.Fence(s.Context(), 0)
	if err != nil {
		s.Fatal(err)
	}
	applied := fence.BatchID == b.ID
	c, err := s.Store.Claim(s.Context(), 0, "worker", o.Fence.Epoch)
	if err != nil {
		s.Fatal(err)
	}
	if stored := len(c.Ledger) > 0; stored != applied && applied { // it may be applied between the two
		s.Errorf("the fence says that the commit is stored: %t, the ledger: %t", applied, stored)
	}
}
