//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestReference tries the reference cases against containers. They are told apart
// from each other by their entities.
func TestReference(t *testing.T) {
	s := build(t, plan{brokers: 1, workers: 1, args: []string{
		"--window", "250ms", "--grace-period", "5s", "--system", string(slow) + "=" + slowSubject,
	}})
	l := &lab{site: s, record: s.listen(), t: t}
	for _, c := range []struct {
		name string
		try  func(*lab)
	}{
		{"B1_CriticalWinsOfFour", (*lab).b1},
		{"B2_LowFinishesThenCriticalRuns", (*lab).b2},
		{"B3_LowKeepsItsTurnWithinGrace", (*lab).b3},
		{"B4_FailsOnceThenCompletes", (*lab).b4},
		{"B5_TheHighestRunsAfterTheSlowOne", (*lab).b5},
		{"B6_ChildOfACriticalParentWins", (*lab).b6},
		{"B7_AChainOfThreeIsHighAllAlong", (*lab).b7},
		{"E4_OneMicrosecondEarlierWins", (*lab).e4},
		{"E7_AGrandparentLendsItsPriority", (*lab).e7},
		{"E10_FourAttemptsThenRejected", (*lab).e10},
		{"E11_NoRetriesNoSecondAttempt", (*lab).e11},
		{"D1_D3_OneWinnerForEachBatch", (*lab).d1},
		{"D5_VersionsAreThoseThatWereMade", (*lab).d5},
		{"D6_ModifyAndBorrowMakeNoVersion", (*lab).d6},
	} {
		t.Run(c.name, func(t *testing.T) { c.try(l.in(t)) })
	}
	s.audited("--grace-period", "5s")
}

// Metrics that reference cases speak of.
const (
	protections = "hierarchy_executing_protections_total"
	saves       = "hierarchy_grace_period_saves_total"
	detected    = "hierarchy_conflicts_detected_total"
	resolved    = "hierarchy_conflicts_resolved_total"
)

func (l *lab) b1() {
	l.made("b1")
	var requests []client.Request
	for _, p := range operation.Priorities() {
		requests = append(requests, modify("b1", p))
	}
	ops := l.send(requests...)
	l.wants(ops, lost, lost, lost, succeeded)
	for _, op := range ops[:3] {
		if end := l.of(op); end[len(end)-1].Winner != ops[3].ID {
			l.t.Errorf("%s lost to %s, want %s", op.ID, end[len(end)-1].Winner, ops[3].ID)
		}
	}
}

// held returns a channel whose end lets slow operations go on.
func (l *lab) held() chan<- struct{} {
	release := make(chan struct{})
	l.answer(func(operation.Operation) error {
		<-release
		return nil
	})
	return release
}

func (l *lab) b2() {
	l.made("b2")
	release := l.held()
	before := l.metric(protections)
	low := l.send(slowly("b2", operation.Low))[0]
	l.awaits(low, operation.StartedEvent, 1)
	critical := l.resolved(modify("b2", operation.Critical))
	if kinds := l.kinds(critical); len(kinds) > 0 {
		l.t.Errorf("the critical one did not wait: %v", kinds)
	}
	l.counts(protections, before+1)
	close(release)
	l.wants([]*operation.Operation{low, critical}, succeeded, succeeded)
	l.follows(low, critical)
}

func (l *lab) b3() {
	l.made("b3")
	before, ten := l.metric(saves), 10
	low := l.send(client.Request{
		Type: operation.BorrowAttribute, Target: "b3", Source: "b3-source", Priority: operation.Low, MaxRetries: &ten,
		Params: map[string]any{"source_field": "counter", "target_field": "counter"},
	})[0]
	l.awaits(low, operation.RetryEvent, 4) // the next one is 1.6 s away at most, and the grace period is 5 s
	critical := l.resolved(modify("b3", operation.Critical))
	if kinds := l.kinds(critical); len(kinds) > 0 {
		l.t.Errorf("the critical one was not held off: %v", kinds)
	}
	l.counts(saves, before+1)
	l.made("b3-source")
	l.wants([]*operation.Operation{low, critical}, succeeded, succeeded)
	l.follows(low, critical)
}

