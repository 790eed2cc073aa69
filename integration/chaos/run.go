package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// Run is what a run is made of.
type Run struct {
	Plan     Plan
	For      time.Duration // how long faults happen
	Rate     float64       // of the load, in operations a second; 0: half of what the machine takes
	Programs Programs
	Shipped  string // folder with the brokers' configuration
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
	eye      *nats.Conn // of what only watches
	load     *load
	attempts attempts
}

// Do makes the run. An error says that it could not be made; what it found is in the
// report.
func (r *Run) Do(ctx context.Context) (*Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scenario{Run: r, report: &Report{Seed: r.Plan.Seed, For: r.For.String(), Files: r.Folder}}
	if err := s.open(ctx); err != nil {
		return s.report, err
	}
	defer s.nc.Close()
	defer s.eye.Close()
	return s.report, s.play(ctx)
}

// open starts everything.
func (s *scenario) open(ctx context.Context) (err error) {
	logs := filepath.Join(s.Folder, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return fmt.Errorf("making a folder for logs: %w", err)
	}
	l := newLauncher(ctx)
	if s.brokers, err = startBrokers(ctx, l, s.Programs.Server, s.Shipped, s.Folder, logs); err != nil {
		return err
	}
	if s.nc, err = client.Connect(s.brokers.url(), nats.Name("chaos/load")); err != nil {
		return err
	}
	if s.eye, err = client.Connect(s.brokers.url(), nats.Name("chaos/watch")); err != nil {
		return err
	}
	if err := s.makeStreams(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.attempts.watch(s.eye), serveSlow(ctx, s.nc)); err != nil {
		return err
	}
	if s.load, err = newLoad(s.nc, s.Plan.Seed, filepath.Join(logs, "acknowledged.ndjson")); err != nil {
		return err
	}
	s.fleet = newFleet(l, s.Programs.Hierarchy, logs, append([]string{"--server", s.brokers.url()}, slowFlags()...), s.Log)
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
	if s.settle(ctx) {
		s.fleet.drainAll(ctx)
	}
	if err := errors.Join(s.look(ctx), s.audited(ctx)); err != nil {
		return err
	}
	s.report.PerSecond = float64(s.report.Acknowledged) / took.Seconds()
	s.report.vacuous(took)
	return nil
}

// How much is published as fast as it goes, to find out what the machine takes.
const (
	measureTime  = 4 * time.Second
	measureCount = 2000
)

// measure creates the targets, finds out how much the machine takes, and sets the rate
// to half of that.
func (s *scenario) measure(ctx context.Context) error {
	births, err := s.load.mixer.births(ctx)
	if err != nil {
		return err
	}
	if err := s.load.send(ctx, ctx, births); err != nil {
		return err
	}
	if err := s.idle(ctx, settleTimeout); err != nil {
		return fmt.Errorf("creating the targets: %w", err)
	}
	before, _ := s.load.progress()
	began := time.Now()
	short, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	if err := s.load.run(short, ctx, 0, measureCount); err != nil {
		return err
	}
	if err := s.idle(ctx, settleTimeout); err != nil {
		return fmt.Errorf("measuring what the machine takes: %w", err)
	}
	after, _ := s.load.progress()
	s.report.Capacity = float64(after-before) / time.Since(began).Seconds()
	if s.report.Rate = s.Rate; s.Rate == 0 {
		s.report.Rate = s.report.Capacity / 2
	}
	return nil
}

// breakThings lets the plan happen while the load runs.
func (s *scenario) breakThings(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, s.For)
	defer cancel()
	group, timed := errgroup.WithContext(timed)
	group.Go(func() error { return s.load.run(timed, ctx, s.report.Rate, math.MaxInt) })
	group.Go(func() error { return s.breakWorkers(timed, ctx) })
	group.Go(func() error { return s.breakBrokers(timed, ctx) })
	err := group.Wait()
	s.fleet.busy.Wait()
	return err
}

// breakWorkers follows the plan until ctx is done.
func (s *scenario) breakWorkers(ctx, work context.Context) error {
	for fault := range s.Plan.Workers() {
		if !pass(ctx, fault.After) {
			return nil
		}
		if err := s.fleet.do(ctx, work, fault); err != nil {
			return err
		}
	}
	return nil
}

