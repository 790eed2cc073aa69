package consumer

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

func TestB2_ARunningExecutionIsNotInterrupted(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve := w.made("valve-1")[0]
		low := slow(valve, operation.Low, script{Take: "100ms"})
		critical := modify(valve, operation.Critical, "7")
		w.submit(low)
		after(50 * time.Millisecond)
		w.submit(critical)
		after(time.Second)
		w.wants(completed, low, critical)
		w.golden("B2")
		if n := c.Stats().ExecutingProtections; n != 1 {
			t.Errorf("executing protections %d, want 1", n)
		}
	})
}

func TestB3_GraceHoldsTheCriticalOff(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready(func(cfg *Config) { cfg.RetryBase = time.Second })
		valve := w.made("valve-1")[0]
		low := slow(valve, operation.Low, script{Take: "1ms", Fail: 1})
		critical := modify(valve, operation.Critical, "7")
		w.submit(low)
		after(30 * time.Millisecond)
		w.submit(critical)
		after(30 * time.Millisecond)
		if _, ended := w.outcomes()[critical.ID]; ended {
			t.Error("the critical did not wait for the end of the grace period")
		}
		after(5 * time.Second)
		w.wants("preempted", low)
		w.wants(completed, critical)
		if n := c.Stats().GracePeriodSaves; n != 1 {
			t.Errorf("grace period saves %d, want 1", n)
		}
	})
}

func TestB4_ARetrySucceeds(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		o := slow(valve, operation.Normal, script{Take: "1ms", Fail: 1})
		w.submit(o)
		after(5 * time.Second)
		w.wants(completed, o)
		if again := w.of(operation.RetryEvent, o); len(again) != 1 || again[0].detail.RetryCount != 1 {
			t.Errorf("retries %+v, want one", again)
		}
	})
}

// TestB5_EachEntityHasItsBestAfterTheSlowOne has 50 operations of random priorities come
// to five entities that are busy.
func TestB5_EachEntityHasItsBestAfterTheSlowOne(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		random := rand.New(rand.NewPCG(5, 50))
		entities := w.made("valve-1", "valve-2", "valve-3", "valve-4", "pump-1")
		var busy, ops []operation.Operation
		for _, entity := range entities {
			busy = append(busy, slow(entity, operation.Low, script{Take: "1s"}))
		}
		w.submit(busy...)
		after(100 * time.Millisecond)
		best, higher := map[uuid.UUID]operation.Operation{}, 0
		for range 50 {
			o := modify(entities[random.IntN(5)], operation.Priorities()[random.IntN(4)], "7")
			if o.Priority > best[o.Target].Priority {
				best[o.Target] = o
			}
			if o.Priority > operation.Low {
				higher++
			}
			ops = append(ops, o)
		}
		w.submit(ops...)
		after(10 * time.Second)
		w.wants(completed, busy...)
		for _, o := range ops {
			if best[o.Target].ID == o.ID {
				w.wants(completed, o)
			} else {
				w.wants("lost_conflict", o)
			}
		}
		for i, entity := range entities {
			ended, began := w.of(operation.CompletedEvent, busy[i])[0], w.of(operation.StartedEvent, best[entity])[0]
			if began.Time.Before(ended.Time) {
				t.Errorf("%s: the best started at %v, the slow one ended at %v", w.name(entity), began.Time, ended.Time)
			}
		}
		if n := c.Stats().ExecutingProtections; n != higher {
			t.Errorf("executing protections %d, want %d", n, higher)
		}
	})
}

// TestE9_TheRunningOneAndTheMostImportant has a normal and a critical operation come to an
// entity that is busy with a high one, together and one after the other.
func TestE9_TheRunningOneAndTheMostImportant(t *testing.T) {
	for name, between := range map[string]time.Duration{"together": 0, "in turn": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.ready()
				valve := w.made("valve-1")[0]
				high := slow(valve, operation.High, script{Take: "1s", Set: json.RawMessage("1")})
				normal, critical := modify(valve, operation.Normal, "2"), modify(valve, operation.Critical, "3")
				w.submit(high)
				after(100 * time.Millisecond)
				w.submit(normal)
				after(between)
				w.submit(critical)
				after(10 * time.Second)
				w.wants(completed, high, critical)
				w.wants("lost_conflict", normal)
				got := w.outcomes()
				if winner := got[normal.ID].detail.Winner; winner != critical.ID {
					t.Errorf("the normal one lost to %s", w.name(winner))
				}
				if last := w.field(valve, "counter"); got[critical.ID].Time.Before(got[high.ID].Time) || last != "3" {
					t.Errorf("the high one ended at %v, the critical one at %v, and the field is %s",
						got[high.ID].Time, got[critical.ID].Time, last)
				}
			})
		})
	}
}

