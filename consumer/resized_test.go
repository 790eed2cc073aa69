package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// resizing opens the streams for a change to so many partitions.
func (w *world) resizing(to int) *ecsstore.Resizing {
	w.t.Helper()
	z, err := ecsstore.NewResizing(w.t.Context(), w.js, w.space, ecsstore.Resize{
		To: to, Owner: fmt.Sprint("scale-", to), Patience: 30 * time.Second,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return z
}

// resize changes the number of partitions.
func (w *world) resize(to int) ecsstore.Resized {
	w.t.Helper()
	got, err := w.resizing(to).Run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.parts = to
	return got
}

// stated is how many partitions the streams say there are.
func (w *world) stated() int {
	w.t.Helper()
	n, err := ecsstore.Partitions(w.t.Context(), w.js, w.space)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) valves(n int) []uuid.UUID {
	w.t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("valve-", i))
	}
	return w.made(names...)
}

// TestR23_ScaleUnderLoad changes the number of partitions up and down while operations
// keep coming to three workers. The world checks at its end that each that was accepted
// ended once, by a partition of its time, and the audit that all is well.
func TestR23_ScaleUnderLoad(t *testing.T) {
	bubble(t, func(w *world) {
		crews := []*crew{w.start(), w.start(), w.start()}
		w.settled(crews...)
		l := w.load(w.valves(12), 4*time.Millisecond)
		for _, to := range []int{8, 3, 3, 1, 4} {
			after(time.Second)
			got := w.resize(to)
			t.Logf("to %d: no operations taken for %v, %d remembered", to, got.Closed, got.Recalled)
			w.settled(crews...)
		}
		after(time.Second)
		l.stop()
		after(10 * time.Second)
		if len(l.accepted) < 1000 || l.refused == 0 {
			t.Errorf("%d operations were accepted and %d refused: that was no load", len(l.accepted), l.refused)
		}
	})
}

// TestR23_ScaleCrashedAnywhere ends a change after each of its steps, as a crash does.
// Run again it is finished; or it is undone, and made another time.
func TestR23_ScaleCrashedAnywhere(t *testing.T) {
	for _, c := range []struct{ from, to int }{{4, 6}, {4, 3}} {
		for _, undo := range []bool{false, true} {
			for crash := range stepsOf(c.from, c.to) {
				if claim := crash - 2; claim > 0 && claim < max(c.from, c.to)-1 {
					continue // after the first claim is as good as after the second
				}
				t.Run(fmt.Sprintf("%d to %d after %d, undo %t", c.from, c.to, crash, undo), func(t *testing.T) {
					bubble(t, func(w *world) { w.crashResize(c.to, crash, undo) })
				})
			}
		}
	}
}

// stepsOf is how many steps a change has: it claims every partition there is or will
// be, and does eight other things.
func stepsOf(from, to int) int { return max(from, to) + 8 }

func (w *world) crashResize(to, crash int, undo bool) {
	crews := []*crew{w.start(), w.start()}
	w.settled(crews...)
	l := w.load(w.valves(6), 10*time.Millisecond)
	after(100 * time.Millisecond)
	steps, err := w.resizing(to).Steps()
	if err != nil {
		w.t.Fatal(err)
	}
	if len(steps) != stepsOf(4, to) {
		w.t.Fatalf("there are %d steps, want %d", len(steps), stepsOf(4, to))
	}
	for _, step := range steps[:crash+1] {
		if err := step.Do(w.t.Context()); err != nil {
			w.t.Fatalf("%s: %v", step.Name, err)
		}
	}
	over := crash == len(steps)-1
	after(3 * time.Second) // workers look around
	if undo && !over {
		w.abortResize(4)
	}
	got := w.resize(to)
	if resumed := !undo && !over; got.Resumed != resumed {
		w.t.Errorf("taken up: %t, want %t", got.Resumed, resumed)
	}
	w.settled(crews...)
	after(100 * time.Millisecond)
	l.stop()
	after(10 * time.Second)
	if len(l.accepted) < 20 || l.refused == 0 && !over {
		w.t.Errorf("%d operations were accepted and %d refused: that was no load", len(l.accepted), l.refused)
	}
}

