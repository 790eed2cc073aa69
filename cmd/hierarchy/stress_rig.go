package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/natscontext"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// rig is what a stress run needs around it: a broker with the streams, workers, and
// connections. Without a server in the flags all of it is made for the run, in a
// folder that is removed again.
type rig struct {
	app     *app
	space   subjects.Space
	broker  *broker // nil: the one that the flags name
	folder  string  // of the broker
	conns   []*nats.Conn
	workers []*consumer.Worker
	running errgroup.Group // the workers

	partitions int // of the system
	cancel     context.CancelFunc
	flush      func() error // sends the traces of the workers, if there are any
}

// newRig returns a rig with the workers of the configuration at work.
func (a *app) newRig(ctx context.Context, cfg *stressConfig) (*rig, error) {
	space, err := subjects.In(a.global.prefix)
	if err != nil {
		return nil, &exit{code: exitUsage, err: err}
	}
	r := &rig{app: a, space: space, cancel: func() {}, flush: func() error { return nil }}
	if !a.global.named() {
		err = r.embed(ctx, cfg)
	}
	if err == nil {
		err = r.look(ctx)
	}
	if err == nil {
		err = r.work(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// embed starts a broker with an empty store and makes the streams.
func (r *rig) embed(ctx context.Context, cfg *stressConfig) error {
	folder, err := os.MkdirTemp(cfg.storeDir, "hierarchy-stress-")
	if err != nil {
		return fmt.Errorf("making a store for the run: %w; choose another folder with --store-dir", err)
	}
	r.folder = folder
	r.broker, err = startBroker(brokerConfig{listen: "127.0.0.1:0", store: folder, sync: cfg.sync, log: r.app.logger()})
	if err != nil {
		return err
	}
	js, err := r.open("stress/init")
	if err != nil {
		return err
	}
	settings := ecsstore.DefaultSettings()
	settings.Partitions, settings.Retention = cfg.partitions, embeddedRetention
	ctx, cancel := r.app.bounded(ctx)
	defer cancel()
	return ecsstore.Init(ctx, js, r.space, settings)
}

// look asks how many partitions there are.
func (r *rig) look(ctx context.Context) error {
	js, err := r.open("stress/look")
	if err != nil {
		return err
	}
	ctx, cancel := r.app.bounded(ctx)
	defer cancel()
	r.partitions, err = ecsstore.Partitions(ctx, js, r.space)
	return err
}

// work starts the workers, which stop when the rig is closed and not before: an
// interrupted run is still to be counted.
func (r *rig) work(ctx context.Context, cfg *stressConfig) error {
	about, err := aboutProcess(ctx, "stress")
	if err != nil {
		return err
	}
	traces := &telemetry{}
	if err := traces.startTracers(ctx, about); err != nil {
		return err
	}
	r.flush = func() error { return traces.Close(ctx) }
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for range cfg.workers {
		settings := consumer.DefaultConfig()
		settings.Space, settings.Window, settings.Logger = r.space, cfg.window, r.app.logger()
		settings.Tracer = traces.tracers
		js, err := r.open("worker/" + settings.Name)
		if err != nil {
			return err
		}
		worker, err := consumer.New(js.Conn(), settings)
		if err != nil {
			return err
		}
		r.workers = append(r.workers, worker)
		r.running.Go(func() error { return worker.Run(ctx) })
	}
	return nil
}

// open makes one more connection to the broker, which the rig closes.
func (r *rig) open(role string, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	nc, settings, err := r.dial(role)
	if err != nil {
		return nil, err
	}
	r.conns = append(r.conns, nc)
	js, err := newJetStream(nc, settings, opts...)
	if err != nil {
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	return js, nil
}

func (r *rig) dial(role string) (*nats.Conn, natscontext.Settings, error) {
	if r.broker == nil {
		return r.app.dial(role)
	}
	nc, err := client.Connect(r.broker.URL(), nats.Name("hierarchy/"+role))
	return nc, natscontext.Settings{}, err
}

// Close ends what was started and removes what was made.
func (r *rig) Close() error {
	r.cancel()
	err := errors.Join(r.running.Wait(), r.flush())
	for _, nc := range r.conns {
		nc.Close()
	}
	if r.broker != nil {
		r.broker.Stop()
	}
	if r.folder != "" {
		err = errors.Join(err, os.RemoveAll(r.folder))
	}
	return err
}
