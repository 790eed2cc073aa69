package consumer

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// A transcript has a line for each event, with the time since the world was ready:
//
//	+10ms started valve-1 low#1 attempt 1
//	+10ms retry valve-1 low#1 1/3 in 100ms (target_not_found)
//	+~110ms started valve-1 low#1 attempt 2
//
// Delays before a retry are random; a transcript has the one they vary around, and
// marks the times that follow from it with a wave. How long a partition is without an
// owner when its worker goes away is not said anywhere: from then on times are rounded
// to seconds.

// golden compares the transcript of the world so far with testdata/<name>.golden.
func (w *world) golden(name string) {
	w.t.Helper()
	w.compare(name, strings.Join(w.told(), "\n")+"\n")
}

// told returns the transcript of the world so far.
func (w *world) told() []string {
	w.t.Helper()
	var lines []string
	c := clock{zero: w.zero, rough: w.rough}
	all := w.events()
	slices.SortStableFunc(all, func(a, b told) int { // no order is promised between partitions
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.detail.Partition, b.detail.Partition))
	})
	for _, e := range all {
		if e.Time.Before(w.zero) {
			continue
		}
		lines = append(lines, fmt.Sprintf("+%s %s %s%s", c.show(e.Time), e.kind, w.tell(e), w.say(e)))
		if e.kind == operation.RetryEvent && e.detail.BackoffMS > 0 {
			c.delay(e.Time, e.detail.Due, w.usual(e))
		}
	}
	return lines
}

// clock shows times. All that scenarios wait for is whole milliseconds, save for the
// delays before a retry: so the rest of a time tells from which delay it follows.
type clock struct {
	zero   time.Time
	rough  time.Time // from when times are rounded; zero: never
	delays []delayed
}

// delayed is the end of a random delay, and how long after zero it usually is.
type delayed struct {
	due   time.Time
	usual time.Duration
}

// origin returns what a time is whole milliseconds after.
func (c *clock) origin(at time.Time) (delayed, bool) {
	from := delayed{due: c.zero}
	if at.Sub(c.zero)%time.Millisecond == 0 {
		return from, false
	}
	for _, d := range c.delays {
		if !at.Before(d.due) && at.Sub(d.due)%time.Millisecond == 0 {
			from = d
		}
	}
	return from, true
}

func (c *clock) show(at time.Time) string {
	from, random := c.origin(at)
	since := from.usual + at.Sub(from.due)
	switch {
	case random:
		return "~" + since.String()
	case !c.rough.IsZero() && !at.Before(c.rough):
		return "about " + since.Round(time.Second).String()
	}
	return since.String()
}

// delay notes a delay that was announced at a time.
func (c *clock) delay(at, due time.Time, usual time.Duration) {
	from, _ := c.origin(at)
	c.delays = append(c.delays, delayed{due: due, usual: from.usual + at.Sub(from.due) + usual})
}

// compare compares text with testdata/<name>.golden.
func (w *world) compare(name, text string) {
	w.t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), text); diff != "" {
		w.t.Errorf("%s (- want, + got):\n%s", file, diff)
	}
}

// usual returns the delay that the one of a retry event varies around (rule R12).
func (w *world) usual(e told) time.Duration {
	return min(w.cfg.RetryBase<<(e.detail.RetryCount-1), w.cfg.RetryMax)
}

// tell tells an event in a line.
func (w *world) tell(e told) string {
	d := &e.detail
	entity := w.name(uuid.MustParse(e.Subject))
	who := entity + " " + w.name(d.OpID)
	if d.EffectivePriority != d.Priority {
		who += " as " + d.EffectivePriority.String()
	}
	switch e.kind {
	case operation.StartedEvent:
		return fmt.Sprintf("%s attempt %d", who, d.Attempt)
	case operation.CompletedEvent:
		return fmt.Sprintf("%s version %d revision %d", who, d.Version, d.Revision)
	case operation.FailedEvent:
		return fmt.Sprintf("%s attempt %d (%s)", who, d.Attempt, d.Reason)
	case operation.RetryEvent:
		delay := time.Duration(0)
		if d.BackoffMS > 0 {
			delay = w.usual(e)
		}
		return fmt.Sprintf("%s %d/%d in %s (%s)", who, d.RetryCount, d.MaxRetries, delay, d.Reason)
	case operation.RejectedEvent:
		if d.Winner != uuid.Nil {
			return fmt.Sprintf("%s %s to %s (%s)", who, d.Reason, w.name(d.Winner), d.Outranked)
		}
		return fmt.Sprintf("%s %s", who, d.Reason)
	case operation.CancelledEvent, operation.CancelRefusedEvent:
		return strings.TrimSpace(fmt.Sprintf("%s %s", who, d.Status))
	case operation.ConflictEvent:
		return entity + w.verdicts(d.Contenders)
	}
	return "?"
}

func (w *world) verdicts(contenders []operation.Contender) string {
	var out strings.Builder
	for i, c := range contenders {
		if i > 0 {
			out.WriteString(",")
		}
		fmt.Fprintf(&out, " %s %s", w.name(c.OpID), c.Verdict)
		if c.Losses > 0 {
			fmt.Fprintf(&out, " after %d losses", c.Losses)
		}
		if c.Separator != "" {
			fmt.Fprintf(&out, " by %s", c.Separator)
		}
	}
	return out.String()
}

// say tells what an event says in words, if transcripts are to have it.
func (w *world) say(e told) string {
	text := cmp.Or(e.detail.Error, e.detail.Message)
	for _, c := range e.detail.Changes {
		text += fmt.Sprintf(" %s %s %s", c.Action, c.Path, string(c.Value))
	}
	if text == "" || !w.words {
		return ""
	}
	for id, name := range w.names {
		text = strings.ReplaceAll(text, id.String(), name)
	}
	if over := len(text) - 150; over > 0 {
		text = fmt.Sprintf("%s... and %d bytes more", text[:150], over)
	}
	return ": " + strings.TrimSpace(text)
}
