package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

const statusLong = `Status shows where the system stands: each partition with its owner, how far it has
come and what waits for it, the workers, how many operations ended how, and of those
that wait the one that has waited longest and the one that has lost most windows in a
row.

With an operation and its target it shows where that operation stands, and the events
about it as far as they are kept.`

const statusExample = `  hierarchy status
  hierarchy status 0197c9a2-5d0e-7c1f-8a53-0b7f2f8f5c11 --target valve-7
  hierarchy status --json | jq .totals`

func newStatus(a *app) *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use: "status [OP_ID --target ENTITY]", Short: "Show where the system or an operation stands",
		Long: statusLong, Example: statusExample, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usage(cmd, fmt.Errorf("too many arguments: %q", args[1:]))
			case len(args) == 1 && target == "":
				return usage(cmd, errors.New("--target is missing: the entity of the operation"))
			case len(args) == 1:
				return a.operationStatus(cmd.Context(), args[0], target)
			case target != "":
				return usage(cmd, errors.New("OP_ID is missing"))
			}
			return a.systemStatus(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&target, "target", "", "entity of the operation")
	return cmd
}

// partitionStatus is where a partition stands.
type partitionStatus struct {
	operation.Fence
	Pending uint64 `json:"pending"` // in the operations stream, beyond the cursor
}

// workerStatus is where a worker stands.
type workerStatus struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
	Answers    bool   `json:"answers"`
}

// systemView is what status shows.
type systemView struct {
	Generation uint64            `json:"generation"`       // how often the partitions were made anew
	Closed     string            `json:"closed,omitempty"` // why no operations are taken
	Partitions []partitionStatus `json:"partitions"`
	Workers    []workerStatus    `json:"workers"`
	Pending    uint64            `json:"pending"`
	Totals     operation.Counts  `json:"totals"`
	Live       liveView          `json:"live"`
}

func (a *app) systemStatus(ctx context.Context) error {
	l, err := a.connect("status")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	view, err := l.system(ctx)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.writeJSON(view)
	}
	return a.showSystem(view)
}

func (l *link) system(ctx context.Context) (*systemView, error) {
	fences, err := l.client.Reader().Fences(ctx)
	if err != nil {
		return nil, err
	}
	view := &systemView{Partitions: []partitionStatus{}, Workers: []workerStatus{}}
	if err := ecsstore.Intake(ctx, l.js, l.space); errors.Is(err, ecsstore.ErrResizing) {
		view.Closed = err.Error()
	}
	owned := map[string]int{}
	for _, fence := range fences {
		pending, err := l.client.Reader().Lag(ctx, fence.Partition, fence.Cursor)
		if err != nil {
			return nil, err
		}
		view.Partitions = append(view.Partitions, partitionStatus{Fence: fence, Pending: pending})
		view.Pending += pending
		view.Generation = max(view.Generation, fence.Generation)
		addCounts(&view.Totals, &fence.Counts)
		if !fence.Released {
			owned[fence.Owner]++
		}
	}
	for name, n := range owned {
		view.Workers = append(view.Workers, workerStatus{Name: name, Partitions: n, Answers: l.answers(ctx, name)})
	}
	slices.SortFunc(view.Workers, func(a, b workerStatus) int {
		return cmp.Or(b.Partitions-a.Partitions, cmp.Compare(a.Name, b.Name))
	})
	view.Live, err = l.live(ctx, view.Partitions)
	return view, err
}

func addCounts(sum, c *operation.Counts) {
	sum.Submitted += c.Submitted
	sum.Succeeded += c.Succeeded
	sum.Rejected += c.Rejected
	sum.Cancelled += c.Cancelled
	sum.DeadLettered += c.DeadLettered
	sum.Live += c.Live
	sum.Versions += c.Versions
}

// answers reports whether a worker is there.
func (l *link) answers(ctx context.Context, worker string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := l.nc.RequestMsgWithContext(ctx, nats.NewMsg(l.space.Ping(worker)))
	return err == nil
}

func (a *app) showSystem(v *systemView) error {
	t := a.table()
	fmt.Fprintln(t, "PARTITION\tOWNER\tEPOCH\tWINDOWS\tCURSOR\tPENDING\tLIVE\tLAST COMMIT")
	retired := 0
	for _, p := range v.Partitions {
		owner := p.Owner
		switch {
		case p.Retired():
			retired++
			owner = "(retired)"
		case p.Released:
			owner = "(released)"
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", p.Partition, owner, p.Epoch, p.Windows, p.Cursor, p.Pending, p.Counts.Live, clock(p.Time))
	}
	fmt.Fprintln(t, "\nWORKER\tPARTITIONS\tANSWERS")
	for _, w := range v.Workers {
		fmt.Fprintf(t, "%s\t%d\t%t\n", w.Name, w.Partitions, w.Answers)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	a.printf("\n%d partitions, generation %d", len(v.Partitions)-retired, v.Generation)
	if v.Closed != "" {
		a.printf("no operations are taken: %s", v.Closed)
	}
	c := v.Totals
	a.printf("%d operations taken: %d succeeded, %d rejected, %d cancelled, %d dead-lettered, %d live; %d pending; %d versions",
		c.Submitted, c.Succeeded, c.Rejected, c.Cancelled, c.DeadLettered, c.Live, v.Pending, c.Versions)
	a.showLive(&v.Live)
	return nil
}

// operationView is what status shows of one operation.
type operationView struct {
	OpID   uuid.UUID         `json:"op_id"`
	Target uuid.UUID         `json:"target_entity_id"`
	Status operation.Status  `json:"status"`
	Events []operation.Event `json:"events"`
}

func (a *app) operationStatus(ctx context.Context, op, target string) error {
	l, err := a.connect("status")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	view := &operationView{OpID: client.OperationID(op), Target: operation.EntityID(target)}
	if err := l.follow(ctx, view); err != nil {
		return err
	}
	if view.Status == "" {
		return &exit{code: exitNotFound, err: fmt.Errorf("operation %s on %s: nothing is known of it", op, target)}
	}
	if a.global.json {
		return a.writeJSON(view)
	}
	a.printf("operation %s on %s: %s", view.OpID, target, view.Status)
	coloured := a.colours()
	for i := range view.Events {
		a.printf("%s", eventLine(&view.Events[i], coloured))
	}
	return nil
}

// follow reads an operation's events and, if they do not tell its end, what the
// streams know of it.
func (l *link) follow(ctx context.Context, view *operationView) error {
	for stored, err := range l.client.Reader().Events(ctx, ecsstore.EventFilter{Entity: view.Target}) {
		if err != nil {
			return err
		}
		if !client.Concerns(&stored.Body, view.OpID) {
			continue
		}
		view.Events = append(view.Events, stored.Body)
		var detail operation.Detail
		if end, terminal := stored.Kind.Outcome(); terminal && stored.Body.Decode(&detail) == nil && detail.OpID == view.OpID {
			view.Status = end
		}
	}
	if view.Status != "" {
		return nil
	}
	store, err := ecsstore.NewJetStream(ctx, l.js, l.space)
	if err != nil {
		return err
	}
	found, err := store.Find(ctx, operation.Ref{Target: view.Target, ID: view.OpID}, anyType)
	view.Status = found.Status
	return err
}
