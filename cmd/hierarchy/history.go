package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
)

const historyLong = `History shows what was done to an entity: each change of its head, oldest first, and
the versions between them. The head remembers its last 100 changes, and of older ones
those that made a version are known by it. Deleted entities keep their history.`

const historyExample = `  hierarchy history valve-7
  hierarchy history valve-7 --json | jq .op_type`

func newHistory(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "history ENTITY", Short: "Show what was done to an entity",
		Long: historyLong, Example: historyExample, Args: exactly("ENTITY"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.history(cmd.Context(), args[0]) },
	}
}

// step is one line of a history: a change of the head, and the version it made.
type step struct {
	ecsstore.Modification
	Version uint64 `json:"version,omitempty"`
	Note    string `json:"note,omitempty"`
}

func (a *app) history(ctx context.Context, entity string) error {
	l, err := a.connect("history")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	steps, err := historyOf(ctx, l.client, entity)
	if err != nil {
		return err
	}
	if a.global.json {
		for _, s := range steps {
			if err := a.writeJSON(s); err != nil {
				return err
			}
		}
		return nil
	}
	return a.showHistory(steps)
}

// historyOf puts together what the head and all versions remember.
func historyOf(ctx context.Context, c *client.Client, entity string) ([]step, error) {
	head, err := c.Get(ctx, entity)
	if err != nil {
		return nil, err
	}
	byRevision := map[uint64]step{}
	for version, err := range c.History(ctx, entity) {
		if err != nil {
			return nil, err
		}
		made := ecsstore.Modification{Revision: version.Head.Revision, OpID: version.OpID, Time: version.Time}
		byRevision[made.Revision] = step{Modification: made, Version: version.Number, Note: version.Note}
	}
	for _, m := range head.History {
		s := byRevision[m.Revision]
		s.Modification = m
		byRevision[m.Revision] = s
	}
	steps := make([]step, 0, len(byRevision))
	for _, s := range byRevision {
		steps = append(steps, s)
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.Revision, b.Revision) })
	return steps, nil
}

func (a *app) showHistory(steps []step) error {
	t := a.table()
	fmt.Fprintln(t, "TIME\tREVISION\tVERSION\tTYPE\tPRIORITY\tOPERATION\tNOTE")
	for _, s := range steps {
		version, priority := "-", "-"
		if s.Version > 0 {
			version = fmt.Sprint(s.Version)
		}
		if s.Priority > 0 {
			priority = s.Priority.String()
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", clock(s.Time), s.Revision, version, s.OpType, priority, s.OpID, s.Note)
	}
	return t.Flush()
}
