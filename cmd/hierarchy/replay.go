package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

const replayLong = `Replay decides recorded windows again, with the resolver of this build, and shows the
decisions that would be different now: what the record says (-) and what it would say
(+). Nothing is written. With a build that is newer than the workers' it shows what an
upgrade changes; with changed settings, what those would have changed.

A record holds the contenders of each entity with what they are ranked by, and the
entity's holder. So the settings that matter are the limits of on_loss carry, the grace
period of a holder between two attempts, and the clock skew that created_at may have.
The last needs the operations as they were published, which the operations stream
forgets two minutes after they are resolved: contenders that it has forgotten keep the
time they were ranked by, and the summary counts them. Which windows there are, and
which operations contend in them, stays as it was.

Without --grace-period and --max-clock-skew the record itself says what applied. The
limits are not recorded: give --max-carries and --max-carried if the workers' differ
from the defaults.

Exit code 0 says that all decisions would be the same, 1 that some would not.`

const replayExample = `  hierarchy replay
  hierarchy replay --since 1h --grace-period 500ms
  hierarchy replay 3-17 3-18 --max-carries 3
  hierarchy replay --json | jq -r 'select(.differ) | .differ'`

// settings are what a replay changes; nil is what the record says.
type settings struct {
	limits resolver.Limits
	grace  *time.Duration
	skew   *time.Duration
}

// replay is a run of the command.
type replay struct {
	a        *app
	l        *link
	settings settings
	progress *progressbar.ProgressBar
	sum      replaySummary
}

// replaySummary is the last thing that replay shows.
type replaySummary struct {
	Windows   int `json:"windows"`
	Decisions int `json:"decisions"`
	Conflicts int `json:"conflicts"`
	Differ    int `json:"differ"`
	Winners   int `json:"winners_differ"` // another contender would be first
	Forgotten int `json:"forgotten,omitempty"`

	From    string  `json:"from,omitempty"` // the first window
	To      string  `json:"to,omitempty"`   // the last one
	Seconds float64 `json:"seconds"`
}

// replayed is a decision that would be different, as --json writes it.
type replayed struct {
	Window   string             `json:"window"`
	Closed   time.Time          `json:"closed"`
	Entity   uuid.UUID          `json:"entity"`
	Recorded operation.Decision `json:"recorded"`
	Now      operation.Decision `json:"now"`
}

func newReplay(a *app) *cobra.Command {
	var since string
	var partitions []int
	var grace, skew time.Duration
	defaults := consumer.DefaultConfig()
	limits := defaults.Limits
	cmd := &cobra.Command{
		Use: "replay [WINDOW...]", Short: "Decide recorded windows again and show what would differ",
		Long: replayLong, Example: replayExample, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter := ecsstore.WindowFilter{Partitions: partitions}
			var err error
			if filter.Since, err = parseSince(since); err != nil {
				return usage(cmd, err)
			}
			if err := checkReplay(cmd.Flags(), args, limits, grace, skew); err != nil {
				return usage(cmd, err)
			}
			s := settings{limits: limits, grace: given(cmd.Flags(), "grace-period", grace), skew: given(cmd.Flags(), "max-clock-skew", skew)}
			return a.replay(cmd.Context(), s, args, filter)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "only windows closed since then: a duration like 10m, an RFC 3339 time, or all (default all)")
	flags.IntSliceVar(&partitions, "partition", nil, "only windows of this partition; may be repeated")
	flags.DurationVar(&grace, "grace-period", defaults.GracePeriod, "as of hierarchy run, instead of what the records say")
	flags.DurationVar(&skew, "max-clock-skew", defaults.MaxClockSkew, "as of hierarchy run, instead of what the records say")
	flags.IntVar(&limits.MaxCarries, "max-carries", limits.MaxCarries, "as of hierarchy run")
	flags.IntVar(&limits.MaxCarried, "max-carried", limits.MaxCarried, "as of hierarchy run")
	return cmd
}

// given returns the value of a flag if it was set.
func given(flags *pflag.FlagSet, name string, value time.Duration) *time.Duration {
	if !flags.Changed(name) {
		return nil
	}
	return &value
}

func checkReplay(flags *pflag.FlagSet, args []string, limits resolver.Limits, grace, skew time.Duration) error {
	for _, arg := range args {
		if _, _, ok := parseWindow(arg); !ok {
			return fmt.Errorf("%q is no window: want <partition>-<number>, as events have it", arg)
		}
	}
	switch {
	case len(args) > 0 && (flags.Changed("since") || flags.Changed("partition")):
		return errors.New("WINDOW and --since or --partition exclude each other")
	case grace < 0 || skew < 0 || limits.MaxCarries < 0 || limits.MaxCarried < 0:
		return errors.New("a setting is negative")
	}
	return nil
}

func (a *app) replay(ctx context.Context, s settings, windows []string, filter ecsstore.WindowFilter) error {
	l, err := a.connect("replay")
	if err != nil {
		return err
	}
	defer l.Close()
	r := &replay{a: a, l: l, settings: s, progress: a.bar("windows", len(windows))}
	began := time.Now()
	if len(windows) > 0 {
		err = r.some(ctx, windows)
	} else {
		err = r.all(ctx, filter)
	}
	_ = r.progress.Finish()
	if err != nil {
		return err
	}
	r.sum.Seconds = time.Since(began).Seconds()
	return r.finish()
}

