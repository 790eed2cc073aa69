package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR5_AHundredAreCarried has an entity carry as many as it may by default, for a
// while, and looks at what is said of those that wait.
func TestR5_AHundredAreCarried(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve := w.made("valve-1")[0]
		holder, best := slow(valve, operation.Low, script{Take: "1h"}), modify(valve, operation.Critical, "1")
		w.submit(holder)
		after(20 * time.Millisecond)
		limit := w.cfg.Limits.MaxCarried
		var ops []operation.Operation
		for range limit + 3 {
			ops = append(ops, carry(modify(valve, operation.Normal, "2")))
		}
		w.submit(ops...)
		w.submit(best)
		after(10 * time.Second)
		w.wants("", ops[:limit]...)
		w.wants(string(operation.CarriedOverflow), ops[limit:]...)
		if n := len(w.records()); n != limit+2 {
			t.Errorf("%d operations live, want the holder, the next and %d", n, limit)
		}
		s := c.Stats().Partitions[0]
		if age := time.Since(s.Oldest).Round(time.Second); age != 10*time.Second || s.MostLosses != 1 {
			t.Errorf("the oldest is %v old, most losses %d; want 10s and 1", age, s.MostLosses)
		}
		if later := s.Since.Sub(s.Oldest).Round(10 * time.Millisecond); later != 20*time.Millisecond {
			t.Errorf("the oldest that waits came %v after the holder, want 20ms", later)
		}
		w.submit(carry(modify(valve, operation.High, "3")))
		after(10 * time.Second)
		w.wants(string(operation.CarriedOverflow), ops[limit-1])
		if s := c.Stats().Partitions[0]; s.MostLosses != 2 {
			t.Errorf("most losses %d, want 2", s.MostLosses)
		}
		contenders := w.of(operation.ConflictEvent, best)
		last := contenders[len(contenders)-1].detail.Contenders
		if got := last[2]; got.Losses != 1 || !got.CreatedAt.Equal(w.received(ops[0])) {
			t.Errorf("the conflict shows %d losses and created_at %v, want 1 and when it was received", got.Losses, got.CreatedAt)
		}
	})
}

// received returns when the broker received an operation that lives.
func (w *world) received(o operation.Operation) time.Time {
	w.t.Helper()
	return w.records()[o.ID].ReceivedAt
}

// TestR5_AHundredLossesAreEnough has an operation lose as often as it may by default.
func TestR5_AHundredLossesAreEnough(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready()
		valve := w.made("valve-1")[0]
		loser := carry(modify(valve, operation.Low, "1"))
		w.submit(loser)
		for range w.cfg.Limits.MaxCarries {
			w.submit(modify(valve, operation.High, "2"))
			after(w.cfg.Window + time.Millisecond)
		}
		w.wants("", loser)
		w.submit(modify(valve, operation.High, "2"))
		after(time.Second)
		w.wants(string(operation.MaxCarriesExceeded), loser)
		conflicts := 0
		for _, e := range w.events() {
			if e.kind == operation.ConflictEvent && e.detail.Contenders[1].Losses == conflicts {
				conflicts++
			}
		}
		if conflicts != w.cfg.Limits.MaxCarries+1 {
			t.Errorf("%d conflicts count the losses up, want %d", conflicts, w.cfg.Limits.MaxCarries+1)
		}
	})
}

// TestR5_LossesSurviveAChangeOfOwner has three operations lose five windows together, of
// which only one record tells, and that one is cancelled. The next owner still knows.
func TestR5_LossesSurviveAChangeOfOwner(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		valve := w.made("valve-1")[0]
		w.submit(slow(valve, operation.Low, script{Take: "1h"}))
		after(time.Second)
		next := modify(valve, operation.Critical, "1")
		ops := []operation.Operation{
			carry(modify(valve, operation.Low, "2")), carry(modify(valve, operation.Low, "3")), carry(modify(valve, operation.Low, "4")),
		}
		w.submit(append(ops, next)...)
		after(time.Second)
		for range 4 {
			w.submit(modify(valve, operation.High, "5"))
			after(time.Second)
		}
		var told []operation.Record
		for _, r := range w.records() {
			if r.Contest == 5 {
				told = append(told, r)
			}
		}
		if len(told) != 1 || told[0].OpID != ops[2].ID || told[0].Losses != 5 {
			t.Errorf("%+v count the fifth loss, want the last of those that are carried", told)
		}
		w.cancel(ops[2])
		after(time.Second)
		c.stop()
		w.ready()
		w.submit(modify(valve, operation.High, "6"))
		after(time.Second)
		conflicts := w.of(operation.ConflictEvent, next)
		for _, one := range conflicts[len(conflicts)-1].detail.Contenders[2:] {
			if one.Losses != 5 {
				t.Errorf("%s had lost %d windows before the last conflict, want 5", one.OpID, one.Losses)
			}
		}
	})
}

// TestR5_AllThatIsCarriedFitsIntoCommits has sixty entities of one partition carry as
// many operations as they may, and become free in one moment: a decision record over all
// of them would be larger than what the broker takes. Then most have lost too often.
func TestR5_AllThatIsCarriedFitsIntoCommits(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		w := newWorld(t, s, 1)
		w.cfg.Limits.MaxCarries, w.cfg.checkpointEvery = 3, 1
		c := w.ready()
		names := make([]string, 60)
		for i := range names {
			names[i] = fmt.Sprintf("valve-%d", i)
		}
		var ops []operation.Operation
		for _, valve := range w.made(names...) {
			w.submit(slow(valve, operation.Low, script{Take: "10s"}))
			for range w.cfg.Limits.MaxCarried {
				ops = append(ops, carry(modify(valve, operation.Low, "1")))
			}
		}
		after(time.Second)
		w.submit(ops...)
		after(time.Minute)
		if n := len(w.records()); n > 0 {
			t.Errorf("%d operations live on, want none", n)
		}
		if n := c.Stats().Refusals[tooLargeCommit]; n > 0 {
			t.Errorf("%d commits were too large", n)
		}
		w.finish()
	})
}
