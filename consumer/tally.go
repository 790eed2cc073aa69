package consumer

import (
	"time"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

// tally is what a draft adds to the worker's counters once it is stored.
type tally struct {
	submitted, started, failed, retried, duplicates int
	succeeded, cancelled                            int
	rejected                                        map[operation.Reason]int
	winners                                         map[operation.Priority]int
	conflicts                                       int
	saves, protections                              int
	resolution, execution                           []time.Duration
	waits                                           []time.Duration // from receipt to the end
	now                                             time.Time
}

func newTally(now time.Time) tally {
	return tally{rejected: map[operation.Reason]int{}, winners: map[operation.Priority]int{}, now: now}
}

func (t *tally) ended(status operation.Status, reason operation.Reason, r *operation.Record) {
	switch status {
	case operation.Succeeded:
		t.succeeded++
	case operation.Rejected:
		t.rejected[reason]++
	case operation.Cancelled:
		t.cancelled++
	case operation.Pending, operation.Executing, operation.Failed:
	}
	t.waits = append(t.waits, t.now.Sub(r.ReceivedAt))
}

func (t *tally) executed(took time.Duration) { t.execution = append(t.execution, took) }

func (t *tally) resolved(d operation.Decision, took time.Duration, held resolver.Counters) {
	if d.Conflict() {
		t.conflicts++
		t.resolution = append(t.resolution, took)
	}
	if d.First().Verdict == operation.Wins {
		t.winners[d.First().Priority]++
	}
	t.saves += held.GracePeriodSaves
	t.protections += held.ExecutingProtections
}
