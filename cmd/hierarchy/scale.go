package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

const scaleLong = `Scale-partitions changes the number of partitions while workers and publishers go on.

It closes the operations stream, waits until all that was accepted has ended, writes the
fences of all partitions anew in one commit, and opens the stream again. Publishers are
told meanwhile that nobody takes operations; the client package waits and publishes
again. Workers pick up the new number by themselves.

It refuses while it would not be safe, and says why. If what was accepted has not ended
after --timeout, everything is left as it was. A run that was killed leaves the stream
closed: run it again with the same number to finish, or with --abort to go back.`

const scaleExample = `  hierarchy scale-partitions 32 --dry-run
  hierarchy scale-partitions 32 --timeout 1m
  hierarchy scale-partitions --abort`

// scale is a run of the command.
type scale struct {
	a     *app
	to    int
	abort bool
	dry   bool
	bar   *progressbar.ProgressBar
}

func newScale(a *app) *cobra.Command {
	s := &scale{a: a}
	cmd := &cobra.Command{
		Use: "scale-partitions N | --abort", Short: "Change the number of partitions of a running system",
		Long: scaleLong, Example: scaleExample, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.parse(args); err != nil {
				return usage(cmd, err)
			}
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&s.abort, "abort", false, "undo a change that was begun and not finished")
	cmd.Flags().BoolVar(&s.dry, "dry-run", false, "show what it would do, and whether that would be refused")
	return cmd
}

func (s *scale) parse(args []string) (err error) {
	switch {
	case s.abort && len(args) > 0:
		return errors.New("a number and --abort exclude each other")
	case s.abort && s.dry:
		return errors.New("--dry-run and --abort exclude each other")
	case s.abort:
		return nil
	case len(args) == 0:
		return errors.New("the number of partitions is missing")
	case len(args) > 1:
		return fmt.Errorf("too many arguments: %q", args[1:])
	}
	if s.to, err = strconv.Atoi(args[0]); err != nil || s.to < 1 || s.to > ecsstore.MaxPartitions {
		return fmt.Errorf("%q is no number of partitions: want 1 to %d", args[0], ecsstore.MaxPartitions)
	}
	return nil
}

func (s *scale) run(ctx context.Context) error {
	l, err := s.a.connect("scale-partitions")
	if err != nil {
		return err
	}
	defer l.Close()
	z, err := ecsstore.NewResizing(ctx, l.js, l.space, ecsstore.Resize{
		To: s.to, Owner: "scale-" + uuid.NewString()[:8], Patience: s.a.global.timeout, Progress: s.progress,
	})
	if err != nil {
		return err
	}
	if s.abort {
		return s.undo(ctx, z)
	}
	survey, err := z.Survey(ctx)
	if err != nil {
		return err
	}
	if s.dry {
		return s.plan(&survey)
	}
	if !s.a.global.json {
		s.a.printf("%s", planned(&survey))
	}
	s.bar = s.a.bar("steps", 1) // how many they are is known once it runs
	done, err := z.Run(ctx)
	_ = s.bar.Finish()
	if err != nil {
		return err
	}
	return s.show(&done)
}

// progress shows how far the change has come.
func (s *scale) progress(p ecsstore.Progress) {
	switch verbose := s.a.global.verbose; {
	case verbose && s.a.global.json:
		_ = s.a.writeJSON(p) // what cannot be written shows in the result
	case verbose:
		s.a.printf("%d/%d %s", p.Done+1, p.Of, describe(p))
	default:
		s.bar.ChangeMax(p.Of)
		s.bar.Describe(describe(p))
		_ = s.bar.Set(p.Done)
	}
}

// describe says what a change is at.
func describe(p ecsstore.Progress) string {
	if p.Drain == (ecsstore.Drain{}) {
		return p.Step
	}
	return fmt.Sprintf("%s: %d pending, %d live", p.Step, p.Pending, p.Live)
}

// plan shows what would be done. It fails if that would be refused.
func (s *scale) plan(v *ecsstore.Survey) error {
	if s.a.global.json {
		if err := s.a.writeJSON(v); err != nil {
			return err
		}
	} else {
		s.a.printf("%s", planned(v))
		for _, why := range v.Unsafe {
			s.a.printf("  not safe now: %s", why)
		}
	}
	if len(v.Unsafe) > 0 {
		return &exit{code: exitError}
	}
	return nil
}

// planned says in a line what a change will do.
func planned(v *ecsstore.Survey) string {
	if v.From == v.To && !v.Resumed {
		return fmt.Sprintf("there are %d partitions already: nothing to do", v.To)
	}
	verb := "changing"
	if v.Resumed {
		verb = "taking up again the change of"
	}
	var names []string
	for _, m := range v.Workers {
		names = append(names, m.Name)
	}
	workers := "no workers"
	if len(names) > 0 {
		workers = "workers " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s the number of partitions from %d to %d, generation %d, %s; %d operations pending and %d live have to end first",
		verb, v.From, v.To, v.Generation, workers, v.Pending, v.Live)
}

// scaled is what --json writes at the end.
type scaled struct {
	ecsstore.Resized
	ClosedSeconds float64 `json:"closed_s"` // no operations were taken, as far as this run knows
}

func (s *scale) show(r *ecsstore.Resized) error {
	if s.a.global.json {
		return s.a.writeJSON(scaled{Resized: *r, ClosedSeconds: r.Closed.Seconds()})
	}
	if r.From == r.To {
		return nil // the plan has said so
	}
	closed := ""
	if r.Closed > 0 {
		closed = fmt.Sprintf("; operations were not taken for %v", r.Closed.Round(time.Millisecond))
	}
	s.a.printf("there are %d partitions now, generation %d%s", r.To, r.Generation, closed)
	return nil
}

func (s *scale) undo(ctx context.Context, z *ecsstore.Resizing) error {
	if err := z.Abort(ctx); err != nil {
		return err
	}
	from := z.Was().Partitions
	if s.a.global.json {
		return s.a.writeJSON(map[string]any{"aborted": true, "partitions": from})
	}
	s.a.printf("there are %d partitions as before, and operations are taken again", from)
	return nil
}
