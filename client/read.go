package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// Filter says which events to watch. The zero filter matches all from now on.
type Filter struct {
	Kinds  []operation.Kind // none: every kind
	Entity string           // id or name; none: every entity
	OpID   uuid.UUID        // none: every operation
	Since  time.Time        // by the broker's clock; none: from now on
}

// Watch yields events as they are committed, in order and each once, also across
// reconnections. It ends without error when ctx is done. An event that cannot be
// read is yielded as an error and does not end it.
func (c *Client) Watch(ctx context.Context, f Filter) iter.Seq2[operation.Event, error] {
	filter := ecsstore.EventFilter{Kinds: f.Kinds, Since: f.Since, Follow: true}
	if f.Entity != "" {
		filter.Entity = operation.EntityID(f.Entity)
	}
	return func(yield func(operation.Event, error) bool) {
		inner, stop := c.reading(ctx)
		defer stop()
		for stored, err := range c.read.Events(inner, filter) {
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				err = fmt.Errorf("watching: %w", explain(inner, err))
			case f.OpID != uuid.Nil && !Concerns(&stored.Body, f.OpID):
				continue
			}
			if !yield(stored.Body, err) {
				return
			}
		}
	}
}

// Concerns reports whether an event is about an operation, a conflict that it was
// part of included.
func Concerns(event *operation.Event, op uuid.UUID) bool {
	var data struct {
		OpID       uuid.UUID             `json:"op_id"`
		Contenders []operation.Contender `json:"contenders"`
	}
	if event.Decode(&data) != nil {
		return false
	}
	for _, contender := range data.Contenders {
		if contender.OpID == op {
			return true
		}
	}
	return data.OpID == op
}

// Get returns the head of an entity, given by id or name. A deleted entity has one:
// its place is [ecsstore.Deleted].
func (c *Client) Get(ctx context.Context, entity string) (*ecsstore.Entity, error) {
	inner, stop := c.reading(ctx)
	defer stop()
	head, err := c.read.Get(inner, operation.EntityID(entity))
	return head, named(inner, entity, err)
}

// History yields the versions of an entity, the first one first. What was done to
// the head between them stands in the History of each version's head.
func (c *Client) History(ctx context.Context, entity string) iter.Seq2[*ecsstore.Version, error] {
	return func(yield func(*ecsstore.Version, error) bool) {
		inner, stop := c.reading(ctx)
		defer stop()
		for version, err := range c.read.Versions(inner, operation.EntityID(entity)) {
			if !yield(version, named(inner, entity, err)) {
				return
			}
		}
	}
}

// Version returns version n of an entity, counted from 1.
func (c *Client) Version(ctx context.Context, entity string, n uint64) (*ecsstore.Version, error) {
	inner, stop := c.reading(ctx)
	defer stop()
	version, err := c.read.Version(inner, operation.EntityID(entity), n)
	return version, named(inner, entity, err)
}

// At returns the version of an entity that was its latest at time t.
func (c *Client) At(ctx context.Context, entity string, t time.Time) (*ecsstore.Version, error) {
	inner, stop := c.reading(ctx)
	defer stop()
	version, err := c.read.At(inner, operation.EntityID(entity), t)
	return version, named(inner, entity, err)
}

// Tree returns an entity with all those below it.
func (c *Client) Tree(ctx context.Context, entity string) (*ecsstore.Node, error) {
	inner, stop := c.reading(ctx)
	defer stop()
	node, err := c.read.Tree(inner, operation.EntityID(entity))
	return node, named(inner, entity, err)
}

// Reader returns what else can be asked of the store: fences, lag, windows.
func (c *Client) Reader() *ecsstore.Reader { return c.read }

// reading guards a call that reads the store's stream.
func (c *Client) reading(ctx context.Context) (context.Context, func()) {
	return c.denials.guard(ctx, "STREAM.MSG.GET.", "STREAM.INFO.", "CONSUMER.CREATE.", "CONSUMER.MSG.NEXT.")
}

func named(ctx context.Context, entity string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%s: %w", entity, err)
	}
	return fmt.Errorf("reading %s: %w", entity, explain(ctx, err))
}