func TestE10_GivesUpAfterFourAttempts(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		o := slow(valve, operation.Normal, script{Fail: 10})
		w.submit(o)
		after(10 * time.Second)
		w.wants("max_retries_exceeded", o)
		if n := w.lab.attempts(o); n != 4 {
			t.Errorf("%d attempts, want 4", n)
		}
		for i, e := range w.of(operation.RetryEvent, o) {
			want := float64(int(100) << i)
			if got := e.detail.BackoffMS; got < 0.8*want || got > 1.2*want {
				t.Errorf("retry %d after %v ms, want about %v", i+1, got, want)
			}
		}
	})
}

func TestE11_NoRetriesNoSecondAttempt(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		o := retries(0, slow(valve, operation.Normal, script{Fail: 1}))
		w.submit(o)
		after(5 * time.Second)
		w.wants("max_retries_exceeded", o)
		if n := w.lab.attempts(o); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
	})
}

func TestR9_TheSameOperationAgain(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve := w.made("valve-1")[0]
		o := modify(valve, operation.Normal, "7")
		w.submit(o, o)
		after(time.Second)
		w.submit(o)
		after(time.Second)
		c.stop()
		w.ready()
		w.submit(o)
		after(time.Second)
		w.wants(completed, o)
		other := o
		other.Params = modify(valve, operation.Normal, "8").Params
		w.publish(w.space.Submit(other.Priority, other.Target), encoded(t, &other))
		after(time.Second)
		if dead := w.dead(); len(dead) != 1 {
			t.Errorf("dead letters %q, want one", dead)
		}
		if got := w.field(valve, "counter"); got != "7" {
			t.Errorf("counter is %s, want 7", got)
		}
	})
}

func encoded(t *testing.T, o *operation.Operation) []byte {
	t.Helper()
	body, err := o.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestR12_ARetrySurvivesTheWorkersDeath has a worker die while an operation waits for its
// second attempt. The next one makes it at the very time that the event has announced,
// and counts on from there.
func TestR12_ARetrySurvivesTheWorkersDeath(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.RetryBase, w.cfg.RetryMax = 20*time.Second, time.Minute
		c := w.ready()
		valve := w.made("valve-1")[0]
		o := retries(2, slow(valve, operation.Normal, script{Fail: 10}))
		w.submit(o)
		after(time.Second)
		before := w.records()[o.ID]
		c.die()
		w.ready()
		if kept := w.records()[o.ID]; kept.Attempt != 1 || kept.Retries != 1 || !kept.Due.Equal(before.Due) {
			t.Errorf("attempt %d, retry %d due at %v; it was due at %v", kept.Attempt, kept.Retries, kept.Due, before.Due)
		}
		after(2 * time.Minute)
		w.wants("max_retries_exceeded", o)
		started, again := w.of(operation.StartedEvent, o), w.of(operation.RetryEvent, o)
		if len(started) != 3 || len(again) != 2 {
			t.Fatalf("%d attempts and %d retries, want 3 and 2", len(started), len(again))
		}
		for i, e := range again {
			next := started[i+1]
			if e.detail.RetryCount != i+1 || next.detail.Attempt != i+2 || next.Time.Sub(e.detail.Due) != 0 {
				t.Errorf("retry %d is due at %v; attempt %d began at %v", e.detail.RetryCount, e.detail.Due, next.detail.Attempt, next.Time)
			}
		}
	})
}

func TestR15_ExpiredWhenItsTurnComes(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		holder := slow(valve, operation.Low, script{Take: "2s"})
		o := expiring(time.Second, modify(valve, operation.High, "7"))
		w.submit(holder)
		after(100 * time.Millisecond)
		w.submit(o)
		after(10 * time.Second)
		w.wants(completed, holder)
		w.wants("expired", o)
	})
}

func TestR17_CancelWhatWaits(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		holder := slow(valve, operation.Low, script{Take: "2s"})
		next := modify(valve, operation.High, "7")
		w.submit(holder)
		after(100 * time.Millisecond)
		w.submit(next)
		after(100 * time.Millisecond)
		id := w.cancel(next)
		w.cancel(holder)
		after(10 * time.Second)
		w.wants(completed, holder)
		w.wants("cancelled", next)
		if got := w.of(operation.CancelledEvent, next); len(got) != 1 || got[0].detail.CancelID != id {
			t.Errorf("cancelled %+v, want one by %s", got, id)
		}
		if got := w.of(operation.CancelRefusedEvent, holder); len(got) != 1 || got[0].detail.Status != operation.Executing {
			t.Errorf("refused %+v, want one of an executing operation", got)
		}
	})
}

func TestR5_ACarriedLoserWinsLater(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		loser, winner := carry(modify(valve, operation.Low, "1")), modify(valve, operation.High, "2")
		w.submit(loser, winner)
		after(time.Second)
		w.wants(completed, loser, winner)
		if got := w.field(valve, "counter"); got != "1" {
			t.Errorf("counter is %s, want 1", got)
		}
	})
}
