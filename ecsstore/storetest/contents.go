package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

var contents = map[string]func(*scene){
	"heads load as they were stored":    headsLoad,
	"versions":                          versionsAreKept,
	"R22 what ends and what stays":      lifetimes,
	"records replace one another":       recordsReplaceOneAnother,
	"R14 dead letters":                  deadLetters,
	"R20 events":                        eventsAreStoredAsTheyAre,
	"R11 decision records form a chain": decisionRecordsFormAChain,
	"R11 a digest covers the part":      digestCoversThePart,
}

func headsLoad(s *scene) {
	o := s.claim(0, "worker")
	here, there, never := s.entity(0), s.entity(3), s.entity(0)
	op := uuid.New()
	b := Batch(o.Part(1))
	b.Writes = []ecsstore.Write{{Entity: Head(here, 7, op)}, {Entity: Head(there, 1, op)}}
	at := s.commit(b, o).Heads
	got, err := s.Store.Load(s.Context(), []uuid.UUID{there, never, here})
	if err != nil {
		s.Fatal(err)
	}
	s.equal("the heads", map[uuid.UUID]ecsstore.Head{
		here:  {Entity: Head(here, 7, op), Sequence: at[here]},
		there: {Entity: Head(there, 1, op), Sequence: at[there]},
		never: {},
	}, got)
	none, err := s.Store.Load(s.Context(), nil)
	if err != nil || len(none) != 0 {
		s.Errorf("loading nothing: %v, %v", none, err)
	}
}

// Versions stay, each on its own, without the history that the head has.
func versionsAreKept(s *scene) {
	o := s.claim(0, "worker")
	id := s.entity(0)
	at := s.create(o, id)
	var want []ecsstore.Version
	for n := range uint64(3) {
		v := ecsstore.Version{Entity: id, Number: n + 1, OpID: uuid.New(), Time: noon, Note: "a note", Head: Head(id, n+2, uuid.New())}
		p := o.Part(1)
		p.Versions = []ecsstore.Version{v}
		b := Batch(p)
		b.Writes = []ecsstore.Write{{Entity: v.Head, Expect: at}}
		at = s.commit(b, o).Heads[id]
		bare := *v.Head
		bare.History, v.Head = nil, &bare
		want = append(want, v)
	}
	var got []ecsstore.Version
	for i, msg := range s.Stored(s.Space.Versions(id)) {
		if subject := s.Space.Version(id, want[i].Number); msg.Subject != subject {
			s.Errorf("version %d is stored under %s, want %s", i+1, msg.Subject, subject)
		}
		var v ecsstore.Version
		s.decode(msg, &v)
		got = append(got, v)
	}
	s.equal("the versions", want, got)
}

// decode reads what is stored, numbers kept as they are written.
func (s *scene) decode(msg ecsstore.StoredMessage, out any) {
	s.Helper()
	dec := json.NewDecoder(bytes.NewReader(msg.Data))
	dec.UseNumber()
	if err := dec.Decode(out); err != nil {
		s.Fatalf("%s: %v", msg.Subject, err)
	}
}

// Events, decisions and dead letters are kept for the retention, records of
// operations that have ended for a quarter of an hour, everything else for ever.
func lifetimes(s *scene) {
	o := s.claim(0, "worker")
	id := s.entity(0)
	b := s.full(o, id, 0)
	ended := record(uuid.New(), id, 2, operation.Cancelled)
	b.Parts[0].Records = append(b.Parts[0].Records, ended)
	live := b.Parts[0].Records[0].OpID
	s.commit(b, o)
	const day = "24h0m0s"
	for subject, want := range map[string]string{
		s.Space.Fence(0):                            "",
		s.Space.State(id):                           "",
		s.Space.Versions(id):                        "",
		s.Space.Window(0):                           day,
		s.Space.Dead(0):                             day,
		s.Space.Record(0, live):                     "",
		s.Space.Record(0, ended.OpID):               ecsstore.RecordTTL.String(),
		s.Space.Event(operation.CompletedEvent, id): day,
		s.Space.Event(operation.RejectedEvent, id):  day,
	} {
		if got := s.only(subject).Header.Get("Nats-TTL"); got != want {
			s.Errorf("%s lives %q, want %q", subject, got, want)
		}
	}
}