// breakBrokers follows the plan until ctx is done, and mends what it has broken.
func (s *scenario) breakBrokers(ctx, work context.Context) error {
	for fault := range s.Plan.Brokers() {
		if !pass(ctx, fault.After) {
			return nil
		}
		b := s.brokers.all[fault.Pick%len(s.brokers.all)]
		s.Log.InfoContext(ctx, "fault", slog.String("act", string(fault.Act)), slog.String("broker", b.name), slog.Duration("hold", fault.Hold))
		if err := s.breakBroker(b, fault.Act); err != nil {
			return err
		}
		pass(ctx, fault.Hold)
		if err := s.brokers.start(work, b); err != nil {
			return err
		}
		if err := b.awaitHealthy(work); err != nil {
			return err
		}
	}
	return nil
}

func (s *scenario) breakBroker(b *broker, act Act) error {
	if act == KillBroker {
		s.report.BrokerKills++
		return b.process.kill()
	}
	s.report.BrokerRestarts++
	if err := b.process.terminate(drainTimeout); err != nil {
		s.report.problem("%v", err)
	}
	return nil
}

// pass lets time pass and reports whether there is more.
func pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// settleTimeout bounds how long what is left to do may take when nothing is broken any
// more.
const settleTimeout = 2 * time.Minute

// settle waits until nothing is left to do, and reports whether that was in time.
func (s *scenario) settle(ctx context.Context) bool {
	began := time.Now()
	err := s.idle(ctx, settleTimeout)
	if err != nil {
		s.report.problem("%v after the last fault: %v; the logs of the workers say what their goroutines did", settleTimeout, err)
		s.fleet.dump()
	}
	s.report.SettleMS = time.Since(began).Milliseconds()
	return err == nil
}

// idle waits until every letter is acknowledged and every operation has ended.
func (s *scenario) idle(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	js, err := jetstream.New(s.eye)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	reader := ecsstore.NewReader(js, subjects.Space{})
	left := "acknowledgements"
	err = poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		if !s.load.room.TryAcquire(roomCount) {
			return false, nil
		}
		s.load.room.Release(roomCount)
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		fences, err := reader.Fences(once)
		if err != nil {
			if ctx.Err() == nil {
				left = err.Error()
			}
			return false, nil
		}
		_, ends := s.load.progress()
		left = unfinished(fences, ends)
		return left == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w, still waiting for %s", err, left)
	}
	return nil
}

// unfinished says what is left to do, nothing if every partition has passed its last
// operation and has none under way.
func unfinished(fences []operation.Fence, ends map[int]uint64) (left string) {
	if want := ecsstore.DefaultSettings().Partitions; len(fences) < want {
		return fmt.Sprintf("%d partitions without an owner", want-len(fences))
	}
	for _, f := range fences {
		if end := ends[f.Partition]; f.Cursor < end || f.Counts.Live > 0 {
			left += fmt.Sprintf("partition %d of %s at %d of %d with %d live; ", f.Partition, f.Owner, f.Cursor, end, f.Counts.Live)
		}
	}
	return left
}

// look weighs what is stored against what was acknowledged and tried.
func (s *scenario) look(ctx context.Context) error {
	if err := s.load.close(); err != nil {
		return fmt.Errorf("logging acknowledgements: %w", err)
	}
	js, err := jetstream.New(s.eye)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	found, err := gather(ctx, js)
	if err != nil {
		return err
	}
	found.weigh(s.load.notes, s.load.known)
	r := s.report
	r.Problems = append(r.Problems, found.problems...)
	r.Acknowledged, r.Doubted, r.GivenUp = len(s.load.notes), s.load.doubt, s.load.lost
	r.Windows, r.Commits, r.Attempts = found.windows, len(found.batches), s.attempts.count()
	for _, try := range s.attempts.fenced(found.batches) {
		r.Fenced++
		if s.fleet.paused[try.owner] {
			r.FencedZombies++
		}
	}
	n := s.fleet.tally()
	r.WorkerKills, r.WorkerStops, r.WorkersAdded, r.WorkersDrained = n.Kills, n.Stops, n.Adds, n.Drains
	r.Ended = n.Ended
	r.Problems = append(r.Problems, n.Stubborn...)
	if r.Said, err = listen(filepath.Join(s.Folder, "logs")); err != nil {
		return err
	}
	if r.Said.Panics > 0 || r.Said.Halted > 0 {
		r.problem("workers panicked %d times and found partitions halted %d times", r.Said.Panics, r.Said.Halted)
	}
	return nil
}
