package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// told is a book of operations that were all submitted at once, and a way to tell it
// events in their wire form.
type told struct {
	*book
	t      *testing.T
	target uuid.UUID
	at     time.Time
}

func newTold(t *testing.T, operations int) *told {
	t.Helper()
	b := &told{book: newBook(newSeries()), t: t, target: uuid.New(), at: time.Now()}
	for range operations {
		b.submit(b.at)
	}
	return b
}

func (b *told) detail(n int, kind operation.Type) operation.Detail {
	return operation.Detail{
		OpID: b.series.id(n), OpType: kind, Target: b.target.String(), TargetName: `"op_id":"`,
		Priority: operation.Low, EffectivePriority: operation.High, Worker: "w", Window: "1-1", Sequence: 5,
	}
}

// tell enters an event after some time and reports whether it ended an operation.
func (b *told) tell(kind operation.Kind, after time.Duration, detail any) bool {
	b.t.Helper()
	event, err := operation.NewEvent(kind, "id", 1, b.target.String(), b.at, "", detail)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := event.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.event(kind, b.target.String(), body, b.at.Add(after))
}

func (b *told) conflictOf(first int, resolution float64, verdicts ...operation.Verdict) {
	b.t.Helper()
	detail := operation.ConflictDetail{Detail: b.detail(first, ""), WinnerOpID: b.series.id(first), ResolutionMS: resolution}
	for i, v := range verdicts {
		detail.Contenders = append(detail.Contenders, operation.Contender{
			OpID: b.series.id(first + i), Priority: operation.Low, EffectivePriority: operation.Priorities()[i], Verdict: v,
		})
	}
	b.tell(operation.ConflictEvent, 0, detail)
}

func TestBookReadsEvents(t *testing.T) {
	b := newTold(t, 4)
	b.conflictOf(0, .063, operation.Wins, operation.Loses, operation.Loses)
	b.tell(operation.StartedEvent, 0, operation.StartedDetail{Detail: b.detail(0, operation.ComplexUpdate)})
	b.tell(operation.FailedEvent, 0, operation.FailedDetail{Detail: b.detail(0, operation.ComplexUpdate), Error: `}"reason":"`})
	b.tell(operation.RetryEvent, 0, operation.RetryDetail{Detail: b.detail(0, operation.ComplexUpdate)})
	ended := []bool{
		b.tell(operation.CompletedEvent, 10*time.Millisecond, operation.CompletedDetail{Detail: b.detail(0, operation.ComplexUpdate)}),
		b.tell(operation.RejectedEvent, 20*time.Millisecond, operation.RejectedDetail{
			Detail: b.detail(1, operation.ModifyField), Reason: operation.LostConflict, Message: `"reason":"other"`,
		}),
		b.tell(operation.CancelledEvent, 30*time.Millisecond, operation.CancelDetail{Detail: b.detail(2, operation.ModifyField)}),
		b.tell(operation.CompletedEvent, 40*time.Millisecond, operation.CompletedDetail{Detail: b.detail(3, operation.VersionEntity)}),
	}
	if slices.Contains(ended, false) || b.open() != 0 {
		t.Errorf("of terminal events %v ended an operation, %d are open", ended, b.open())
	}
	c := b.counts()
	if c.events != 8 || c.completed != 2 || c.cancelled != 1 || c.rejected[operation.LostConflict] != 1 || c.failed != 1 || c.retries != 1 {
		t.Errorf("counted %+v", c)
	}
	if c.conflicts != 1 || c.resolved != 1 || c.losers != 2 || c.winners[operation.High] != 1 || c.resolution.quantile(.5) != .063 {
		t.Errorf("of conflicts it counted %d, %d resolved, %d losers, winners %v, %v ms",
			c.conflicts, c.resolved, c.losers, c.winners, c.resolution.quantile(.5))
	}
	if got := c.targets[b.target.String()]; got != (targetCounts{versions: 2, updates: 1}) {
		t.Errorf("of the target it counted %+v", got)
	}
	if got := c.latency.quantile(1); got < 39 || got > 41 {
		t.Errorf("the longest latency is %v ms, want 40", got)
	}
	if len(c.problems) > 0 || c.others > 0 {
		t.Errorf("it complained: %v, %d of others", c.problems, c.others)
	}
}

