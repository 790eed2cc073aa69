package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

// While the number of partitions is being changed nothing takes what is published, and
// nothing was stored. That is over in a moment: this package waits and publishes again.

// How long it waits if the caller's context has no end, and how often it looks.
const (
	intakePatience = 30 * time.Second
	intakeEvery    = 100 * time.Millisecond
)

// intake is one publication's patience with a system that takes nothing.
type intake struct {
	c     *Client
	again bool // it has been open, and yet nothing was taken
}

// reopened returns nil if it makes sense to publish again what failed with err, after
// waiting for it where need be. Else it returns the error to report.
func (i *intake) reopened(ctx context.Context, err error) error {
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return err
	}
	patience, cancel := context.WithCancel(ctx)
	if _, bounded := ctx.Deadline(); !bounded {
		patience, cancel = context.WithTimeout(ctx, intakePatience)
	}
	defer cancel()
	tick := time.NewTicker(intakeEvery)
	defer tick.Stop()
	var why error
	for {
		switch closed := i.closed(patience); {
		case errors.Is(closed, ecsstore.ErrResizing):
			why = closed
		case closed == nil && (why != nil || !i.again):
			i.again = true
			return nil
		case ctx.Err() != nil && why == nil:
			return context.Cause(ctx)
		case why == nil || patience.Err() == nil:
			return err
		}
		select {
		case <-tick.C:
		case <-patience.Done():
			return fmt.Errorf("%w: %w", ErrIntakeClosed, why)
		}
	}
}

// closed returns [ecsstore.ErrResizing] if the system takes nothing at the moment.
func (i *intake) closed(ctx context.Context) error {
	ctx, stop := i.c.reading(ctx)
	defer stop()
	return ecsstore.Intake(ctx, i.c.js, i.c.space)
}
