package ecsstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/ecsstore/storetest"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// rig is a store on a broker of its own.
type rig struct {
	*testing.T
	broker *natstest.Server
	js     jetstream.JetStream
	space  subjects.Space
	store  *ecsstore.JetStream
	behind storetest.Fixture
}

func newRig(t *testing.T, storage jetstream.StorageType, opts ...natstest.Option) *rig {
	t.Helper()
	r := &rig{T: t, broker: natstest.Start(t, opts...), space: newSpace(t)}
	r.js = r.broker.JetStream(t)
	with := settings()
	with.Storage = storage
	r.behind = storetest.OfJetStream(t, r.js, r.space, with)
	r.store = r.open(r.js)
	return r
}

// open opens the store over another connection.
func (r *rig) open(js jetstream.JetStream) *ecsstore.JetStream {
	r.Helper()
	s, err := ecsstore.NewJetStream(r.Context(), js, r.space)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// over opens the store over a wire that can be cut.
func (r *rig) over(w *wire) (*ecsstore.JetStream, *nats.Conn) {
	r.Helper()
	js := r.broker.JetStream(r.T, w.option())
	return r.open(js), js.Conn()
}

// commit stores a batch of the owner's.
func (r *rig) commit(o *storetest.Owner, b *ecsstore.Batch) {
	r.Helper()
	receipt, err := r.store.Commit(r.Context(), b)
	if err != nil {
		r.Fatalf("commit: %v", err)
	}
	o.Stored(b, receipt, 0)
}

// stored reports whether a batch is stored, as the fence says.
func (r *rig) stored(b *ecsstore.Batch) bool {
	r.Helper()
	fence, err := r.store.Fence(r.Context(), b.Parts[0].Fence.Partition)
	if err != nil {
		r.Fatal(err)
	}
	return fence.BatchID == b.ID
}

// wantCode wants an error of the store that an error of the broker with a code led
// to.
func wantCode(t *testing.T, err, want error, code jetstream.ErrorCode) {
	t.Helper()
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !errors.Is(err, want) || !ok || api.ErrorCode != code {
		t.Errorf("got %v, want %v by code %d", err, want, code)
	}
}

// update changes the settings of the store's stream.
func (r *rig) update(change func(*jetstream.StreamConfig)) {
	r.Helper()
	stream, err := r.js.Stream(r.Context(), r.space.StoreStream())
	if err != nil {
		r.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	change(&cfg)
	if _, err := r.js.UpdateStream(r.Context(), cfg); err != nil {
		r.Fatal(err)
	}
}

// Every lost reply has two halves: the commit was stored, or it was not. Either way
// the worker that claims again with its epoch finds out which.
func TestR25_CommitsWhoseReplyIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(r *rig, w *wire, nc *nats.Conn)
		stored  bool
	}{
		"time-out, not stored": {func(_ *rig, w *wire, _ *nats.Conn) { w.cut(false, true) }, false},
		"time-out, stored":     {func(_ *rig, w *wire, _ *nats.Conn) { w.cut(true, false) }, true},
		"closed, not stored":   {closeOnceSent, false},
		"closed, stored":       {closeOnceStored, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, jetstream.MemoryStorage)
			w := &wire{}
			store, nc := r.over(w)
			o := storetest.Claim(t, r.store, 0, "worker")
			b := storetest.Batch(o.Part(1))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			c.trouble(r, w, nc)
			if _, err := store.Commit(ctx, b); !errors.Is(err, ecsstore.ErrUnknown) {
				t.Fatalf("commit: %v, want %v", err, ecsstore.ErrUnknown)
			}
			if stored := r.stored(b); stored != c.stored {
				t.Errorf("stored: %t, want %t", stored, c.stored)
			}
			again, err := r.store.Claim(t.Context(), 0, "worker", o.Fence.Epoch)
			if err != nil || (len(again.Ledger) == 1) != c.stored {
				t.Errorf("the claim finds %d windows (%v), want the commit's: %t", len(again.Ledger), err, c.stored)
			}
		})
	}
}

// closeOnceSent closes the connection while the commit is under way to a broker that
// never gets it.
func closeOnceSent(r *rig, w *wire, nc *nats.Conn) {
	await, release := w.hold(r.T, "Nats-Batch-Commit")
	go func() { // ends once the commit is written
		await()
		w.cut(false, true)
		release() // first: closing waits for the write
		nc.Close()
	}()
}

// closeOnceStored closes the connection when the commit has been stored and its
// acknowledgement is under way.
func closeOnceStored(_ *rig, w *wire, nc *nats.Conn) {
	w.cut(true, false)
	w.lost = sync.OnceFunc(func() { go nc.Close() })
}

