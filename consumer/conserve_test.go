package consumer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

// stock is all that the store holds, put in order.
type stock struct {
	w        *world
	fences   map[int]operation.Fence
	heads    map[uuid.UUID]ecsstore.Entity
	versions map[uuid.UUID]uint64 // number of the last
	made     uint64               // versions of all entities
	records  map[key]operation.Record
	windows  map[int][]operation.Window
	chain    map[int]string // hash of the last window record
	digest   hash.Hash      // of versions, events and dead letters not yet in a window record
	lives    map[key]*life
	origins  map[string]key    // of operations by target and id
	answers  map[uuid.UUID]int // events that answer a cancellation
	dead     map[uint64]string // reasons, by sequence in the operations stream
}

// key identifies an operation: its id may be in use in another partition too.
type key struct {
	partition int
	op        uuid.UUID
}

// conserve checks rule R21, and what else must hold of any store whatever happened:
// each operation that was accepted has ended once or lives, in the order that its
// life allows; fences count right; versions have no gaps; window records are
// numbered, chained and digested right, and give the same decisions again.
func (w *world) conserve() {
	w.t.Helper()
	s := &stock{
		w: w, fences: map[int]operation.Fence{}, heads: map[uuid.UUID]ecsstore.Entity{},
		versions: map[uuid.UUID]uint64{}, records: map[key]operation.Record{},
		windows: map[int][]operation.Window{}, chain: map[int]string{}, digest: sha256.New(),
		lives: map[key]*life{}, origins: map[string]key{}, answers: map[uuid.UUID]int{}, dead: map[uint64]string{},
	}
	for _, msg := range w.stored(w.space.Kept()) {
		s.read(msg)
	}
	for p, fence := range s.fences {
		s.checkFence(p, &fence)
	}
	s.checkVersions()
	s.checkSent()
	for k, l := range s.lives {
		s.checkLife(k, l)
	}
	s.checkCounts()
	for _, entity := range w.lab.twice {
		w.t.Errorf("two attempts at a time: %s", entity)
	}
}

func (s *stock) read(msg jetstream.Msg) {
	s.w.t.Helper()
	tokens := strings.Split(msg.Subject(), ".")
	switch tokens[1] {
	case "fence":
		var f operation.Fence
		s.json(msg, &f)
		s.fences[f.Partition] = f
	case "state":
		var e ecsstore.Entity
		s.json(msg, &e)
		s.heads[e.ID] = e
	case "op":
		var r operation.Record
		s.json(msg, &r)
		s.records[key{s.number(tokens[2]), r.OpID}] = r
	case "version":
		s.version(msg, s.number(tokens[3]))
	case "events":
		s.digestMessage(msg)
		s.event(s.w.decode(msg))
	case "dead":
		s.digestMessage(msg)
		h := msg.Headers()
		s.dead[uint64(s.number(h.Get(ecsstore.HeaderDeadSequence)))] = h.Get(ecsstore.HeaderDeadReason)
	case "window":
		s.window(msg)
	case "check", "ledger", "checkpoint":
	default:
		s.w.t.Errorf("a stray message at %s", msg.Subject())
	}
}

func (s *stock) json(msg jetstream.Msg, out any) {
	s.w.t.Helper()
	if err := json.Unmarshal(msg.Data(), out); err != nil {
		s.w.t.Fatalf("%s: %v", msg.Subject(), err)
	}
}

func (s *stock) number(text string) int {
	s.w.t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return n
}

func (s *stock) digestMessage(msg jetstream.Msg) {
	s.digest.Write([]byte(msg.Subject() + "\x00"))
	s.digest.Write(msg.Data())
	s.digest.Write([]byte{0})
}

func (s *stock) version(msg jetstream.Msg, n int) {
	s.w.t.Helper()
	s.digestMessage(msg)
	var v ecsstore.Version
	s.json(msg, &v)
	if v.Number != uint64(n) || v.Number != s.versions[v.Entity]+1 || v.Head.VersionCount != v.Number {
		s.w.t.Errorf("version %d of %s (head counts %d) at %s comes after %d",
			v.Number, s.w.name(v.Entity), v.Head.VersionCount, msg.Subject(), s.versions[v.Entity])
	}
	s.versions[v.Entity] = v.Number
	s.made++
}