func recordsReplaceOneAnother(s *scene) {
	o := s.claim(0, "worker")
	id, op := s.entity(0), uuid.New()
	for _, status := range []operation.Status{operation.Executing, operation.Pending, operation.Succeeded} {
		want := record(op, id, 1, status)
		p := o.Part(1)
		p.Records = []operation.Record{want}
		s.commit(Batch(p), o)
		var got operation.Record
		s.decode(s.only(s.Space.Record(0, op)), &got)
		s.equal("the record", want, got)
	}
}

// A dead letter keeps the bytes as they came, and says what was wrong with them.
func deadLetters(s *scene) {
	o := s.claim(2, "worker")
	p := o.Part(1)
	p.Dead = []ecsstore.DeadLetter{
		{Sequence: 12, Subject: "hierarchy.partition.2.low.x", Reason: "invalid: op_id: want a UUID", Data: []byte("{\x00\xff\"")},
		{Sequence: 13, Subject: "hierarchy.partition.2.low.y", Reason: "op_id_conflict"},
	}
	s.commit(Batch(p), o)
	got := s.Stored(s.Space.Dead(2))
	if len(got) != 2 {
		s.Fatalf("%d dead letters are stored, want 2", len(got))
	}
	for i, want := range p.Dead {
		h := got[i].Header
		s.equal("a dead letter", want, ecsstore.DeadLetter{
			Sequence: want.Sequence, Subject: h.Get(ecsstore.HeaderDeadSubject),
			Reason: h.Get(ecsstore.HeaderDeadReason), Data: got[i].Data,
		})
	}
	if h := got[1].Header.Get(ecsstore.HeaderDeadSequence); h != "13" {
		s.Errorf("the second letter says it was at %q, want 13", h)
	}
}

func eventsAreStoredAsTheyAre(s *scene) {
	o := s.claim(0, "worker")
	b := s.full(o, s.entity(0), 0)
	s.commit(b, o)
	stored := s.Stored(s.Space.Events())
	if len(stored) != len(b.Parts[0].Events) {
		s.Fatalf("%d events are stored, want %d", len(stored), len(b.Parts[0].Events))
	}
	for i, msg := range stored {
		want := b.Parts[0].Events[i]
		if subject := s.Space.EventToken(want.Kind, want.Target); msg.Subject != subject {
			s.Errorf("event %d is stored under %s, want %s", i, msg.Subject, subject)
		}
		var got operation.Event
		s.decode(msg, &got)
		s.equal("the event", want.Body, got)
	}
}

// Each decision record names the hash of the one before, across commits and owners,
// and the fence that of the last.
func decisionRecordsFormAChain(s *scene) {
	o := s.claim(0, "worker")
	s.commit(Batch(o.Part(1)), o)
	s.commit(Batch(o.Part(3)), o)
	o = s.claim(0, "next")
	last := Batch(o.Part(2))
	s.commit(last, o)
	previous := ""
	for _, msg := range s.Stored(s.Space.Window(0)) {
		var w operation.Window
		s.decode(msg, &w)
		if w.Previous != previous {
			s.Errorf("window %s follows %q, want %q", w.ID, w.Previous, previous)
		}
		previous = hash(msg.Data)
	}
	fence, err := s.Store.Fence(s.Context(), 0)
	if err != nil || fence.Chain != previous {
		s.Errorf("the fence names %q (%v), want the last record, %q", fence.Chain, err, previous)
	}
	if w := last.Parts[0].Windows[1]; last.Parts[0].Fence.Chain != previous || w.BatchID != last.ID {
		s.Errorf("the commit says chain %q and batch %q, want %q and %q", last.Parts[0].Fence.Chain, w.BatchID, previous, last.ID)
	}
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// The last decision record of a part has the digest of its versions, events and dead
// letters as they are stored.
func digestCoversThePart(s *scene) {
	o, other := s.claim(0, "worker"), s.claim(1, "worker")
	id := s.entity(0)
	b := s.full(o, id, 0)
	b.Parts[0].Windows = append(b.Parts[0].Windows, b.Parts[0].Windows[0])
	b.Parts = append(b.Parts, other.Part(1))
	s.commit(b, o, other)
	var covered bytes.Buffer
	for _, subject := range []string{s.Space.Versions(id), s.Space.Events(), s.Space.Dead(0)} {
		for _, msg := range s.Stored(subject) {
			covered.WriteString(msg.Subject + "\x00" + string(msg.Data) + "\x00")
		}
	}
	var got []string
	for _, msg := range s.Stored(s.Space.Windows()) {
		var w operation.Window
		s.decode(msg, &w)
		got = append(got, w.Digest)
	}
	s.equal("the digests", []string{"", hash(covered.Bytes()), hash(nil)}, got)
}
