package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

const watchLong = `Watch shows events as they are committed, one a line, until it is interrupted.
Nothing is shown that is not stored, and after a broken connection it goes on where
it was.

Columns: time, kind, entity, operation type, priority (and the effective one where
the operation inherits a higher one), what happened, the tail of the op_id.`

const watchExample = `  hierarchy watch
  hierarchy watch --entity valve-7 --since 10m
  hierarchy watch --kind rejected --kind conflict
  hierarchy watch --op 0197c9a2-5d0e-7c1f-8a53-0b7f2f8f5c11 --since all --count 2
  hierarchy watch --json | jq 'select(.data.reason == "lost_conflict")'`

func newWatch(a *app) *cobra.Command {
	var entity, op, since string
	var kinds []string
	var count int
	cmd := &cobra.Command{
		Use: "watch", Short: "Show events as they happen",
		Long: watchLong, Example: watchExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := newFilter(entity, op, since, kinds)
			if err != nil {
				return usage(cmd, err)
			}
			return a.watch(cmd.Context(), filter, count)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&entity, "entity", "", "only events about this entity")
	flags.StringVar(&op, "op", "", "only events about this operation")
	flags.StringSliceVar(&kinds, "kind", nil, "only events of this kind; may be repeated: "+kindList())
	flags.StringVar(&since, "since", "", "begin in the past: a duration like 10m, an RFC 3339 time, or all")
	flags.IntVar(&count, "count", 0, "end after this many events (default never)")
	return cmd
}

func kindList() string {
	names := make([]string, 0, len(operation.Kinds()))
	for _, kind := range operation.Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

func newFilter(entity, op, since string, kinds []string) (client.Filter, error) {
	filter := client.Filter{Entity: entity}
	for _, name := range kinds {
		if !slices.Contains(operation.Kinds(), operation.Kind(name)) {
			return filter, fmt.Errorf("--kind %s is unknown: want %s", name, kindList())
		}
		filter.Kinds = append(filter.Kinds, operation.Kind(name))
	}
	if op != "" {
		filter.OpID = client.OperationID(op)
	}
	var err error
	filter.Since, err = parseSince(since)
	return filter, err
}

// parseSince reads a point in the past.
func parseSince(text string) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "all":
		return time.Unix(0, 0), nil
	}
	if age, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("--since %q is no duration (10m), no time (2026-01-02T15:04:05Z) and not all", text)
	}
	return at, nil
}

func (a *app) watch(ctx context.Context, filter client.Filter, count int) error {
	l, err := a.connect("watch")
	if err != nil {
		return err
	}
	defer l.Close()
	return a.showEvents(ctx, l.client, filter, count)
}

// showEvents writes events until it has written count, 0 for any number, or ctx is
// done, which is no error, or the connection is closed. An event that cannot be read
// is complained of and passed over.
func (a *app) showEvents(ctx context.Context, c *client.Client, filter client.Filter, count int) error {
	coloured := a.colours()
	var failed error
	for event, err := range c.Watch(ctx, filter) {
		if failed != nil {
			fmt.Fprintln(a.err, "hierarchy:", failed)
		}
		if failed = err; err != nil {
			continue
		}
		if a.global.json {
			err = a.writeJSON(event)
		} else {
			_, err = fmt.Fprintln(a.out, eventLine(&event, coloured))
		}
		if err != nil {
			return fmt.Errorf("writing events: %w", err)
		}
		if count--; count == 0 {
			return nil
		}
	}
	return failed
}
