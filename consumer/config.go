package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/resolver"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Config is how a worker works. [DefaultConfig] returns the documented defaults;
// workers of one system should agree on all but Name, MaxConcurrent, Logger, Meter and Tracer.
type Config struct {
	Name  string         // of the worker, unique in the system; a subject token
	Space subjects.Space // where the streams are

	Window          time.Duration // how long a window stays open; 0: whatever is queued
	GracePeriod     time.Duration // in which a holder between attempts cannot be displaced
	RetryBase       time.Duration // before the first retry, doubled with each
	RetryMax        time.Duration // the longest delay before a retry
	MaxClockSkew    time.Duration // how far created_at may lie before the broker's time
	MaxOperationAge time.Duration // after which an operation that was not resolved expires
	Limits          resolver.Limits

	MaxConcurrent       int           // slow systems running at a time
	SlowTimeout         time.Duration // of one attempt of a slow system that has none of its own
	IndependentChildren bool          // children do not need a live parent (rule R10 off)

	Systems map[operation.Type]ecsstore.System     // pure systems beside the built-in ones
	Slow    map[operation.Type]ecsstore.SlowSystem // systems that do I/O

	Logger *slog.Logger
	Meter  metric.MeterProvider // where figures go; nil: nowhere
	Tracer trace.TracerProvider // where spans go; nil: nowhere

	checkpointEvery int // decision records, 0: as many as usual; tests do with fewer
}

// DefaultConfig returns the documented defaults and a random name.
func DefaultConfig() Config {
	return Config{
		Name:   "worker-" + uuid.NewString()[:8],
		Window: 10 * time.Millisecond, GracePeriod: 100 * time.Millisecond,
		RetryBase: 100 * time.Millisecond, RetryMax: 5 * time.Second,
		MaxClockSkew: 2 * time.Second, MaxOperationAge: 24 * time.Hour,
		Limits:        resolver.Limits{MaxCarries: 100, MaxCarried: 100},
		MaxConcurrent: 1000, SlowTimeout: ecsstore.DefaultSlowTimeout,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func (c *Config) check() error {
	switch {
	case !subjects.Token(c.Name):
		return fmt.Errorf("worker name %q is not a subject token: want A-Z a-z 0-9 _ -", c.Name)
	case c.Window < 0 || c.Window > 10*time.Second:
		return fmt.Errorf("window is %v: want 0 to 10s", c.Window)
	case c.RetryBase <= 0 || c.RetryMax < c.RetryBase:
		return fmt.Errorf("retry base is %v and retry max %v: want 0 < base <= max", c.RetryBase, c.RetryMax)
	case c.GracePeriod < 0 || c.MaxClockSkew < 0 || c.MaxOperationAge <= 0:
		return fmt.Errorf("grace period %v, clock skew %v, operation age %v: want none negative and an age",
			c.GracePeriod, c.MaxClockSkew, c.MaxOperationAge)
	case c.Limits.MaxCarries < 0 || c.Limits.MaxCarried < 0 || c.Limits.MaxCarried >= maxContenders:
		return fmt.Errorf("max carries is %d and max carried %d: want none negative and fewer than %d carried",
			c.Limits.MaxCarries, c.Limits.MaxCarried, maxContenders)
	case c.MaxConcurrent < 1 || c.SlowTimeout <= 0:
		return fmt.Errorf("max concurrent is %d and slow timeout %v: want both positive", c.MaxConcurrent, c.SlowTimeout)
	}
	for name, system := range c.Slow {
		if _, both := c.Systems[name]; both {
			return fmt.Errorf("operation type %s has both a pure and a slow system", name)
		}
		if timeout := c.timeout(system); timeout <= 0 {
			return fmt.Errorf("the system of %s has a time-out of %v: want a positive one", name, timeout)
		}
	}
	return nil
}

// timeout returns how long an attempt of a slow system may take.
func (c *Config) timeout(s ecsstore.SlowSystem) time.Duration {
	if own, ok := s.(ecsstore.TimedSystem); ok {
		return own.Timeout()
	}
	return c.SlowTimeout
}

// slow reports whether the operations of a type are executed outside the commit.
func (c *Config) slow(name operation.Type) bool {
	_, slow := c.Slow[name]
	return slow
}

// custom reports whether a type was registered beside the built-in ones.
func (c *Config) custom(name operation.Type) bool {
	_, pure := c.Systems[name]
	_, slow := c.Slow[name]
	return pure || slow
}

// Store is where a worker's partitions live. [ecsstore.JetStream] is one;
// [ecsstore.Memory] is another, for tests.
type Store interface {
	// Partitions returns the number of partitions.
	Partitions() int
	// Prepare begins to read what a claim of the partition with that fence will need.
	Prepare(ctx context.Context, fence operation.Fence)
	// Claim makes owner the owner of a partition and returns what it left behind.
	Claim(ctx context.Context, partition int, owner string, epoch uint64) (ecsstore.Claim, error)
	// Fence returns the fence of a partition, the zero fence if it was never claimed.
	Fence(ctx context.Context, partition int) (operation.Fence, error)
	// Release lets go of partitions in good order, of all or of none.
	Release(ctx context.Context, held ...ecsstore.Held) error
	// Load returns the head of each entity.
	Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ecsstore.Head, error)
	// Find looks up an operation that another names as its parent.
	Find(ctx context.Context, ref operation.Ref, custom func(operation.Type) bool) (ecsstore.Found, error)
	// Commit stores a batch whole or not at all.
	Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error)
}
