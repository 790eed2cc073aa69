package consumer

import (
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

// tally is what a draft adds to the worker's figures once it is stored.
type tally struct {
	now                 time.Time
	submitted           map[operation.Priority]int
	endings             []lifeEnd
	started, failed     int
	retried, duplicates int
	dead                int
	conflicts           int
	saves, protections  int
	resolution          []time.Duration // of each conflict
	execution           []time.Duration // of each success
}

// lifeEnd is one operation that ended.
type lifeEnd struct {
	label label
	took  time.Duration // since the broker received it
}

// label is what figures are told apart by. It never holds an id.
type label struct {
	status   operation.Status
	reason   operation.Reason
	priority operation.Priority
	opType   operation.Type
	kind     operation.Kind
}

func newTally(now time.Time) tally {
	return tally{now: now, submitted: map[operation.Priority]int{}}
}

func (t *tally) ended(status operation.Status, reason operation.Reason, r *operation.Record) {
	t.endings = append(t.endings, lifeEnd{
		label: label{status: status, reason: reason, priority: r.Operation.Priority, opType: r.Operation.Type},
		took:  t.now.Sub(r.ReceivedAt),
	})
}

// invalid counts an operation that was rejected unread.
func (t *tally) invalid(p operation.Priority, received time.Time) {
	t.endings = append(t.endings, lifeEnd{
		label: label{status: operation.Rejected, reason: operation.Invalid, priority: p}, took: t.now.Sub(received),
	})
}

func (t *tally) executed(took time.Duration) { t.execution = append(t.execution, took) }

func (t *tally) resolved(d operation.Decision, took time.Duration, held resolver.Counters) {
	if d.Conflict() {
		t.conflicts++
		t.resolution = append(t.resolution, took)
	}
	t.saves += held.GracePeriodSaves
	t.protections += held.ExecutingProtections
}
