package consumer

import (
	"container/heap"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// lane is what an entity is held by and what waits for it. A lane is a value:
// planning makes new ones, and they replace the old ones when the commit is stored.
// The records in it are not changed in place.
type lane struct {
	holder  *operation.Record
	next    *operation.Record
	carried []*operation.Record
}

func (l lane) empty() bool { return l.holder == nil && l.next == nil && len(l.carried) == 0 }

// idle reports whether something waits in the lane that nobody holds up.
func (l lane) idle() bool { return l.holder == nil && !l.empty() }

// waiting lists what contends again with each window.
func (l lane) waiting() []*operation.Record {
	if l.next == nil {
		return l.carried
	}
	return append([]*operation.Record{l.next}, l.carried...)
}

// records lists every operation of the lane.
func (l lane) records() []*operation.Record {
	if l.holder == nil {
		return l.waiting()
	}
	return append([]*operation.Record{l.holder}, l.waiting()...)
}

// due returns when the lane wants attention by itself: the holder's next attempt,
// or the end of a grace period that the next is waiting for. An executing holder
// has no due time, nor has one that waits until it may run alone.
func (l lane) due(grace time.Duration) (time.Time, bool) {
	if l.holder == nil || l.holder.Status != operation.Pending {
		return time.Time{}, false
	}
	at, ok := l.holder.Due, !l.queues()
	if l.displaceable() {
		if end := l.holder.AttemptAt.Add(grace); !ok || end.Before(at) {
			at, ok = end, true
		}
	}
	return at, ok
}

// queues reports whether the holder's delay is over and it waits for its turn to
// run alone.
func (l lane) queues() bool {
	return l.holder != nil && l.holder.Status == operation.Pending && l.holder.Careful && l.holder.Due.IsZero()
}

// displaceable reports whether the next outranks a holder between two attempts.
func (l lane) displaceable() bool {
	return l.holder != nil && l.next != nil && l.holder.Status == operation.Pending &&
		l.next.EffectivePriority > l.holder.EffectivePriority
}

// alarm says that a lane may be due.
type alarm struct {
	at     time.Time
	entity uuid.UUID
}

// alarms is a heap of alarms, the earliest first. Entries may be out of date: the
// lane itself knows.
type alarms []alarm //nolint:recvcheck // heap.Interface wants both

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push implements [heap.Interface].
func (a *alarms) Push(x any) { *a = append(*a, x.(alarm)) }

// Pop implements [heap.Interface].
func (a *alarms) Pop() any {
	old := *a
	last := old[len(old)-1]
	*a = old[:len(old)-1]
	return last
}

func (a *alarms) add(at time.Time, entity uuid.UUID) { heap.Push(a, alarm{at: at, entity: entity}) }

// take removes and returns the entities whose alarm has gone off by now.
func (a *alarms) take(now time.Time) []uuid.UUID {
	var out []uuid.UUID
	for len(*a) > 0 && !(*a)[0].at.After(now) {
		out = append(out, heap.Pop(a).(alarm).entity)
	}
	return out
}

// by returns the entities whose alarm goes off by now, without taking them. In a heap
// whatever is above an alarm goes off before it, so that those still to come are not
// looked at, however many wait.
func (a alarms) by(now time.Time) iter.Seq[uuid.UUID] {
	return func(yield func(uuid.UUID) bool) {
		for next := []int{0}; len(next) > 0; next = next[1:] {
			i := next[0]
			if i >= len(a) || a[i].at.After(now) {
				continue
			}
			if !yield(a[i].entity) {
				return
			}
			next = append(next, 2*i+1, 2*i+2)
		}
	}
}
