package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// stressor is one stress run.
type stressor struct {
	cfg    *stressConfig
	rig    *rig
	js     jetstream.JetStream // of the follower and for reading the store
	read   *ecsstore.Reader
	maker  *maker
	book   *book
	load   *load
	before storeCounts
}

// stressRun makes what the run needs, runs it and returns its report.
func (a *app) stressRun(ctx context.Context, cfg *stressConfig, progress io.Writer) (report *stressReport, err error) {
	rig, err := a.newRig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rig.Close()) }()
	s, err := newStressor(rig, cfg)
	if err != nil {
		return nil, err
	}
	return s.run(ctx, progress)
}

func newStressor(r *rig, cfg *stressConfig) (*stressor, error) {
	s := &stressor{cfg: cfg, rig: r, maker: newMaker(cfg)}
	s.book = newBook(s.maker.series)
	var err error
	if s.js, err = r.open("stress/follower"); err != nil {
		return nil, err
	}
	s.read = ecsstore.NewReader(s.js, r.space)
	s.load, err = r.newLoad(s.maker, s.book, cfg)
	return s, err
}

// newLoad returns a load of the configuration.
func (r *rig) newLoad(m *maker, b *book, cfg *stressConfig) (*load, error) {
	room := cfg.inFlight
	if cfg.rate > 0 {
		room = max(room, ackRoom)
	}
	l, err := newLoad(m, b, room, func(opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
		return r.open("stress/publisher", opts...)
	})
	if err != nil {
		return nil, err
	}
	l.space, l.short, l.most = r.space, cfg.rate > 0, cfg.count
	return l, nil
}

// ackRoom is how many operations at a given rate may wait for the broker's
// acknowledgement.
const ackRoom = 8192

// run creates the targets, publishes for the time of the run, waits for what is on
// its way, and counts.
func (s *stressor) run(ctx context.Context, progress io.Writer) (*stressReport, error) {
	// An interrupted run is still settled and counted.
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	begin, err := s.end(ctx)
	if err != nil {
		return nil, err
	}
	stop, err := follow(whole, s.js, s.rig.space, s.see)
	if err != nil {
		return nil, err
	}
	defer stop()
	go s.load.repeat(whole) // ends with run
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	timed, done := context.WithTimeout(ctx, s.cfg.duration)
	defer done()
	go s.progress(whole, progress) // ends with run
	if err := s.load.run(timed, s.cfg.rate); err != nil {
		return nil, err
	}
	s.settle(whole)
	stop()
	r, err := s.report(whole)
	if err == nil && s.cfg.audit {
		err = s.audit(whole, r, begin)
	}
	if err != nil {
		return nil, err
	}
	r.OK = len(r.Problems) == 0
	return r, nil
}

// see enters an event.
func (s *stressor) see(kind operation.Kind, target string, body []byte) {
	if s.book.event(kind, target, body, time.Now()) {
		s.load.ended(1)
	}
}

// prepare creates the targets and waits until they are there.
func (s *stressor) prepare(ctx context.Context) error {
	ctx, cancel := s.rig.app.bounded(ctx)
	defer cancel()
	if err := s.load.create(ctx); err != nil {
		return err
	}
	if err := s.ended(ctx); err != nil {
		return fmt.Errorf("creating the targets: %d have no outcome: %w", s.book.open(), err)
	}
	if c := s.book.counts(); c.completed != s.cfg.targets {
		return fmt.Errorf("creating the targets: %d of %d were created, the others rejected: %v", c.completed, s.cfg.targets, c.rejected)
	}
	s.book.reset()
	s.load.acked.Store(0)
	var err error
	s.before, err = s.storeCounts(ctx)
	return err
}

// settle waits until every operation has ended, as long as the configuration says.
func (s *stressor) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.settle)
	defer cancel()
	_ = s.ended(ctx) // the report tells what is left
}

// ended waits until every operation has ended and is acknowledged.
func (s *stressor) ended(ctx context.Context) error {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for s.book.open() > 0 || s.load.inDoubt() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// progress rewrites one line each second until ctx is done.
func (s *stressor) progress(ctx context.Context, w io.Writer) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for began, before := time.Now(), 0; ; {
		select {
		case now := <-ticker.C:
			c := s.book.counts()
			fmt.Fprintf(w, "\r%3.0f s of %.0f: %d submitted, %d ended, %d ops/s, p99 %.1f ms  ",
				math.Round(now.Sub(began).Seconds()), s.cfg.duration.Seconds(), c.submitted, c.ended, c.ended-before, c.latency.quantile(.99))
			before = c.ended
		case <-ctx.Done():
			fmt.Fprint(w, "\r\x1b[K")
			return
		}
	}
}
