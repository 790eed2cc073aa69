package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// liveView is what status shows of the operations that have not ended: whether one
// waits without end while others are preferred.
type liveView struct {
	Waiting   int `json:"waiting"` // decided to wait, not counting those that are pending
	Executing int `json:"executing"`

	LongestWait float64   `json:"longest_wait_s"`        // of all that wait or are pending
	Oldest      *waitView `json:"oldest,omitempty"`      // the one that waits longest; absent if that is pending
	MostLosses  *waitView `json:"most_losses,omitempty"` // the one that has lost most windows in a row; absent if none has
}

// waitView is an operation that waits.
type waitView struct {
	OpID       uuid.UUID          `json:"op_id"`
	Type       operation.Type     `json:"op_type"`
	Target     uuid.UUID          `json:"target_entity_id"`
	Name       string             `json:"target_name,omitempty"`
	Priority   operation.Priority `json:"priority"`
	Effective  operation.Priority `json:"effective_priority"`
	Role       operation.Role     `json:"role"`
	Losses     int                `json:"losses"`
	Attempt    int                `json:"attempt,omitempty"`
	ReceivedAt time.Time          `json:"received_at"`
	Wait       float64            `json:"wait_s"`
}

// live looks at what waits: the records, and what no window has taken yet.
func (l *link) live(ctx context.Context, partitions []partitionStatus) (liveView, error) {
	records := map[uuid.UUID]*operation.Record{} // one that changes meanwhile comes twice
	for _, p := range partitions {
		if p.Counts.Live == 0 {
			continue
		}
		for record, err := range l.client.Reader().Live(ctx, p.Partition) {
			if err != nil {
				return liveView{}, err
			}
			records[record.OpID] = record
		}
	}
	operation.UpdateCarried(slices.Collect(maps.Values(records)))
	view := survey(records, time.Now())
	for _, p := range partitions {
		if p.Pending == 0 {
			continue
		}
		received, err := l.client.Reader().Untaken(ctx, p.Partition, p.Cursor)
		if err != nil {
			return view, err
		}
		if wait := time.Since(received).Seconds(); !received.IsZero() && wait > view.LongestWait {
			view.LongestWait, view.Oldest = wait, nil
		}
	}
	for _, w := range []*waitView{view.Oldest, view.MostLosses} {
		if w == nil {
			continue
		}
		if head, err := l.client.Reader().Get(ctx, w.Target); err == nil {
			w.Name = head.Name
		}
	}
	return view, nil
}

// survey finds the records that tell of starvation.
func survey(records map[uuid.UUID]*operation.Record, now time.Time) (view liveView) {
	var oldest, loser *operation.Record
	for _, r := range records {
		if r.Status == operation.Executing {
			view.Executing++
			continue
		}
		view.Waiting++
		if oldest == nil || r.ReceivedAt.Before(oldest.ReceivedAt) {
			oldest = r
		}
		if r.Losses > 0 && (loser == nil || cmp.Or(loser.Losses-r.Losses, r.ReceivedAt.Compare(loser.ReceivedAt)) < 0) {
			loser = r
		}
	}
	view.Oldest, view.MostLosses = waits(oldest, now), waits(loser, now)
	if view.Oldest != nil {
		view.LongestWait = view.Oldest.Wait
	}
	return view
}

func waits(r *operation.Record, now time.Time) *waitView {
	if r == nil {
		return nil
	}
	return &waitView{
		OpID: r.OpID, Type: r.Operation.Type, Target: r.Operation.Target,
		Priority: r.Operation.Priority, Effective: r.EffectivePriority,
		Role: r.Role, Losses: r.Losses, Attempt: r.Attempt,
		ReceivedAt: r.ReceivedAt, Wait: max(now.Sub(r.ReceivedAt), 0).Seconds(),
	}
}

// showLive tells of what waits, if anything does.
func (a *app) showLive(v *liveView) {
	if v.Waiting+v.Executing > 0 {
		a.printf("%d waiting, %d executing", v.Waiting, v.Executing)
	}
	switch {
	case v.Oldest != nil:
		a.printf("longest wait: %s, %s", waited(v.LongestWait), v.Oldest)
	case v.LongestWait > 0:
		a.printf("longest wait: %s, an operation that no window has taken yet", waited(v.LongestWait))
	}
	if v.MostLosses != nil {
		a.printf("most losses in a row: %d, %s", v.MostLosses.Losses, v.MostLosses)
	}
}

func waited(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

func (w *waitView) String() string {
	return "operation " + w.OpID.String() + " (" + string(w.Type) + ", " + w.Effective.String() + ") on " +
		cmp.Or(w.Name, w.Target.String()) + ", " + roleText[w.Role]
}

var roleText = map[operation.Role]string{
	operation.HolderRole:  "which waits for its next attempt",
	operation.NextRole:    "the entity's next",
	operation.CarriedRole: "carried",
}