// Without the stream nobody answers.
func TestR25_CommitToNobody(t *testing.T) {
	r := newRig(t, jetstream.MemoryStorage)
	o := storetest.Claim(t, r.store, 0, "worker")
	if err := r.js.DeleteStream(t.Context(), r.space.StoreStream()); err != nil {
		t.Fatal(err)
	}
	_, err := r.store.Commit(t.Context(), storetest.Batch(o.Part(1)))
	if !errors.Is(err, ecsstore.ErrUnknown) || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("commit: %v, want %v without responders", err, ecsstore.ErrUnknown)
	}
}

// A client that knows that it is cut off sends nothing, and says so. The same commit
// is good once the broker is back.
func TestR25_CommitWhileTheBrokerIsAway(t *testing.T) {
	r := newRig(t, jetstream.FileStorage)
	o := storetest.Claim(t, r.store, 0, "worker")
	b := storetest.Batch(o.Part(2))
	r.broker.Stop(t)
	r.awaitConnected(false)
	if _, err := r.store.Commit(t.Context(), b); !errors.Is(err, ecsstore.ErrBusy) {
		t.Errorf("commit: %v, want %v", err, ecsstore.ErrBusy)
	}
	r.broker.Restart(t)
	r.awaitConnected(true)
	if r.stored(b) {
		t.Error("what was not sent is stored")
	}
	r.commit(o, b)
	if c, err := r.store.Claim(t.Context(), 0, "next", 0); err != nil || len(c.Ledger) != 2 {
		t.Errorf("the next owner finds %d windows, %v; want 2", len(c.Ledger), err)
	}
}

// awaitConnected waits until the rig's own connection is, or is not.
func (r *rig) awaitConnected(want bool) {
	r.Helper()
	natstest.Await(r, "the connection to notice", func(context.Context) bool { return r.js.Conn().IsConnected() == want })
}

// A worker that is paused in the middle of its commit wakes up after its partition
// has been claimed: what it still sends is refused.
func TestR23_AZombiesCommitIsRefused(t *testing.T) {
	r := newRig(t, jetstream.MemoryStorage)
	w := &wire{}
	store, _ := r.over(w)
	zombie := storetest.Claim(t, store, 0, "zombie")
	id := uuid.New()
	b := storetest.Batch(zombie.Part(1))
	b.Writes = []ecsstore.Write{{Entity: storetest.Head(id, 1, uuid.New())}}
	await, release := w.hold(t, "Nats-Batch-Commit")
	outcome := make(chan error, 1)
	go func() { // ends with the commit
		_, err := store.Commit(t.Context(), b)
		outcome <- err
	}()
	await()
	next := storetest.Claim(t, r.store, 0, "next")
	release()
	wantCode(t, <-outcome, ecsstore.ErrRefused, 10071)
	if n := len(r.behind.Stored(r.space.State(id))); n != 0 {
		t.Error("the zombie has written")
	}
	r.commit(next, storetest.Batch(next.Part(1)))
}

// A commit that relies on something that another is just changing is refused by a
// code of its own, which only a replicated stream has.
func TestR18_CommitsInFlightOnThreeServers(t *testing.T) {
	c := natstest.StartCluster(t, 3)
	space, with := newSpace(t), settings()
	with.Replicas = 3
	behind := storetest.OfJetStream(t, c.JetStream(t), space, with)
	read := ecsstore.ReadCheck{ID: uuid.New()}
	owners, stores := make([]*storetest.Owner, with.Partitions), make([]*ecsstore.JetStream, with.Partitions)
	for p := range owners {
		var err error
		if stores[p], err = ecsstore.NewJetStream(t.Context(), c.JetStream(t), space); err != nil {
			t.Fatal(err)
		}
		owners[p] = storetest.Claim(t, stores[p], p, "worker")
	}
	var inFlight, stored int
	for range 300 {
		errs := make([]error, len(owners))
		var wait sync.WaitGroup
		for p, o := range owners {
			wait.Go(func() {
				b := storetest.Batch(o.Part(1))
				b.Reads = []ecsstore.ReadCheck{read}
				receipt, err := stores[p].Commit(t.Context(), b)
				if errs[p] = err; err == nil {
					o.Stored(b, receipt, 0)
				}
			})
		}
		wait.Wait()
		for _, err := range errs {
			if err == nil {
				stored++
				continue
			}
			wantCode(t, err, ecsstore.ErrRefused, 10164)
			inFlight++
		}
		if inFlight > 0 {
			break
		}
	}
	if inFlight == 0 {
		t.Errorf("of %d commits none met another in flight", stored)
	}
	if n := len(behind.Stored(space.Windows())); n != stored {
		t.Errorf("%d windows are stored, want those of %d commits", n, stored)
	}
}