// abortResize undoes a change: there are as many partitions as before.
func (w *world) abortResize(want int) {
	w.t.Helper()
	if err := w.resizing(0).Abort(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if n := w.stated(); n != want {
		w.t.Errorf("after it was undone there are %d partitions, want %d", n, want)
	}
	after(3 * time.Second)
}

// TestR9_TheSameOperationAfterAScale publishes operations of every fate once more after
// the number of partitions has changed, twice: no partition takes one a second time.
func TestR9_TheSameOperationAfterAScale(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		var all, others []operation.Operation
		for _, valve := range w.valves(8) {
			won, lost := count(valve, operation.High), count(valve, operation.Low)
			orphan := under(count(valve, operation.Low), count(valve, operation.Low))
			cancelled := count(valve, operation.Low)
			retried := slow(valve, operation.Low, script{Fail: 1})
			w.submit(won, lost, orphan)
			after(time.Second)
			w.submit(cancelled)
			w.cancel(cancelled)
			after(time.Second)
			w.submit(retried)
			after(time.Second)
			all = append(all, won, lost, orphan, cancelled, retried)
			other := won
			other.Params = json.RawMessage(`{"add":{"counter":100}}`)
			others = append(others, other)
		}
		for _, to := range []int{7, 3, 12} {
			if got := w.resize(to); got.Recalled != 8+len(all) { // those that made the valves too
				t.Errorf("%d operations are remembered, want %d", got.Recalled, 8+len(all))
			}
			w.settled(c)
			w.submit(all...)
			after(time.Second)
			w.submit(others...)
			after(time.Second)
		}
		if n := len(w.dead()); n != 3*len(others) {
			t.Errorf("%d dead letters, want one for each operation with another's id", n)
		}
		for _, o := range all {
			var fates []operation.Fate
			for _, taken := range w.fates(o) {
				if taken.Fate != operation.DeadLetter {
					fates = append(fates, taken.Fate)
				}
			}
			again := []operation.Fate{operation.Duplicate, operation.Duplicate, operation.Duplicate}
			if len(fates) != 4 || !fates[0].Counted() || !slices.Equal(fates[1:], again) {
				t.Errorf("%s was %v", w.name(o.ID), fates)
			}
		}
		if got := w.field(all[0].Target, "counter"); got != "1" {
			t.Errorf("the counter is %s, want 1", got)
		}
	})
}

// TestR23_ScaleWaitsNoLongerThanItMay does not change the number of partitions while a
// slow system runs: it says what is in the way, and operations are taken again.
func TestR23_ScaleWaitsNoLongerThanItMay(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready(func(c *Config) { c.SlowTimeout = time.Hour })
		valve := w.made("valve-1")[0]
		running, waiting := slow(valve, operation.Low, script{Take: "100s"}), count(valve, operation.Low)
		w.submit(running)
		after(time.Second)
		w.submit(waiting)
		after(time.Second)
		_, err := w.resizing(8).Run(w.t.Context())
		if !errors.Is(err, ecsstore.ErrNotDrained) {
			w.t.Fatalf("scaling: %v, want %v", err, ecsstore.ErrNotDrained)
		}
		for _, want := range []string{"0 operations pending, 2 live", "move " + running.ID.String() + " on " + valve.String() + " is executing", "taken again, by 4 partitions"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		late := count(valve, operation.Critical)
		w.submit(late)
		after(100 * time.Second)
		w.wants(completed, running, late)
		w.wants("lost_conflict", waiting)
		w.resize(8)
	})
}

// TestR23_ScaleIsInterrupted ends a change while it waits: everything is as before.
func TestR23_ScaleIsInterrupted(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		o := slow(valve, operation.Low, script{Take: "20s"})
		w.submit(o)
		after(time.Second)
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if _, err := w.resizing(8).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("scaling: %v, want that it was interrupted", err)
		}
		w.submit(count(valve, operation.Low))
		after(30 * time.Second)
		w.wants(completed, o)
		if n := w.stated(); n != 4 {
			t.Errorf("there are %d partitions, want 4", n)
		}
	})
}

