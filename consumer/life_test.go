package consumer

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// life follows an operation through its events.
type life struct {
	w       *world
	ended   told           // the event that ended it
	last    operation.Kind // of its events
	attempt int            // begun so far
	open    bool           // the latest attempt is under way
	retries int
	due     time.Time
	status  operation.Status // once it is terminal
	reason  operation.Reason
	settled operation.Status // as the window records have it
	asked   bool             // somebody submitted it
	rest    bool             // it lies beyond the cursor
}

func (l *life) event(e told) {
	legal := l.status == ""
	switch e.kind {
	case operation.StartedEvent:
		legal = legal && !l.open && e.detail.Attempt == l.attempt+1 && !e.Time.Before(l.due)
		l.attempt, l.open = e.detail.Attempt, true
	case operation.FailedEvent:
		legal = legal && l.open && e.detail.Attempt == l.attempt && e.detail.RetryCount == l.retries
		l.open = false
	case operation.RetryEvent:
		legal = legal && l.retry(e)
	case operation.CompletedEvent:
		legal = legal && l.open && e.detail.Attempt == l.attempt
		l.open, l.status = false, operation.Succeeded
	case operation.RejectedEvent:
		// A permanent failure and a poisoned operation end while they execute.
		legal = legal && (!l.open || e.detail.Reason != operation.LostConflict && e.detail.Reason != operation.Preempted)
		l.open, l.status, l.reason = false, operation.Rejected, e.detail.Reason
	case operation.CancelledEvent:
		legal = legal && !l.open
		l.status = operation.Cancelled
	case operation.CancelRefusedEvent, operation.ConflictEvent:
	}
	if !legal {
		l.w.t.Errorf("%s: %s (attempt %d) at %v after %s (attempt %d, due %v, ended %q)", l.w.name(e.detail.OpID),
			e.kind, e.detail.Attempt, e.Time.Sub(l.w.zero), l.last, l.attempt, l.due.Sub(l.w.zero), l.status)
	}
	l.last = e.kind
	if _, terminal := e.kind.Outcome(); terminal {
		l.ended = e
	}
}

func (l *life) retry(e told) bool {
	legal := l.last == operation.FailedEvent && e.detail.RetryCount == l.retries+1
	if e.detail.Reason == operation.Recovered {
		legal = l.open && e.detail.RetryCount == l.retries && e.detail.BackoffMS == 0
	}
	l.open, l.retries, l.due = false, e.detail.RetryCount, e.detail.Due
	return legal
}

// checkSent finds out what must have become of every message that was published.
func (s *stock) checkSent() {
	first := map[key]string{} // the digest of each operation
	taken := map[uint64]operation.Taken{}
	for _, windows := range s.windows {
		for _, record := range windows {
			s.takeStock(&record, taken)
		}
	}
	for _, m := range s.w.sent {
		tokens := strings.Split(m.subject, ".")
		p := subjects.PartitionOf(tokens[3], m.partitions)
		it := item{raw: m.body, sub: subjects.Submission{Partition: p, Class: tokens[2], Target: tokens[3]}}
		it.decode(s.w.cfg.custom)
		t, was := taken[m.sequence]
		if was != (m.sequence <= s.fences[p].Cursor) {
			s.w.t.Errorf("message %d: taken %v, though the cursor is at %d", m.sequence, was, s.fences[p].Cursor)
		}
		delete(taken, m.sequence)
		s.checkFate(m, &it, first, t, was)
	}
	for sequence := range taken {
		s.w.t.Errorf("message %d was taken and never published", sequence)
	}
	for sequence, reason := range s.dead {
		s.w.t.Errorf("message %d is dead (%s) for no reason or twice", sequence, reason)
	}
}

func (s *stock) takeStock(record *operation.Window, taken map[uint64]operation.Taken) {
	at := record.After
	for _, t := range record.Taken {
		if t.Sequence <= at || t.Sequence > record.Cursor {
			s.w.t.Errorf("window %s (%d to %d) takes message %d after %d", record.ID, record.After, record.Cursor, t.Sequence, at)
		}
		at = t.Sequence
		taken[t.Sequence] = t
		if t.Fate.Counted() {
			s.settle(record.Partition, t.OpID, t.Status)
		}
	}
	for _, done := range record.Settled {
		s.settle(record.Partition, done.OpID, done.Status)
	}
}

func (s *stock) settle(partition int, op uuid.UUID, status operation.Status) {
	k := key{partition, op}
	if s.lives[k] == nil {
		s.lives[k] = &life{w: s.w}
	}
	if s.lives[k].settled.Terminal() {
		s.w.t.Errorf("%s settled as %s after %s", s.w.name(op), status, s.lives[k].settled)
	}
	s.lives[k].settled = status
}

