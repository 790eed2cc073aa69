//go:build integration

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

// b5Entities is how many entities the fifty operations of B5 are for.
const b5Entities = 5

func (l *lab) b5() {
	release := l.held()
	var busy []*operation.Operation
	for i := range b5Entities {
		name := fmt.Sprintf("b5-%d", i)
		l.made(name)
		busy = append(busy, l.send(slowly(name, operation.Low))...)
		l.awaits(busy[i], operation.StartedEvent, 1)
	}
	random := rand.New(rand.NewPCG(5, 5))
	requests := make([]client.Request, 50)
	for i := range requests {
		requests[i] = modify(fmt.Sprintf("b5-%d", random.IntN(b5Entities)), operation.Priorities()[random.IntN(4)])
	}
	ops := l.send(requests...)
	await(l.t, "one to wait on each entity", func(context.Context) bool {
		return len(l.all(func(e seen) bool { return e.Reason == operation.LostConflict && slices.ContainsFunc(ops, is(e)) })) == len(ops)-b5Entities
	})
	close(release)
	for _, first := range busy {
		l.wants([]*operation.Operation{first}, succeeded)
		mine := slices.DeleteFunc(slices.Clone(ops), func(op *operation.Operation) bool { return op.Target != first.Target })
		best := slices.MaxFunc(mine, func(a, b *operation.Operation) int { return int(a.Priority - b.Priority) })
		want := slices.Repeat([]string{lost}, len(mine))
		want[slices.Index(mine, best)] = succeeded
		l.wants(mine, want...)
		l.follows(first, best)
	}
	l.resolvedFast(busy)
}

// is matches the operation of an event.
func is(e seen) func(*operation.Operation) bool {
	return func(op *operation.Operation) bool { return op.ID == e.OpID }
}

// resolvedFast checks how long the resolution of the conflicts took together.
func (l *lab) resolvedFast(busy []*operation.Operation) {
	l.t.Helper()
	var sum float64
	for _, op := range busy {
		for _, c := range l.conflicts(op.Target) {
			sum += c.ResolutionMS
		}
	}
	l.say("resolving 50 operations over %d entities took %.3f ms", b5Entities, sum)
	if sum <= 0 || sum >= 1 {
		l.t.Errorf("resolving took %g ms, want less than 1", sum)
	}
}

// mixed are the six types of the mix, as a request each.
func mixed(target, source string) []client.Request {
	return []client.Request{
		{Type: operation.VersionEntity, Target: target},
		modify(target, operation.Normal),
		{Type: operation.BorrowAttribute, Target: target, Source: source, Params: map[string]any{
			"source_field": "counter", "target_field": "borrowed", "create": true,
		}},
		{Type: operation.ComplexUpdate, Target: target, Params: map[string]any{"add": map[string]any{"counter": 1}}},
		{Type: operation.PromoteToRoot, Target: target},
		{Type: operation.DetachEntity, Target: target},
	}
}

// d5 runs the mix on three roots, whose operations of one round meet in one window
// and do not contend.
func (l *lab) d5() {
	names := []string{"d5-a", "d5-b", "d5-c"}
	l.made(names...)
	random := rand.New(rand.NewPCG(5, 1))
	want := map[string]int{"d5-a": 1, "d5-b": 1, "d5-c": 1}
	for range 12 {
		var round []client.Request
		for _, name := range names {
			r := mixed(name, "b1")[random.IntN(6)]
			if r.Type == operation.VersionEntity || r.Type == operation.ComplexUpdate {
				want[name]++
			}
			round = append(round, r)
		}
		l.wants(l.send(round...), succeeded, succeeded, succeeded)
	}
	for name, n := range want {
		l.versions(name, n)
	}
}

// versions checks the lineage of an entity: so many versions, without a gap.
func (l *lab) versions(name string, want int) {
	l.t.Helper()
	var numbers []uint64
	for v, err := range l.client.History(l.t.Context(), name) {
		if err != nil {
			l.t.Fatal(err)
		}
		numbers = append(numbers, v.Number)
	}
	for i, n := range numbers {
		if n != uint64(i)+1 {
			l.t.Errorf("%s: version %d has number %d", name, i+1, n)
		}
	}
	if len(numbers) != want {
		l.t.Errorf("%s has %d versions, want %d", name, len(numbers), want)
	}
}

func (l *lab) d6() {
	l.made("d6")
	for _, i := range []int{1, 2, 1, 2} { // modify, borrow
		l.succeeds(mixed("d6", "b1")[i])
	}
	l.versions("d6", 1)
	for range 2 {
		l.succeeds(mixed("d6", "b1")[3])
	}
	l.versions("d6", 3)
	head, err := l.client.Get(l.t.Context(), "d6")
	if err != nil {
		l.t.Fatal(err)
	}
	if got := fmt.Sprint(head.Components["counter"]); got != "2" {
		l.t.Errorf("the counter is %s, want 2", got)
	}
}

func TestX1_ManyOperationsOnThreeTargets(t *testing.T) {
	s := build(t, plan{brokers: 1, workers: 1})
	got := s.stress("--rate", "0", "--targets", "3", "--batch", "100", "--count", "30000", "--for", "4m").report()
	if got.FailedAttempts != 0 || got.Submitted != 30000 {
		t.Errorf("%d attempts failed of %d operations", got.FailedAttempts, got.Submitted)
	}
	s.audited()
}
