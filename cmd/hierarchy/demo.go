package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

// demoTick is how often the demo's actors have something to command.
const demoTick = 700 * time.Millisecond

// valves of the demo's plant.
const valves = 8

// actor is somebody who commands the demo's valves.
type actor struct {
	name     string
	priority operation.Priority
	chance   float64 // of having something to say at a tick
	command  func(valve string) client.Request
}

var actors = []actor{
	{"interlock", operation.Critical, 0.15, func(valve string) client.Request {
		return update(valve, map[string]any{"position": 0, "mode": "interlocked"}, "closings")
	}},
	{"operator", operation.High, 0.4, func(valve string) client.Request {
		return modify(valve, "position", rand.IntN(101))
	}},
	{"scheduler", operation.Normal, 0.8, func(valve string) client.Request {
		return update(valve, map[string]any{"position": 10 * rand.IntN(11), "mode": "automatic"}, "moves")
	}},
	{"maintenance", operation.Low, 0.5, func(valve string) client.Request {
		return client.Request{Type: operation.VersionEntity, Target: valve, Params: map[string]any{"note": "inspection"}}
	}},
	{"maintenance", operation.Low, 0.1, func(valve string) client.Request {
		return modify(valve, "position", "ajar") // a type mismatch: rejected for ever
	}},
}

func update(valve string, set map[string]any, counter string) client.Request {
	return client.Request{
		Type: operation.ComplexUpdate, Target: valve,
		Params: map[string]any{"set": set, "add": map[string]any{counter: 1}},
	}
}

func modify(valve, field string, value any) client.Request {
	return client.Request{
		Type: operation.ModifyField, Target: valve, Params: map[string]any{"field": field, "value": value},
	}
}

// demoFilter leaves out the start of executions, which are over in the same moment.
func demoFilter() client.Filter {
	return client.Filter{Kinds: slices.DeleteFunc(operation.Kinds(), func(kind operation.Kind) bool {
		return kind == operation.StartedEvent
	})}
}

// demo commands a plant until ctx is done.
func demo(ctx context.Context, c *client.Client, log *slog.Logger) error {
	if err := build(ctx, c); err != nil && ctx.Err() == nil {
		return fmt.Errorf("building the demo's plant: %w", err)
	}
	log.InfoContext(ctx, "the demo commands a plant",
		slog.String("critical", "interlock"), slog.String("high", "operator"),
		slog.String("normal", "scheduler"), slog.String("low", "maintenance"))
	tick := time.NewTicker(demoTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := shift(ctx, c); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "the demo could not submit an operation", slog.Any("error", err))
		}
	}
}

// build makes the plant, as far as it is not there since the last time.
func build(ctx context.Context, c *client.Client) error {
	for i := range valves + 1 {
		name := fmt.Sprintf("valve-%d", i)
		params := map[string]any{
			"type": "valve", "parent_id": "plant-1",
			"components": map[string]any{"position": 0, "mode": "automatic", "moves": 0, "closings": 0},
		}
		if i == 0 {
			name, params = "plant-1", map[string]any{"type": "plant", "components": map[string]any{}}
		}
		_, err := c.Get(ctx, name)
		if err == nil {
			continue
		}
		if !errors.Is(err, client.ErrNotFound) {
			return err
		}
		op, err := client.Request{Type: operation.CreateEntity, Target: name, Params: params}.Operation()
		if err == nil {
			_, err = c.SubmitAndWait(ctx, op)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shift has the actors who have something to say command one valve at the same
// time. The maintenance may act for the operator: as a child of his operation its
// own inherits his priority, and loses to it only as the later of the two.
func shift(ctx context.Context, c *client.Client) error {
	valve := fmt.Sprintf("valve-%d", 1+rand.IntN(valves))
	var sent []*operation.Operation
	for _, who := range actors {
		if rand.Float64() > who.chance {
			continue
		}
		request := who.command(valve)
		request.Priority = who.priority
		if len(sent) > 0 && who.priority == operation.Low && rand.IntN(3) == 0 {
			request.Parent = sent[0].ID.String()
		}
		op, err := request.Operation()
		if err != nil {
			return err
		}
		op.ID = uuid.Must(uuid.NewV7())
		sent = append(sent, op)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, op := range sent {
		group.Go(func() error {
			_, err := c.Submit(ctx, op)
			return err
		})
	}
	return group.Wait()
}
