package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Run is what a run is made of.
type Run struct {
	Plan     Plan
	For      time.Duration // how long faults happen
	Rate     float64       // of the load, in operations a second; 0: a fifth of what the machine takes without faults
	Programs Programs
	Shipped  string // folder with the brokers' configuration
	Sync     string // their sync_interval
	Targets  int    // of the operations whose throughput is measured
	Folder   string // for everything the run writes; its maker removes it
	Log      *slog.Logger
}

// scenario is a run under way.
type scenario struct {
	*Run
	report   *Report
	brokers  *brokers
	fleet    *fleet
	nc       *nats.Conn // of the load
	users    *nats.Conn // of the sessions
	eye      *nats.Conn // of what only watches
	load     *load
	attempts attempts

	registers *registers
	sessions  sync.WaitGroup
	leave     context.CancelFunc // ends the sessions, whatever they are doing
}

// Do makes the run. An error says that it could not be made; what it found is in the
// report.
func (r *Run) Do(ctx context.Context) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scenario{Run: r, report: &Report{Seed: r.Plan.Seed, For: r.For.String(), Files: r.Folder}}
	defer s.close()
	if err := s.open(ctx); err != nil {
		return s.report, err
	}
	return s.report, s.play(ctx)
}

func (s *scenario) close() {
	for _, nc := range []*nats.Conn{s.nc, s.users, s.eye} {
		if nc != nil {
			nc.Close()
		}
	}
}

// open starts everything.
func (s *scenario) open(ctx context.Context) (err error) {
	logs := filepath.Join(s.Folder, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return fmt.Errorf("making a folder for logs: %w", err)
	}
	l := newLauncher(ctx)
	if s.brokers, err = startBrokers(ctx, l, s.Programs.Server, s.Shipped, s.Sync, s.Folder, logs); err != nil {
		return err
	}
	for name, nc := range map[string]**nats.Conn{"load": &s.nc, "users": &s.users, "watch": &s.eye} {
		if *nc, err = client.Connect(s.brokers.url(), nats.Name("chaos/"+name)); err != nil {
			return err
		}
	}
	if err := s.makeStreams(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.attempts.watch(s.eye), serveSlow(ctx, s.nc)); err != nil {
		return err
	}
	if s.registers, err = newRegisters(s.users); err != nil {
		return err
	}
	if s.load, err = newLoad(s.nc, s.Plan.Seed, filepath.Join(logs, "acknowledged.ndjson")); err != nil {
		return err
	}
	s.fleet = newFleet(l, s.Programs.Hierarchy, logs, append([]string{"--server", s.brokers.url(), "--verbose", "--http", "off"}, slowFlags()...), s.Log)
	for range startSize {
		if err := s.fleet.add(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeStreams makes the streams as soon as the cluster can place them.
func (s *scenario) makeStreams(ctx context.Context) error {
	js, err := jetstream.New(s.nc)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	settings := ecsstore.DefaultSettings()
	settings.Replicas = clusterSize
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last error
	err = poll(ctx, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		last = ecsstore.Init(once, js, subjects.Space{}, settings)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// play measures, breaks, mends and looks.
func (s *scenario) play(ctx context.Context) error {
	if err := s.measure(ctx); err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "faults begin", slog.Uint64("seed", s.Plan.Seed), slog.Duration("for", s.For),
		slog.Float64("capacity", s.report.Capacity), slog.Float64("rate", s.report.Rate))
	began := time.Now()
	if err := s.breakThings(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	settled := s.settle(ctx)
	s.dismiss()
	if settled {
		s.fleet.drainAll(ctx)
	}
	if err := errors.Join(s.look(ctx), s.audited(ctx)); err != nil {
		return err
	}
	s.report.PerSecond = float64(s.report.Acknowledged) / took.Seconds()
	s.report.vacuous(took)
	return nil
}
