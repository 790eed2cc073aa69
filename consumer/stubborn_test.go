package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR19_AStubbornSystemDoesNotKeepItsWorker stops a worker while a slow system runs that
// does not heed its context. The worker ends all the same, and the next one repeats the
// attempt and finishes what waits behind it.
func TestR19_AStubbornSystemDoesNotKeepItsWorker(t *testing.T) {
	bubble(t, func(w *world) {
		const takes = 10 * time.Minute
		returned := make(chan struct{})
		stubborn := ecsstore.SlowFunc(func(context.Context, ecsstore.Task) (ecsstore.Patch, error) {
			defer close(returned)
			<-time.After(takes)
			return ecsstore.Patch{}, nil
		})
		c := w.ready(func(cfg *Config) {
			cfg.Slow = map[operation.Type]ecsstore.SlowSystem{move: stubborn}
		})
		valve := w.made("valve-1")[0]
		o, next := slow(valve, operation.Low, script{Take: "1s"}), count(valve, operation.Low)
		w.submit(o)
		after(time.Second)
		w.submit(next)
		after(time.Second)
		told := time.Now()
		c.stop()
		if took := time.Since(told); took > 5*time.Second {
			t.Errorf("it took the worker %v to end", took)
		}
		w.ready()
		after(5 * time.Second)
		w.wants(completed, o, next)
		if n := len(w.of(operation.StartedEvent, o)); n != 2 {
			t.Errorf("the operation was started %d times, want 2", n)
		}
		<-returned // what it says now is of no account
		after(time.Second)
	})
}
