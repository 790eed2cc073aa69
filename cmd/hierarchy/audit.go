package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/audit"
)

const auditLong = `Audit reads what the streams have recorded and proves that the system kept its
promises: every operation ended once, each window let the right one through, versions
have no gaps, events tell what is stored, nobody wrote who had lost its partition.

Each violation is named with its invariant, the messages that show it and the command
that reads the first of them. What retention has removed cannot be checked; the
report says so. Operations under way are none of its business until they end.

--since begins later: at a sequence of the store, at a time, or a duration ago.
--follow goes on checking what is stored from then on, until it is interrupted.
--per-replica also reads both streams through each node of the cluster, and names the
node that does not hold what the others do.

Where workers run with other settings than the defaults (--grace-period, --retry-base,
--retry-max, --max-clock-skew, --max-operation-age, --independent-children), audit has
to be given the same.`

const auditExample = `  hierarchy audit
  hierarchy audit --json | jq .violations
  hierarchy audit --since 10m
  hierarchy audit --per-replica
  hierarchy audit --follow --json`

func newAudit(a *app) *cobra.Command {
	var since string
	o := audit.Options{Rules: audit.DefaultRules()}
	cmd := &cobra.Command{
		Use: "audit", Short: "Prove from the recorded streams that every promise was kept",
		Long: auditLong, Example: auditExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Since, err = parseStart(since); err != nil {
				return usage(cmd, err)
			}
			if o.Follow && o.PerReplica {
				return usage(cmd, errors.New("--follow and --per-replica exclude each other"))
			}
			if o.Limit < 1 {
				return usage(cmd, fmt.Errorf("--limit is %d: want at least 1", o.Limit))
			}
			return a.audit(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "begin later: a sequence of the store, a duration like 10m, or an RFC 3339 time")
	flags.BoolVar(&o.Follow, "follow", false, "go on at the end, until it is interrupted")
	flags.BoolVar(&o.PerReplica, "per-replica", false, "compare what the nodes of the cluster hold")
	flags.IntVar(&o.Limit, "limit", 100, "violations after which it gives up")
	ruleFlags(flags, &o.Rules)
	return cmd
}

// ruleFlags adds the flags of workers on which it depends what is right.
func ruleFlags(flags *pflag.FlagSet, r *audit.Rules) {
	flags.DurationVar(&r.GracePeriod, "grace-period", r.GracePeriod, "of the workers")
	flags.DurationVar(&r.RetryBase, "retry-base", r.RetryBase, "of the workers")
	flags.DurationVar(&r.RetryMax, "retry-max", r.RetryMax, "of the workers")
	flags.DurationVar(&r.MaxClockSkew, "max-clock-skew", r.MaxClockSkew, "of the workers")
	flags.DurationVar(&r.MaxOperationAge, "max-operation-age", r.MaxOperationAge, "of the workers")
	flags.BoolVar(&r.IndependentChildren, "independent-children", r.IndependentChildren, "of the workers")
}

// parseStart reads where an audit begins.
func parseStart(text string) (audit.Start, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return audit.Start{Sequence: n}, nil
	}
	at, err := parseSince(text)
	if err != nil || text == "all" {
		return audit.Start{}, err
	}
	return audit.Start{Time: at}, nil
}

// auditReport is what --json writes.
type auditReport struct {
	OK bool `json:"ok"`
	audit.Report
}

// verdict says in a few words what was found.
func (r *auditReport) verdict() string {
	text := fmt.Sprintf("%d operations of %d messages in %.1f s: clean", r.Counts.Operations, r.Counts.Messages, r.Took.Seconds())
	if !r.OK {
		text = strings.Replace(text, "clean", fmt.Sprintf("%d violations", uint64(len(r.Violations))+r.Further), 1)
	}
	return text
}

// audit audits and reports. It fails if something is wrong.
func (a *app) audit(ctx context.Context, o audit.Options) error {
	l, err := a.connect("audit")
	if err != nil {
		return err
	}
	defer l.Close()
	o.JS, o.Space = l.js, l.space
	bar := a.bar("messages", 1) // how many they are is known once it reads
	o.Progress = func(done, total uint64) {
		bar.ChangeMax64(int64(total)) //nolint:gosec // messages of a stream
		_ = bar.Set64(int64(done))    //nolint:gosec // messages of a stream
	}
	if o.Follow && !a.global.json {
		o.Found = func(v audit.Violation) { a.showViolation(&v) }
	}
	report, err := audit.Run(ctx, o)
	_ = bar.Finish()
	if err != nil {
		return err
	}
	if a.global.json {
		err = a.writeJSON(auditReport{OK: report.Clean(), Report: report})
	} else {
		a.showAudit(&report, !o.Follow)
	}
	if err == nil && !report.Clean() {
		return &exit{code: exitError}
	}
	return err
}

func (a *app) showViolation(v *audit.Violation) {
	a.printf("%s", v)
	if len(v.Sequences) > 0 {
		a.printf("    nats stream get %s %d", v.Stream, v.Sequences[0])
	}
}

// showAudit shows a report to people, with its violations if they were not shown yet.
func (a *app) showAudit(r *audit.Report, violations bool) {
	c := &r.Counts
	w := a.table()
	line := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	line("read", "%d messages of %d commits, sequence %d to %d, in %.1f s", c.Messages, c.Commits, r.From, r.To, r.Took.Seconds())
	line("operations", "%d taken: %d succeeded, %d rejected, %d cancelled, %d live; %d dead letters, %d duplicates; %d to be taken",
		c.Operations, c.Succeeded, c.Rejected, c.Cancelled, c.Live, c.DeadLettered, c.Duplicates, c.Pending)
	line("decisions", "%d in %d windows of %d partitions, %d conflicts", c.Decisions, c.Windows, c.Partitions, c.Conflicts)
	line("attempts", "%d, %d retries, %d recovered, %d preempted", c.Attempts, c.Retries, c.Recovered, c.Preempted)
	line("entities", "%d, %d versions", c.Entities, c.Versions)
	for _, n := range r.Nodes {
		line("node "+n.Name, "%d messages of %s compared", n.Messages, n.Stream)
	}
	_ = w.Flush() // what cannot be written shows in the next line
	if len(r.Incomplete) > 0 {
		a.printf("incomplete:\n  %s", strings.Join(r.Incomplete, "\n  "))
	}
	if r.Clean() {
		a.printf("clean: every promise that can be checked was kept")
		return
	}
	if violations {
		for i := range r.Violations {
			a.showViolation(&r.Violations[i])
		}
	}
	a.printf("NOT CLEAN: %d violations", uint64(len(r.Violations))+r.Further)
}
