package consumer

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR9_CheckpointsStandInForWindows has claims read checkpoints instead of the window
// records that they sum up, of operations that ended at once, later, or have not.
func TestR9_CheckpointsStandInForWindows(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve, nowhere := w.made("valve-1")[0], w.entity("valve-2")
		for range 3 {
			early := w.open()
			for _, fence := range w.fences() { // what is read ahead is behind when it is needed
				early.Prepare(w.t.Context(), fence)
			}
			for range 12 {
				w.submit(count(valve, operation.Normal), retries(3, count(nowhere, operation.Low)))
				after(70 * time.Millisecond)
			}
			c.stop()
			w.remembersBy(early)
			c = w.ready()
		}
		c.stop()
		most := 0
		for p, read := range w.remembers() {
			all := len(w.stored(w.space.Window(p)))
			most = max(most, all)
			if all > 20 && read > 6 {
				t.Errorf("a claim of partition %d has read %d of %d window records", p, read, all)
			}
		}
		if most <= 20 {
			t.Errorf("no partition has more than %d window records, which is too few", most)
		}
	})
}

// TestR9_CheckpointsThatAreMissing takes checkpoints away, the oldest or all of them, and has
// claims find the same without.
func TestR9_CheckpointsThatAreMissing(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		w := newWorld(t, s, 1)
		c := w.ready()
		valve := w.made("valve-1")[0]
		for range 30 {
			w.submit(count(valve, operation.Normal))
			after(70 * time.Millisecond)
		}
		c.stop()
		if n := len(w.stored(w.space.Checkpoint(0))); n < 3 {
			t.Fatalf("there are %d checkpoints, that is too few", n)
		}
		stream, err := w.js.Stream(t.Context(), w.space.StoreStream())
		if err != nil {
			t.Fatal(err)
		}
		last := w.fences()[0].Checkpoint
		for _, upTo := range []uint64{last, last + 100} {
			if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(w.space.Checkpoint(0)), jetstream.WithPurgeSequence(upTo)); err != nil {
				t.Fatal(err)
			}
			w.remembers()
		}
	})
}

// TestR9_PagesOfAnUndoneChangeTellNothing has a change of the number of partitions undone that
// had written what partitions were to remember. What has been taken since the latest
// checkpoint before that is in the next one.
func TestR9_PagesOfAnUndoneChangeTellNothing(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valves := w.valves(8)
		more := func(n int) {
			for range n {
				for _, valve := range valves {
					w.submit(count(valve, operation.Normal))
				}
				after(70 * time.Millisecond)
			}
		}
		more(8)
		steps, err := w.resizing(6).Steps()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, step := range steps {
			if err := step.Do(w.t.Context()); err != nil {
				w.t.Fatalf("%s: %v", step.Name, err)
			}
			if len(w.stored(w.space.Ledgers())) > 0 {
				break
			}
		}
		w.abortResize(4)
		w.settled(c)
		more(12)
		c.stop()
		w.remembers()
	})
}

// open opens the store as a worker does.
func (w *world) open() *ecsstore.JetStream {
	w.t.Helper()
	store, err := ecsstore.NewJetStream(w.t.Context(), w.js, w.space)
	if err != nil {
		w.t.Fatal(err)
	}
	return store
}

// remembers claims each partition, and compares the ledger that the claim makes with the
// one that all its window records make. It returns how many of those the claims have read.
func (w *world) remembers() map[int]int {
	w.t.Helper()
	return w.remembersBy(w.open())
}

func (w *world) remembersBy(store *ecsstore.JetStream) map[int]int {
	w.t.Helper()
	read := map[int]int{}
	for p := range store.Partitions() {
		got, err := store.Claim(w.t.Context(), p, "reader", 0)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := store.Release(w.t.Context(), got.Held); err != nil {
			w.t.Fatal(err)
		}
		var all []ecsstore.LedgerPage
		for _, page := range got.Ledger {
			if page.Handed {
				all = append(all, page)
			}
			if len(page.Taken) > 0 && page.Taken[0].Sequence > 0 { // checkpoints do not tell it
				read[p]++
			}
		}
		all = append(all, w.windowPages(p, got.Fence.Ledger)...)
		want, have := newLedger(all, got.Fence.Checkpoint), newLedger(got.Ledger, got.Fence.Checkpoint)
		if diff := cmp.Diff(inside(want), inside(have)); diff != "" {
			w.t.Errorf("partition %d (- by its window records, + by the claim):\n%s", p, diff)
		}
	}
	return read
}

// windowPages is what the window records of a partition from a sequence on tell.
func (w *world) windowPages(partition int, from uint64) (out []ecsstore.LedgerPage) {
	w.t.Helper()
	for _, msg := range w.stored(w.space.Window(partition)) {
		var window operation.Window
		if err := json.Unmarshal(msg.Data(), &window); err != nil {
			w.t.Fatal(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			w.t.Fatal(err)
		}
		if at := meta.Sequence.Stream; at >= from {
			out = append(out, ecsstore.LedgerPage{Sequence: at, Taken: window.Taken, Settled: window.Settled})
		}
	}
	return out
}

// insides of a ledger, to be compared.
type insides struct {
	Known        map[uuid.UUID]string
	Pages        map[uint64][]uuid.UUID
	Oldest       uint64
	Behind, More int
}

func inside(l *ledger) insides {
	out := insides{Known: map[uuid.UUID]string{}, Pages: map[uint64][]uuid.UUID{}, Oldest: l.oldest(), Behind: l.behind, More: l.more}
	for id, e := range l.known {
		out.Known[id] = e.digest + " " + string(e.status)
	}
	for _, p := range l.pages {
		out.Pages[p.sequence] = p.ids
	}
	return out
}
