package main

import (
	"bytes"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// book follows each operation of a run from its submission to its terminal event.
// Everything it counts it takes from events. It is the one place where the publisher
// and the follower meet, so its methods may be called from any goroutine.
type book struct {
	mu      sync.Mutex // guards all below
	series  series
	entries []entry // by the operation's number
	bookCounts
}

// entry is what the book knows of one operation.
type entry struct {
	submitted time.Time
	ended     bool
	refused   bool   // by the broker: it was never stored
	led       uint16 // conflicts that it came out of as the first
}

// bookCounts are what the book counts from some moment on.
type bookCounts struct {
	submitted, refused, ended   int
	completed, cancelled        int
	rejected                    map[operation.Reason]int
	failed, retries             int
	events, others              int // others: about operations that are not of this run
	conflicts, resolved, losers int
	winners                     map[operation.Priority]int
	first, last                 time.Time // submission, terminal event
	latency, resolution         histogram
	targets                     map[string]targetCounts
	problems                    []string // what an event stream must never show
}

// targetCounts are the successes of one target that leave something to be counted in
// the store.
type targetCounts struct {
	versions uint64 // version_entity, complex_update, create_entity
	updates  int    // complex_update
}

func newBook(s series) *book {
	b := &book{series: s}
	b.reset()
	return b
}

// reset forgets the counts, except those of the targets, but no operation.
func (b *book) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	targets := b.targets
	b.bookCounts = bookCounts{
		rejected: map[operation.Reason]int{}, winners: map[operation.Priority]int{}, targets: map[string]targetCounts{},
	}
	maps.Copy(b.targets, targets)
}

// submit notes that the next operation of the series is about to be published.
func (b *book) submit(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.submitted == 0 {
		b.first = now
	}
	b.submitted++
	b.entries = append(b.entries, entry{submitted: now})
}

// refuse notes that the broker has refused to store an operation.
func (b *book) refuse(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := &b.entries[n]; !e.refused && !e.ended {
		e.refused = true
		b.refused++
	}
}

// over reports whether an operation has ended.
func (b *book) over(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[n].ended
}

// open returns how many operations have neither ended nor been refused.
func (b *book) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.submitted - b.refused - b.ended
}

// counts returns the counts so far. Histograms and maps are as they are at the time.
func (b *book) counts() bookCounts {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.bookCounts
	out.rejected, out.winners, out.targets = maps.Clone(b.rejected), maps.Clone(b.winners), maps.Clone(b.targets)
	return out
}

// problem notes what no event stream may show; a few of them say enough.
func (b *book) problem(text string) {
	if len(b.problems) < maxProblems {
		b.problems = append(b.problems, text)
	}
}

const maxProblems = 10

// event enters an event that was stored, and reports whether it ended an operation of
// the run.
func (b *book) event(kind operation.Kind, target string, body []byte, now time.Time) bool {
	data := eventData(body)
	n, ours := b.number(data)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events++
	if !ours || n >= len(b.entries) {
		b.others++
		return false
	}
	switch kind {
	case operation.FailedEvent:
		b.failed++
	case operation.RetryEvent:
		b.retries++
	case operation.ConflictEvent:
		b.conflict(&b.entries[n], data)
	case operation.CompletedEvent, operation.RejectedEvent, operation.CancelledEvent:
		return b.end(&b.entries[n], kind, target, data, now)
	case operation.StartedEvent, operation.CancelRefusedEvent:
	}
	return false
}

// number returns which operation an event is about.
func (b *book) number(data []byte) (int, bool) {
	id, err := uuid.ParseBytes(textOf(data, `"op_id":"`))
	if err != nil {
		return 0, false
	}
	return b.series.number(id)
}

// end enters a terminal event.
func (b *book) end(e *entry, kind operation.Kind, target string, data []byte, now time.Time) bool {
	if e.ended || e.refused {
		b.problem("operation " + string(textOf(data, `"op_id":"`)) + " ended twice, or was refused and ended")
		return false
	}
	e.ended = true
	b.ended++
	b.resolved += int(e.led)
	b.last = now
	b.latency.add(now.Sub(e.submitted))
	switch outcome, _ := kind.Outcome(); outcome {
	case operation.Succeeded:
		b.complete(target, operation.Type(textOf(data, `"op_type":"`)))
	case operation.Rejected:
		b.rejected[operation.Reason(textOf(data, `"reason":"`))]++
	case operation.Cancelled:
		b.cancelled++
	case operation.Pending, operation.Executing, operation.Failed: // end no life
	}
	return true
}

func (b *book) complete(target string, t operation.Type) {
	b.completed++
	counts := b.targets[target]
	switch t {
	case operation.ComplexUpdate:
		counts.updates++
		counts.versions++
	case operation.VersionEntity, operation.CreateEntity:
		counts.versions++
	default:
		return
	}
	b.targets[target] = counts
}

// conflict enters a conflict, whose data begins with what is said of the first
// contender.
func (b *book) conflict(e *entry, data []byte) {
	b.conflicts++
	firsts := bytes.Count(data, []byte(`"verdict":"wins"`)) + bytes.Count(data, []byte(`"verdict":"waits"`))
	if firsts != 1 {
		b.problem("a conflict over " + string(textOf(data, `"target_entity_id":"`)) + " let " + strconv.Itoa(firsts) + " contenders through")
		return
	}
	b.losers += bytes.Count(data, []byte(`"verdict":"loses"`))
	if e.ended {
		b.resolved++
	} else {
		e.led++
	}
	if p, err := operation.ParsePriority(string(textOf(data, `"effective_priority":"`))); err == nil {
		b.winners[p]++
	}
	if ms, err := strconv.ParseFloat(string(numberOf(data, `"resolution_ms":`)), 64); err == nil {
		b.resolution.add(time.Duration(ms * float64(time.Millisecond)))
	}
}

// The follower shares the machine's cores with what it measures, and conflicts have
// hundreds of contenders, so that events are not decoded but searched. That is sound
// because the data of every event begins with the fields of [operation.Detail], and
// because a quote inside of a JSON string is escaped.

// eventData returns an event from its data on.
func eventData(body []byte) []byte {
	if i := bytes.Index(body, []byte(`"data":`)); i >= 0 {
		return body[i:]
	}
	return nil
}

// textOf returns the string after the first occurrence of a key.
func textOf(data []byte, key string) []byte {
	i := bytes.Index(data, []byte(key))
	if i < 0 {
		return nil
	}
	text, _, _ := bytes.Cut(data[i+len(key):], []byte(`"`))
	return text
}

// numberOf returns the number after the last occurrence of a key.
func numberOf(data []byte, key string) []byte {
	i := bytes.LastIndex(data, []byte(key))
	if i < 0 {
		return nil
	}
	rest := data[i+len(key):]
	if end := bytes.IndexAny(rest, ",}"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}