func (s *stock) event(e told) {
	partition := e.detail.Partition
	if e.Source != operation.EventSource(partition) {
		s.w.t.Errorf("event %s of partition %d comes from %s", e.ID, partition, e.Source)
	}
	switch e.kind {
	case operation.CancelRefusedEvent:
		s.answers[e.detail.CancelID]++
		return
	case operation.CancelledEvent:
		s.answers[e.detail.CancelID]++
	case operation.ConflictEvent:
		return
	case operation.StartedEvent:
		s.checkParent(e)
	case operation.RejectedEvent:
		s.checkLoser(e)
	case operation.CompletedEvent, operation.FailedEvent, operation.RetryEvent:
	}
	k := key{partition, e.detail.OpID}
	if s.lives[k] == nil {
		s.lives[k] = &life{w: s.w}
	}
	s.lives[k].event(e)
}

// window checks a record against the one before it in its partition.
func (s *stock) window(msg jetstream.Msg) {
	var record operation.Window
	s.json(msg, &record)
	p, before := record.Partition, operation.Window{}
	if all := s.windows[p]; len(all) > 0 {
		before = all[len(all)-1]
	}
	if record.Number != before.Number+1 || record.ID != operation.WindowID(p, record.Number) {
		s.w.t.Errorf("window %d (%s) of partition %d comes after %d", record.Number, record.ID, p, before.Number)
	}
	if record.After != before.Cursor || record.Cursor < record.After || record.Epoch < before.Epoch {
		s.w.t.Errorf("window %s takes %d to %d in epoch %d after %d in epoch %d",
			record.ID, record.After, record.Cursor, record.Epoch, before.Cursor, before.Epoch)
	}
	if record.Previous != s.chain[p] {
		s.w.t.Errorf("window %s follows %q, want %q", record.ID, record.Previous, s.chain[p])
	}
	if record.Digest != "" {
		if got := hex.EncodeToString(s.digest.Sum(nil)); got != record.Digest {
			s.w.t.Errorf("window %s has the digest %s, its messages %s", record.ID, record.Digest, got)
		}
		s.digest = sha256.New()
	}
	for i := range record.Decisions {
		s.decision(record.ID, &record.Decisions[i])
	}
	sum := sha256.Sum256(msg.Data())
	s.chain[p] = hex.EncodeToString(sum[:])
	s.windows[p] = append(s.windows[p], record)
}

// decision checks that there is one winner (rule R4), and that the same contest is
// decided the same way again (rule R11).
func (s *stock) decision(window string, d *operation.Decision) {
	contest := resolver.Recorded(*d)
	slices.Reverse(contest.Contenders)
	again := resolver.Resolve(contest, s.w.cfg.Limits)
	was, _ := json.Marshal(d)     //nolint:errchkjson // it was just read
	now, _ := json.Marshal(again) //nolint:errchkjson // likewise
	if string(was) != string(now) {
		s.w.t.Errorf("window %s decided %s, and now %s", window, was, now)
	}
	for i, c := range d.Contenders {
		if first := c.Verdict == operation.Wins || c.Verdict == operation.Waits; first != (i == 0) {
			s.w.t.Errorf("window %s: contender %d of %s %s", window, i, s.w.name(d.Entity), c.Verdict)
		}
	}
}

func (s *stock) checkFence(p int, fence *operation.Fence) {
	var last operation.Window
	if all := s.windows[p]; len(all) > 0 {
		last = all[len(all)-1]
		if last.Digest == "" {
			s.w.t.Errorf("the last window %s has no digest", last.ID)
		}
	}
	if fence.Windows != last.Number || fence.Cursor != last.Cursor || fence.Chain != s.chain[p] {
		s.w.t.Errorf("fence %d is at window %d, cursor %d, chain %q; the last record is %d, %d, %q",
			p, fence.Windows, fence.Cursor, fence.Chain, last.Number, last.Cursor, s.chain[p])
	}
}

func (s *stock) checkVersions() {
	for id, e := range s.heads {
		if e.VersionCount != s.versions[id] {
			s.w.t.Errorf("%s counts %d versions and has %d", s.w.name(id), e.VersionCount, s.versions[id])
		}
		for i, m := range e.History {
			if want := e.Revision - uint64(len(e.History)-1-i); m.Revision != want {
				s.w.t.Errorf("%s: entry %d of its history is of revision %d, want %d", s.w.name(id), i, m.Revision, want)
			}
		}
	}
	for id := range s.versions {
		if _, ok := s.heads[id]; !ok {
			s.w.t.Errorf("%s has versions and no head", s.w.name(id))
		}
	}
}
