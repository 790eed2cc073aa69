package consumer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR23_AFencedWorkerFindsOut takes all partitions from a worker behind its back, as
// happens to one that was stopped for a while and has nobody tell it anything. It must
// not go on and on with commits that are refused: it should own the partitions, and
// claims them back.
func TestR23_AFencedWorkerFindsOut(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valves := w.made("valve-1", "valve-2", "valve-3", "valve-4", "valve-5", "valve-6")
		store, err := ecsstore.NewJetStream(w.t.Context(), w.js, w.space)
		if err != nil {
			w.t.Fatal(err)
		}
		for p := range w.partitions() {
			if _, err := store.Claim(w.t.Context(), p, "thief", 0); err != nil {
				w.t.Fatal(err)
			}
		}
		var ops []operation.Operation
		for _, valve := range valves {
			ops = append(ops, modify(valve, operation.Normal, "7"))
		}
		w.submit(ops...)
		after(5 * time.Second)
		w.wants(completed, ops...)
		if n := c.Stats().Fenced; n == 0 || n > w.partitions() {
			w.t.Errorf("the worker noticed %d times that it was fenced, want once for each of up to %d partitions", n, w.partitions())
		}
	})
}

// TestR23_APartitionLostWhileItIsHandedIn has the engine lose a partition as soon as it
// gets it, before the claim has begun to read operations.
func TestR23_APartitionLostWhileItIsHandedIn(t *testing.T) {
	bubble(t, func(w *world) {
		ctx, cancel := context.WithCancel(w.t.Context())
		store, err := ecsstore.NewJetStream(ctx, w.js, w.space)
		if err != nil {
			w.t.Fatal(err)
		}
		telemetry, err := newTelemetry(nil)
		if err != nil {
			w.t.Fatal(err)
		}
		var running sync.WaitGroup
		e := &engine{claims: make(chan *claimed), launch: running.Go}
		k := newKeeper(&w.cfg, store, e, &fetcher{input: store, log: w.cfg.Logger, out: make(chan item)}, newStats(telemetry))
		k.patience = func(string) time.Duration { return 0 }
		running.Go(func() { k.run(ctx, ctx) })
		k.want([]int{0})
		for epoch := range uint64(5) {
			select {
			case c := <-e.claims:
				if c.claim.Fence.Epoch != epoch+1 {
					w.t.Errorf("epoch %d, want %d", c.claim.Fence.Epoch, epoch+1)
				}
				k.lost(0, errors.New("the reply was lost"))
			case <-time.After(10 * time.Second):
				w.t.Fatalf("the partition was not claimed again after %d times", epoch)
			}
		}
		cancel()
		running.Wait()
	})
}
