package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
)

const explainLong = `Explain shows why a window decided as it did: per entity the contenders in the order
in which they ranked, and what put each behind the first. It reads the decision
record that was committed with the decision.

A window has the id that events carry, such as 3-17. With an operation it explains
every window in which that contended; --target names its entity and saves a search
through all events.`

const explainExample = `  hierarchy explain 3-17
  hierarchy explain 0197c9a2-5d0e-7c1f-8a53-0b7f2f8f5c11 --target valve-7`

func newExplain(a *app) *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use: "explain WINDOW|OP_ID", Short: "Show why a window decided as it did",
		Long: explainLong, Example: explainExample, Args: exactly("WINDOW or OP_ID"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args[0], target) },
	}
	cmd.Flags().StringVar(&target, "target", "", "entity of the operation")
	return cmd
}

func (a *app) explain(ctx context.Context, what, target string) error {
	l, err := a.connect("explain")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	if _, _, ok := parseWindow(what); ok {
		return a.explainWindow(ctx, l, what, nil)
	}
	op := client.OperationID(what)
	ids, err := l.windowsOf(ctx, op, target)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return &exit{code: exitNotFound, err: fmt.Errorf("operation %s: no event tells of it; it may be pending, or too long ago", what)}
	}
	about := func(d *operation.Decision) bool {
		return slices.ContainsFunc(d.Contenders, func(c operation.Contender) bool { return c.OpID == op })
	}
	shown := false
	for _, id := range ids {
		switch err := a.explainWindow(ctx, l, id, about); {
		case err == nil:
			shown = true
		case !errors.Is(err, ecsstore.ErrNotFound):
			return err
		}
	}
	if !shown {
		return &exit{code: exitNotFound, err: fmt.Errorf("operation %s contended in no window that is recorded; see how it ended with: hierarchy status", what)}
	}
	return nil
}

// parseWindow reads the id of a window, <partition>-<number>.
func parseWindow(text string) (partition int, number uint64, ok bool) {
	first, second, found := strings.Cut(text, "-")
	partition, err := strconv.Atoi(first)
	number, err2 := strconv.ParseUint(second, 10, 64)
	return partition, number, found && err == nil && err2 == nil
}

// windowsOf lists the windows in which an operation contended, in order.
func (l *link) windowsOf(ctx context.Context, op uuid.UUID, target string) ([]string, error) {
	filter := ecsstore.EventFilter{}
	if target != "" {
		filter.Entity = operation.EntityID(target)
	}
	var ids []string
	for stored, err := range l.client.Reader().Events(ctx, filter) {
		if err != nil {
			return nil, err
		}
		var detail operation.Detail
		if !client.Concerns(&stored.Body, op) || stored.Body.Decode(&detail) != nil || slices.Contains(ids, detail.Window) {
			continue
		}
		ids = append(ids, detail.Window)
	}
	return ids, nil
}

// explainWindow shows the decisions of a window that are wanted; nil wants all.
func (a *app) explainWindow(ctx context.Context, l *link, id string, wanted func(*operation.Decision) bool) error {
	partition, number, _ := parseWindow(id)
	record, err := l.client.Reader().Window(ctx, partition, number)
	if err != nil {
		return err
	}
	if wanted != nil {
		record.Decisions = slices.DeleteFunc(record.Decisions, func(d operation.Decision) bool { return !wanted(&d) })
		if len(record.Decisions) == 0 {
			return fmt.Errorf("window %s has no such decision: %w", id, ecsstore.ErrNotFound)
		}
	}
	if a.global.json {
		return a.writeJSON(record)
	}
	a.printf("window %s: %s to %s, closed by %s, %d operations taken, by %s (epoch %d)",
		record.ID, clock(record.Opened), clock(record.Closed), record.Cause, len(record.Taken), record.Owner, record.Epoch)
	for _, decision := range record.Decisions {
		text := strings.Replace(resolver.Explain(decision), decision.Entity.String(), l.label(ctx, decision.Entity), 1)
		a.printf("%s", strings.TrimRight(text, "\n"))
	}
	return nil
}

// label is how an entity is shown: by its id, and its name if it has one.
func (l *link) label(ctx context.Context, entity uuid.UUID) string {
	if head, err := l.client.Get(ctx, entity.String()); err == nil && head.Name != "" {
		return fmt.Sprintf("%s (%s)", head.Name, head.ID)
	}
	return entity.String()
}