func (r *replay) some(ctx context.Context, ids []string) error {
	for _, id := range ids {
		partition, number, _ := parseWindow(id)
		record, err := r.l.client.Reader().Window(ctx, partition, number)
		if err != nil {
			return err
		}
		if err := r.window(ctx, record); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) all(ctx context.Context, filter ecsstore.WindowFilter) error {
	for stored, err := range r.l.client.Reader().Windows(ctx, filter) {
		if err != nil {
			return err
		}
		r.progress.ChangeMax(r.sum.Windows + 1 + int(stored.Left)) //nolint:gosec // a count of messages
		if err := r.window(ctx, &stored.Record); err != nil {
			return err
		}
	}
	return nil
}

// window decides a window's contests again.
func (r *replay) window(ctx context.Context, w *operation.Window) error {
	defer r.progress.Add(1) //nolint:errcheck // nothing depends on the bar
	if r.sum.Windows++; r.sum.Windows == 1 {
		r.sum.From = w.ID
	}
	r.sum.To = w.ID
	for i := range w.Decisions {
		was := &w.Decisions[i]
		r.sum.Decisions++
		if was.Conflict() {
			r.sum.Conflicts++
		}
		contest := resolver.Recorded(*was)
		if err := r.change(ctx, &contest, w.Closed); err != nil {
			return err
		}
		now := resolver.Resolve(contest, r.settings.limits)
		if resolver.Same(*was, now) {
			continue
		}
		if err := r.differs(ctx, w, was, &now); err != nil {
			return err
		}
	}
	return nil
}

// change applies the settings to a contest that was decided when its window closed.
func (r *replay) change(ctx context.Context, c *resolver.Contest, closed time.Time) error {
	if h := c.Holder; h != nil && r.settings.grace != nil && h.Status == operation.Pending && !h.AttemptAt.IsZero() {
		h.Protected = closed.Before(h.AttemptAt.Add(*r.settings.grace))
	}
	if r.settings.skew == nil || len(c.Contenders) < 2 {
		return nil
	}
	for i := range c.Contenders {
		created, received, err := r.l.client.Reader().Published(ctx, c.Contenders[i].Sequence)
		switch {
		case errors.Is(err, ecsstore.ErrNotFound):
			r.sum.Forgotten++
		case err != nil:
			return err
		default:
			c.Contenders[i].CreatedAt = resolver.Clamp(created, received, *r.settings.skew)
		}
	}
	return nil
}

// differs shows a decision that would be different.
func (r *replay) differs(ctx context.Context, w *operation.Window, was, now *operation.Decision) error {
	r.sum.Differ++
	if was.First().OpID != now.First().OpID || was.First().Verdict != now.First().Verdict {
		r.sum.Winners++
	}
	if r.a.global.json {
		return r.a.writeJSON(replayed{Window: w.ID, Closed: w.Closed, Entity: was.Entity, Recorded: *was, Now: *now})
	}
	if r.sum.Differ > mostShown && !r.a.global.verbose {
		return nil
	}
	_ = r.progress.Clear()
	entity := r.l.label(ctx, was.Entity)
	r.a.printf("window %s, closed at %s, entity %s", w.ID, clock(w.Closed), entity)
	r.a.printf("%s", difference(resolver.Explain(*was), resolver.Explain(*now)))
	return nil
}

// difference shows two explanations of one contest, without their first lines, which
// are the same; what both say stands there once.
func difference(was, now string) string {
	old, renewed := strings.Split(was, "\n"), strings.Split(now, "\n")
	var b strings.Builder
	for _, side := range []struct {
		mark  string
		lines []string
		other []string
	}{{"- ", old, renewed}, {"+ ", renewed, old}} {
		for i, line := range side.lines[1:] {
			both := i+1 < len(side.other) && side.other[i+1] == line
			switch {
			case line == "", both && side.mark == "+ ":
			case both:
				fmt.Fprintf(&b, "  %s\n", line)
			default:
				fmt.Fprintf(&b, "%s%s\n", side.mark, line)
			}
		}
	}
	return b.String()
}

func (r *replay) finish() error {
	s := &r.sum
	if r.a.global.json {
		if err := r.a.writeJSON(s); err != nil {
			return err
		}
	} else {
		r.show()
	}
	if s.Differ > 0 {
		return &exit{code: exitError}
	}
	return nil
}

func (r *replay) show() {
	s := &r.sum
	if hidden := s.Differ - mostShown; hidden > 0 && !r.a.global.verbose {
		r.a.printf("and %d more; --verbose shows all\n", hidden)
	}
	if s.Forgotten > 0 {
		r.a.printf("%d contenders keep the creation time they were ranked by: the operations stream has forgotten them", s.Forgotten)
	}
	if s.Windows == 0 {
		r.a.printf("no windows are recorded there")
		return
	}
	r.a.printf("%d windows, %s to %s: %d decisions, %d conflicts; %d would differ, %d of them in the winner",
		s.Windows, s.From, s.To, s.Decisions, s.Conflicts, s.Differ, s.Winners)
}