func TestBookComplainsOfWhatMustNotBe(t *testing.T) {
	for what, tell := range map[string]func(b *told){
		"ended twice": func(b *told) {
			for range 2 {
				b.tell(operation.CancelledEvent, 0, operation.CancelDetail{Detail: b.detail(0, "")})
			}
		},
		"was refused and ended": func(b *told) {
			b.refuse(0)
			b.tell(operation.CancelledEvent, 0, operation.CancelDetail{Detail: b.detail(0, "")})
		},
		"let 0 contenders through": func(b *told) { b.conflictOf(0, 0, operation.Loses, operation.Loses) },
		"let 2 contenders through": func(b *told) { b.conflictOf(0, 0, operation.Wins, operation.Waits) },
	} {
		b := newTold(t, 2)
		tell(b)
		if c := b.counts(); len(c.problems) != 1 || !strings.Contains(c.problems[0], what) {
			t.Errorf("%s: it complained: %q", what, c.problems)
		}
	}
}

func TestBookLeavesOthersOperationsAlone(t *testing.T) {
	b := newTold(t, 1)
	stranger := b.detail(0, "")
	stranger.OpID = uuid.New()
	unknown := b.detail(1, "") // of the series, but never submitted
	for _, detail := range []operation.Detail{stranger, unknown} {
		if b.tell(operation.CompletedEvent, 0, operation.CompletedDetail{Detail: detail}) {
			t.Errorf("%+v ended an operation", detail)
		}
	}
	b.event(operation.CompletedEvent, "", []byte(`{"op_id":"`), b.at)
	if c := b.counts(); c.others != 3 || c.ended != 0 || c.completed != 0 || b.open() != 1 {
		t.Errorf("counted %+v", c)
	}
}

func TestBookCountsAfresh(t *testing.T) {
	b := newTold(t, 1)
	b.tell(operation.CompletedEvent, 0, operation.CompletedDetail{Detail: b.detail(0, operation.CreateEntity)})
	b.reset()
	c := b.counts()
	if c.completed != 0 || c.submitted != 0 || b.open() != 0 || c.targets[b.target.String()].versions != 1 {
		t.Errorf("after a reset it counts %+v, %d open: want only what the target has", c, b.open())
	}
	b.submit(b.at)
	b.refuse(1)
	b.refuse(1)
	if b.open() != 0 || !b.over(0) || b.over(1) {
		t.Errorf("%d open, over: %t %t", b.open(), b.over(0), b.over(1))
	}
}

// TestStressReportHasTeeth takes a report that is well and spoils one thing at a
// time.
func TestStressReportHasTeeth(t *testing.T) {
	type world struct {
		r             stressReport
		c             bookCounts
		before, after storeCounts
	}
	healthy := func() *world {
		w := &world{
			r: stressReport{Submitted: 5, Completed: 2, Rejected: 2, Cancelled: 1, Targets: 1, VersionsExpected: 3},
			c: bookCounts{conflicts: 2, resolved: 2, losers: 2, rejected: map[operation.Reason]int{operation.LostConflict: 2}},
		}
		w.before.Counts = operation.Counts{Submitted: 10, Succeeded: 5, Rejected: 4, Cancelled: 1, Versions: 1}
		w.after.Counts = operation.Counts{Submitted: 15, Succeeded: 7, Rejected: 6, Cancelled: 2, Versions: 3}
		return w
	}
	spoil := map[string]func(w *world){
		"":                                 func(*world) {},
		"1 operations have no outcome":     func(w *world) { w.r.Pending = 1 },
		"1 operations are stored":          func(w *world) { w.r.Unconfirmed = 1 },
		"conflicts had 3 losers":           func(w *world) { w.c.losers = 3 },
		"2 conflicts were seen, and 1":     func(w *world) { w.c.resolved = 1 },
		"submitted: 5 by the events, 6 by": func(w *world) { w.after.Submitted++ },
		"completed: 2 by the events, 3 by": func(w *world) { w.after.Succeeded++ },
		"rejected: 2 by the events, 3 by":  func(w *world) { w.after.Rejected++ },
		"cancelled: 1 by the events, 2 by": func(w *world) { w.after.Cancelled++ },
		"dead: 0 by the events, 1 by":      func(w *world) { w.after.DeadLettered++ },
		"live: 0 by the events, 1 by":      func(w *world) { w.after.Live++ },
		"versions: 2 by the events, 3 by":  func(w *world) { w.after.Versions++ },
		"operation 7 ended twice":          func(w *world) { w.c.problems = []string{"operation 7 ended twice"} },
	}
	for want, change := range spoil {
		w := healthy()
		change(w)
		w.r.conserved(&w.c, w.before, w.after, false)
		got := strings.Join(w.r.Problems, "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("it found %q, want %q", got, want)
		}
	}
}