func (l *lab) b4() {
	l.made("b4")
	attempts := make(chan struct{}, 10)
	l.answer(func(operation.Operation) error {
		attempts <- struct{}{}
		if len(attempts) == 1 {
			return errors.New("the device is busy")
		}
		return nil
	})
	ops := l.send(slowly("b4", operation.Normal))
	l.wants(ops, succeeded)
	want := []operation.Kind{
		operation.StartedEvent, operation.FailedEvent, operation.RetryEvent, operation.StartedEvent, operation.CompletedEvent,
	}
	if diff := cmp.Diff(want, l.kinds(ops[0])); diff != "" {
		l.t.Fatalf("events (- want, + got):\n%s", diff)
	}
	if retry := l.of(ops[0])[2]; retry.RetryCount != 1 {
		l.t.Errorf("retry_count is %d, want 1", retry.RetryCount)
	}
}

func (l *lab) b6() {
	l.made("b6", "b6-parent")
	parent := l.succeeds(modify("b6-parent", operation.Critical))
	ops := l.send(under(parent, modify("b6", operation.Low)), modify("b6", operation.High))
	l.wants(ops, succeeded, lost)
	l.effective(ops[0], operation.Critical)
}

func (l *lab) b7() {
	l.made("b7-a", "b7-b", "b7-c")
	chain := []*operation.Operation{l.succeeds(modify("b7-a", operation.High))}
	for _, name := range []string{"b7-b", "b7-c"} {
		chain = append(chain, l.succeeds(under(chain[len(chain)-1], modify(name, operation.Normal))))
	}
	for _, op := range chain {
		l.effective(op, operation.High)
	}
}

func (l *lab) e4() {
	l.made("e4")
	late, early := l.op(modify("e4", operation.Normal)), l.op(modify("e4", operation.Normal))
	early.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	late.CreatedAt = early.CreatedAt.Add(time.Microsecond)
	ops := []*operation.Operation{late, early}
	l.publish(ops...)
	l.wants(ops, lost, succeeded)
}

func (l *lab) e7() {
	l.made("e7", "e7-grand", "e7-parent")
	grand := l.succeeds(modify("e7-grand", operation.High))
	parent := l.succeeds(under(grand, modify("e7-parent", operation.Low)))
	ops := l.send(modify("e7", operation.Normal), under(parent, modify("e7", operation.Low)))
	l.wants(ops, lost, succeeded)
	l.effective(ops[1], operation.High)
}

func (l *lab) e10() {
	three := 3
	r := modify("e10-nobody-makes-it", operation.Normal)
	r.MaxRetries = &three
	op := l.send(r)[0]
	l.wants([]*operation.Operation{op}, string(operation.MaxRetriesExceeded))
	if n := l.count(op, operation.StartedEvent); n != 4 {
		l.t.Errorf("%d attempts, want 4", n)
	}
	var delays []float64
	for _, e := range l.of(op) {
		if e.kind == operation.RetryEvent {
			delays = append(delays, e.BackoffMS)
		}
	}
	about := func(got, want float64) bool { return got >= .8*want && got <= 1.2*want }
	if want := []float64{100, 200, 400}; !slices.EqualFunc(delays, want, about) {
		l.t.Errorf("the delays are %v ms, want about %v", delays, want)
	}
}

func (l *lab) e11() {
	none := 0
	r := modify("e11-nobody-makes-it", operation.Normal)
	r.MaxRetries = &none
	op := l.send(r)[0]
	l.wants([]*operation.Operation{op}, string(operation.MaxRetriesExceeded))
	if n := l.count(op, operation.StartedEvent); n != 1 {
		l.t.Errorf("%d attempts, want 1", n)
	}
}

// d1 is D3 as well: who wins.
func (l *lab) d1() {
	const first, last = 3, 8
	wantDetected, wantResolved := l.metric(detected)+last-first+1, l.metric(resolved)+last-first+1
	for n := first; n <= last; n++ {
		name := fmt.Sprintf("d1-%d", n)
		l.made(name)
		var requests []client.Request
		for i := range n {
			requests = append(requests, modify(name, operation.Priorities()[i%4]))
		}
		ops := l.send(requests...)
		want := slices.Repeat([]string{lost}, n)
		want[min(n-1, 3)] = succeeded // the only high one of 3, the first critical one of more
		l.wants(ops, want...)
		if c := l.conflicts(ops[0].Target); len(c) != 1 || len(c[0].Contenders) != n {
			l.t.Errorf("conflicts over %s: %v, want one of %d", name, c, n)
		}
	}
	l.counts(detected, wantDetected)
	l.counts(resolved, wantResolved)
}
