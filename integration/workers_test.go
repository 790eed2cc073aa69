//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Each test here does something bad to the workers of a site under load, and sees to
// it that it had an effect, that nothing is lost, and that the records prove it.

// workforce is a site under a load that several workers share.
type workforce struct {
	*site
	run    *stress
	claims uint64 // of partitions before anything was done
	want   uint64 // and at least so many since
}

func newWorkforce(t *testing.T) *workforce {
	t.Helper()
	s := build(t, plan{brokers: 3, workers: 3})
	return &workforce{site: s, run: s.load(), claims: s.epochs()}
}

// finish ends the load and proves what was recorded. The partitions of the workers that
// were taken out must have been claimed by others, and claimed back.
func (w *workforce) finish() {
	w.t.Helper()
	w.run.end()
	if got := w.epochs() - w.claims; got < w.want {
		w.t.Errorf("partitions were claimed %d times, want at least %d: what was done had no effect", got, w.want)
	}
	w.audited()
}

// without takes a worker out, has the others take over and work, and brings it back.
func (w *workforce) without(b *box, out, back func()) {
	w.t.Helper()
	owned, err := w.owners(w.t.Context())
	if err != nil || owned[b.name] == 0 {
		w.t.Fatalf("%s owns no partition: %v (%v)", b.name, owned, err)
	}
	share := owned[b.name]
	w.want += 2 * uint64(share)
	began := time.Now()
	out()
	await(w.t, "the others to take over from "+b.name, func(ctx context.Context) bool {
		owned, err := w.owners(ctx)
		return err == nil && len(owned) > 0 && owned[b.name] == 0
	})
	w.say("others took over from %s after %v", b.name, time.Since(began).Round(time.Millisecond))
	w.flows(100)
	back()
	await(w.t, b.name+" to own its partitions again", func(ctx context.Context) bool {
		owned, err := w.owners(ctx)
		return err == nil && owned[b.name] == share
	})
	w.flows(50)
}

func TestR16_WorkersKilled(t *testing.T) {
	w := newWorkforce(t)
	for _, b := range w.workers[:2] {
		w.without(b, func() { b.do("kill", "-s", "KILL") }, func() { b.do("start") })
	}
	w.finish()
}

func TestR23_WorkerPaused(t *testing.T) {
	w := newWorkforce(t)
	b := w.workers[0]
	w.without(b, func() { b.do("pause") }, func() { b.do("unpause") })
	fenced, err := b.metric(t.Context(), "hierarchy_partitions_fenced_total")
	if err != nil || fenced == 0 {
		t.Errorf("the worker that woke up was fenced off %g times (%v), want once at least", fenced, err)
	}
	w.finish()
}

func TestR23_WorkerCutOff(t *testing.T) {
	w := newWorkforce(t)
	b := w.workers[0]
	w.without(b,
		func() {
			b.do("network", "disconnect", w.lan.Name)
			await(t, b.name+" to say that it is cut off", func(ctx context.Context) bool {
				err := b.check(ctx, "readyz/broker")
				return err != nil && strings.Contains(err.Error(), "connection is ")
			})
		},
		func() { b.do("network", "connect", "--alias", b.name, w.lan.Name) })
	w.finish()
}

// stopGrace is how long the compose file gives a worker to end, in seconds.
const stopGrace = "15"

func TestR23_RollingRestartOfWorkers(t *testing.T) {
	w := newWorkforce(t)
	for _, b := range w.workers {
		w.without(b, func() {
			began := time.Now()
			b.do("stop", "-t", stopGrace)
			w.say("%s stopped within %v", b.name, time.Since(began).Round(time.Millisecond))
			state, err := b.State(t.Context())
			if err != nil || state.Running || state.ExitCode != 0 {
				t.Errorf("%s ended with %+v (%v), want exit code 0", b.name, state, err)
			}
		}, func() { b.do("start") })
	}
	w.finish()
}
