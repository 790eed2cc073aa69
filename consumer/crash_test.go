package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
)

// everyStep is the harm that each step is tried with: a crash at every one, and
// where a commit is under way also a lost connection, and a pause that outlasts the
// worker's membership.
func everyStep() []trap {
	var out []trap
	for _, at := range steps {
		out = append(out, trap{at: at, nth: 1, do: crash, share: 0.5})
		if at != beforeLoad && !at.late() { // what was loaded once is known, and all is let go of at once
			out = append(out, trap{at: at, nth: 2, do: crash, share: 0.5})
		}
	}
	for _, share := range []float64{0, 0.9} {
		out = append(out, trap{at: midBatch, nth: 1, do: crash, share: share})
	}
	for _, at := range []step{beforeClaim, afterClaim, afterResolve, midBatch, beforeStored, afterStored, afterRefused, afterCommit, beforeRelease} {
		out = append(out,
			trap{at: at, nth: 1, do: sever, share: 0.5},
			trap{at: at, nth: 1, do: pause, pause: 2 * time.Second, share: 0.5},
			trap{at: at, nth: 1, do: pause, pause: 30 * time.Second, share: 0.5})
	}
	return out
}

// early reports whether a worker passes the step before there is anything to do.
func (s step) early() bool { return s == beforeClaim || s == afterClaim || s == beforeRead }

// late reports whether a worker passes the step when it lets go of a partition.
func (s step) late() bool { return s == beforeRelease || s == afterRelease }

// TestR16_CrashAtEveryStep has a worker die at every step, lose its connection or
// stand still, and another take over. What becomes of each operation is the same as
// if nothing had happened.
func TestR16_CrashAtEveryStep(t *testing.T) {
	for _, harm := range everyStep() {
		t.Run(harm.String(), func(t *testing.T) {
			bubble(t, func(w *world) {
				traps := newTraps(w)
				if harm.at.early() {
					traps.set(harm)
				}
				first := traps.start()
				after(time.Second)
				if harm.at.early() {
					traps.start()
				}
				day := newDay(w)
				after(10 * time.Second)
				if !harm.at.early() && !harm.at.late() {
					traps.set(harm)
				}
				day.submit()
				after(time.Second)
				if harm.at.late() {
					traps.set(harm)
				}
				traps.start()
				after(45 * time.Second)
				if n := len(traps.sprung); n != 1 {
					t.Errorf("%d came to harm, want one", n)
				}
				if first.alive() == (harm.do == crash) {
					t.Errorf("the worker lives: %t", first.alive())
				}
				day.check()
			})
		})
	}
}

func (t trap) String() string {
	name := fmt.Sprintf("%s %s %d", t.do, t.at, t.nth)
	if t.at == midBatch {
		name += fmt.Sprintf(" at %.0f%%", 100*t.share)
	}
	if t.do == pause {
		name += " for " + t.pause.String()
	}
	return name
}

// day is a piece of work in which everything occurs that an operation's life has,
// and which can end in one way only.
type day struct {
	w      *world
	ops    map[string][]operation.Operation // by how they must end
	values map[string]string                // the field counter of entities
}

// newDay makes the entities of the day.
func newDay(w *world) *day {
	for _, name := range []string{"contest", "slow", "retry", "child", "carry", "other"} {
		w.send(create(w.entity(name)))
	}
	return &day{w: w, ops: map[string][]operation.Operation{}, values: map[string]string{}}
}

func (d *day) does(outcome string, ops ...operation.Operation) {
	d.w.t.Helper()
	d.ops[outcome] = append(d.ops[outcome], ops...)
	d.w.submit(ops...)
}

// submit publishes the operations of the day, all at once.
func (d *day) submit() {
	d.w.t.Helper()
	w, id := d.w, d.w.entity
	for _, p := range []operation.Priority{operation.Low, operation.High, operation.Normal} {
		d.does("lost_conflict", count(id("contest"), p))
	}
	critical := count(id("contest"), operation.Critical)
	d.does(completed, critical)
	w.submit(critical) // again

	holder := slow(id("slow"), operation.Critical, script{Take: "500ms", Set: []byte("5"), Version: true})
	d.does(completed, holder)
	failing := slow(id("retry"), operation.Normal, script{Take: "20ms", Fail: 2, Set: []byte("3")})
	d.does(completed, failing)
	d.does("max_retries_exceeded", retries(1, modify(id("never"), operation.Normal, "1")))

	parent := modify(id("other"), operation.Critical, "9")
	d.does(completed, parent)
	d.does("lost_conflict", modify(id("child"), operation.High, "1"))
	d.does(completed, under(parent, modify(id("child"), operation.Low, "2")))
	first, second := count(id("carry"), operation.High), carry(count(id("carry"), operation.Low))
	d.does(completed, first, second)

	after(100 * time.Millisecond)
	next := carry(count(id("slow"), operation.High)) // next, or carried if it is in one window with the holder
	d.does(completed, next)
	doomed := modify(id("slow"), operation.Low, "7")
	d.does("lost_conflict", doomed)
	d.values = map[string]string{"contest": "1", "slow": "6", "retry": "3", "child": "2", "carry": "2", "other": "9"}
}

// check checks the outcome of every operation and the state of every entity.
func (d *day) check() {
	d.w.t.Helper()
	for outcome, ops := range d.ops {
		d.w.wants(outcome, ops...)
	}
	for name, want := range d.values {
		if got := d.w.field(d.w.entity(name), "counter"); got != want {
			d.w.t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
	for id, r := range d.w.records() {
		d.w.t.Errorf("%s is still %s", d.w.name(id), r.Status)
	}
}