// origin returns the key of the operation that a message asks for: that of its first
// message, wherever its entity belonged then.
func (s *stock) origin(it *item) key {
	k := key{it.sub.Partition, it.id()}
	about := it.sub.Target + " " + k.op.String()
	if before, again := s.origins[about]; again {
		return before
	}
	s.origins[about] = k
	return k
}

// checkFate checks one message: what it is decides what was to be done with it.
func (s *stock) checkFate(m sent, it *item, first map[key]string, t operation.Taken, taken bool) {
	k := s.origin(it)
	digest, again := first[k]
	want := operation.Contended
	switch {
	case it.cancel != nil:
		want = operation.Cancelling
		if n := s.answers[it.cancel.ID]; taken && n != 1 {
			s.w.t.Errorf("cancellation %s was answered %d times", it.cancel.ID, n)
		}
	case k.op == uuid.Nil, !subjects.Token(it.sub.Target), again && digest != it.digest:
		want = operation.DeadLetter
		if _, dead := s.dead[m.sequence]; dead != taken {
			s.w.t.Errorf("message %d: dead %v, want %v", m.sequence, dead, taken)
		}
		delete(s.dead, m.sequence)
	case again:
		want = operation.Duplicate
	default:
		first[k] = it.digest
		if s.lives[k] == nil {
			s.lives[k] = &life{w: s.w}
		}
		l := s.lives[k]
		l.asked, l.rest = true, !taken
		if it.invalid != nil {
			want = operation.Refused
			if taken && l.reason != operation.Invalid {
				s.w.t.Errorf("message %d ended as %s (%s), want %s", m.sequence, l.status, l.reason, operation.Invalid)
			}
		}
	}
	ok := t.Fate == want || want == operation.Contended && t.Fate.Counted()
	if taken && !ok {
		s.w.t.Errorf("message %d: %s, want %s", m.sequence, t.Fate, want)
	}
}

// checkLife checks that an operation has ended or lives, and what is stored of it.
func (s *stock) checkLife(k key, l *life) {
	name := s.w.name(k.op)
	r, recorded := s.records[k]
	status := l.status
	switch {
	case status == "" && l.open:
		status = operation.Executing
	case status == "":
		status = operation.Pending
	}
	switch {
	case !l.asked:
		s.w.t.Errorf("%s: nobody submitted it", name)
	case l.rest:
		if l.last != "" || recorded {
			s.w.t.Errorf("%s: %s, though it lies beyond the cursor", name, l.last)
		}
		return
	case !recorded && l.status == "":
		s.w.t.Errorf("%s: lost after %s", name, l.last)
	case recorded && (r.Status != status || r.Attempt != l.attempt || r.Retries != l.retries):
		if !r.Status.Terminal() || r.Status != status {
			s.w.t.Errorf("%s: record says %s, attempt %d, retries %d; events say %s, %d, %d",
				name, r.Status, r.Attempt, r.Retries, status, l.attempt, l.retries)
		}
	}
	if l.settled != status && (l.settled.Terminal() || status.Terminal()) {
		s.w.t.Errorf("%s: window records say %q, events %q", name, l.settled, status)
	}
}

// checkCounts compares the fences' running totals with what was found.
func (s *stock) checkCounts() {
	want := map[int]operation.Counts{}
	var versions uint64
	for p, fence := range s.fences {
		want[p] = operation.Counts{Versions: fence.Counts.Versions}
		versions += fence.Counts.Versions
	}
	for k, l := range s.lives {
		if l.rest {
			continue
		}
		c := want[k.partition]
		c.Submitted++
		switch l.status {
		case operation.Succeeded:
			c.Succeeded++
		case operation.Rejected:
			c.Rejected++
		case operation.Cancelled:
			c.Cancelled++
		case "", operation.Pending, operation.Executing, operation.Failed:
			c.Live++
		}
		want[k.partition] = c
	}
	for p, windows := range s.windows {
		c := want[p]
		for _, record := range windows {
			for _, t := range record.Taken {
				if t.Fate == operation.DeadLetter {
					c.Submitted++
					c.DeadLettered++
				}
			}
		}
		want[p] = c
	}
	for p, fence := range s.fences {
		if fence.Counts != want[p] {
			s.w.t.Errorf("fence %d counts %+v, want %+v", p, fence.Counts, want[p])
		}
	}
	if versions != s.made {
		s.w.t.Errorf("the fences count %d versions, stored are %d", versions, s.made)
	}
}