// TestR23_OneScaleAtATime lets a second change wait for the first, and a third take up
// what was begun by one that went away.
func TestR23_OneScaleAtATime(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		o := slow(valve, operation.Low, script{Take: "10s"})
		w.submit(o)
		after(time.Second)
		first := make(chan error, 1)
		z := w.resizing(8)
		go func() { _, err := z.Run(w.t.Context()); first <- err }()
		after(time.Second)
		if _, err := w.resizing(8).Run(w.t.Context()); !errors.Is(err, ecsstore.ErrLocked) {
			t.Errorf("a second change: %v, want %v", err, ecsstore.ErrLocked)
		}
		if _, err := w.resizing(2).Run(w.t.Context()); !errors.Is(err, ecsstore.ErrLocked) {
			t.Errorf("another change: %v, want %v", err, ecsstore.ErrLocked)
		}
		after(20 * time.Second)
		if err := <-first; err != nil {
			w.t.Fatal(err)
		}
		w.parts = 8
		steps, err := w.resizing(2).Steps()
		if err != nil {
			w.t.Fatal(err)
		}
		if err := steps[0].Do(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.resizing(5).Run(w.t.Context()); !errors.Is(err, ecsstore.ErrResizing) {
			t.Errorf("another change than was begun: %v, want %v", err, ecsstore.ErrResizing)
		}
		if err := ecsstore.Intake(w.t.Context(), w.js, w.space); !errors.Is(err, ecsstore.ErrResizing) || !strings.Contains(err.Error(), "from 8 to 2") {
			t.Errorf("intake: %v, want %v", err, ecsstore.ErrResizing)
		}
		w.resize(2)
		if err := ecsstore.Intake(w.t.Context(), w.js, w.space); err != nil {
			t.Errorf("intake afterwards: %v", err)
		}
		if err := w.resizing(0).Abort(w.t.Context()); err == nil {
			t.Error("a change that is over was undone")
		}
	})
}

// TestR23_ScaleWithoutWorkers changes the number of partitions of a system that rests;
// workers that start afterwards find everything.
func TestR23_ScaleWithoutWorkers(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve := w.made("valve-1")[0]
		o := count(valve, operation.Low)
		w.submit(o)
		after(time.Second)
		c.stop()
		w.resize(7)
		w.ready()
		w.submit(o, count(valve, operation.High))
		after(time.Second)
		if got := w.field(valve, "counter"); got != "2" {
			t.Errorf("the counter is %s, want 2", got)
		}
		for p := range 7 {
			if f := w.fences()[p]; f.Partitions != 7 || f.Retired() {
				t.Errorf("the fence of partition %d is %+v", p, f)
			}
		}
	})
}

// TestR25_AScaleThatMissedSomethingIsNotFinished accepts an operation behind the end
// that the fences name, as no broker should. The change is not finished; undone, the
// operation is executed like any other.
func TestR25_AScaleThatMissedSomethingIsNotFinished(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		steps, err := w.resizing(8).Steps()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, step := range steps {
			if step.Name == "confirm" {
				break
			}
			if err := step.Do(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		}
		stream, err := w.js.Stream(w.t.Context(), w.space.OpsStream())
		if err != nil {
			w.t.Fatal(err)
		}
		cfg := stream.CachedInfo().Config
		cfg.Subjects = []string{w.space.Submissions(), w.space.Sealed()}
		if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
			w.t.Fatal(err)
		}
		o := count(valve, operation.Low)
		w.submit(o)
		cfg.Subjects = []string{w.space.Sealed()}
		if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.resizing(8).Run(w.t.Context()); err == nil || !strings.Contains(err.Error(), "undo it with --abort") {
			t.Errorf("finishing it: %v, want what is wrong", err)
		}
		w.abortResize(4)
		w.wants(completed, o)
		w.resize(8)
	})
}