// The broker keeps so many batches open at a time. One more is refused: by the last
// message where nobody asked about the first.
func TestR25_CommitWhileTooManyBatchesAreOpen(t *testing.T) {
	r := newRig(t, jetstream.MemoryStorage)
	o := storetest.Claim(t, r.store, 0, "worker")
	const open = 50
	for i := range open {
		r.send(fmt.Sprint("open-", i), 1, false)
	}
	b := storetest.Batch(o.Part(1))
	_, err := r.store.Commit(t.Context(), b)
	wantCode(t, err, ecsstore.ErrBusy, 10176)
	_, err = r.store.Claim(t.Context(), 1, "worker", 0) // a batch of one message
	wantCode(t, err, ecsstore.ErrBusy, 10210)
	for i := range open {
		r.send(fmt.Sprint("open-", i), 2, true)
	}
	r.commit(o, b)
	storetest.Claim(t, r.store, 1, "worker")
}

// send sends one message of a batch and waits until the broker has it.
func (r *rig) send(batch string, sequence int, last bool) {
	r.Helper()
	msg := nats.NewMsg(r.space.Write(r.space.Check(0)))
	msg.Header["Nats-Batch-Id"] = []string{batch}
	msg.Header["Nats-Batch-Sequence"] = []string{fmt.Sprint(sequence)}
	if last {
		msg.Header["Nats-Batch-Commit"] = []string{"1"}
	}
	if _, err := r.js.Conn().RequestMsgWithContext(r.Context(), msg); err != nil {
		r.Fatal(err)
	}
}

// What is larger than the broker takes is refused for good, what is too much for it
// now is refused for now.
func TestCommitOverTheBrokersLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(r *rig)
		grow  func(p *ecsstore.Part)
		want  error
		code  jetstream.ErrorCode
	}{
		"messages of a batch": {nil, func(p *ecsstore.Part) { p.Dead = make([]ecsstore.DeadLetter, 30) }, ecsstore.ErrTooLarge, 10199},
		"headers": {nil, func(p *ecsstore.Part) {
			p.Dead = []ecsstore.DeadLetter{{Reason: strings.Repeat("x", 1<<16)}}
		}, ecsstore.ErrTooLarge, 10097},
		"size of a message": {
			func(r *rig) { r.update(func(cfg *jetstream.StreamConfig) { cfg.MaxMsgSize = 2000 }) },
			func(p *ecsstore.Part) { p.Windows[0].Owner = strings.Repeat("x", 2000) }, ecsstore.ErrTooLarge, 10054,
		},
		"room": {
			func(r *rig) { r.update(func(cfg *jetstream.StreamConfig) { cfg.MaxBytes = 3000 }) },
			func(p *ecsstore.Part) { p.Dead = []ecsstore.DeadLetter{{Data: make([]byte, 3000)}} }, ecsstore.ErrBusy, 10077,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, jetstream.MemoryStorage, func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 20 })
			o := storetest.Claim(t, r.store, 0, "worker")
			if c.limit != nil {
				c.limit(r)
			}
			p := o.Part(1)
			c.grow(&p)
			_, err := r.store.Commit(t.Context(), storetest.Batch(p))
			wantCode(t, err, c.want, c.code)
			r.commit(o, storetest.Batch(o.Part(1)))
		})
	}
}

// A message that the connection itself does not take is never sent.
func TestCommitOverMaxPayload(t *testing.T) {
	r := newRig(t, jetstream.MemoryStorage, func(o *server.Options) { o.MaxPayload = 4096 })
	o := storetest.Claim(t, r.store, 0, "worker")
	for _, size := range []int{4096, 4000} { // the headers count
		p := o.Part(1)
		p.Dead = []ecsstore.DeadLetter{{Data: make([]byte, size)}}
		if _, err := r.store.Commit(t.Context(), storetest.Batch(p)); !errors.Is(err, ecsstore.ErrTooLarge) {
			t.Errorf("%d bytes: %v, want %v", size, err, ecsstore.ErrTooLarge)
		}
	}
	p := o.Part(1)
	p.Dead = []ecsstore.DeadLetter{{Data: make([]byte, 3500)}}
	r.commit(o, storetest.Batch(p))
}
