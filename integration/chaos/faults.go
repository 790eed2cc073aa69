package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// How much is published as fast as it goes, to find out what the machine takes.
const (
	measureTime  = 10 * time.Second
	measureCount = 10_000
)

// loadShare is how much of what the machine takes without faults is published while they
// happen. It takes a quarter to a half of that then, with a worker gone every second and a
// broker every third of a minute.
const loadShare = 0.2

// measure creates the targets, finds out how much the machine takes, and sets the rate
// to its share of that.
func (s *scenario) measure(ctx context.Context) error {
	births, err := s.load.mixer.births(ctx, slices.Concat(s.load.mixer.targets, registerIDs()))
	if err != nil {
		return err
	}
	if err := s.load.send(ctx, ctx, births); err != nil {
		return err
	}
	if err := s.idle(ctx); err != nil {
		return fmt.Errorf("creating the targets: %w", err)
	}
	if err := s.registers.look(ctx); err != nil {
		return err
	}
	before, _ := s.load.progress()
	began := time.Now()
	short, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	if err := s.load.run(short, ctx, 0, measureCount); err != nil {
		return err
	}
	if err := s.await(ctx, untaken); err != nil {
		return fmt.Errorf("measuring what the machine takes: %w", err)
	}
	after, _ := s.load.progress()
	s.report.Capacity = float64(after-before) / time.Since(began).Seconds()
	if err := s.idle(ctx); err != nil {
		return fmt.Errorf("finishing what was measured: %w", err)
	}
	if s.report.Rate = s.Rate; s.Rate == 0 {
		s.report.Rate = s.report.Capacity * loadShare
	}
	return nil
}

// How much load comes from the sessions, beside the rest: a share of that, and at least
// so many accesses a second.
const (
	sessionShare = 0.2
	sessionLeast = 24.0
)

// breakThings lets the plan happen while the load runs.
func (s *scenario) breakThings(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, s.For)
	defer cancel()
	group, timed := errgroup.WithContext(timed)
	group.Go(func() error { return s.load.run(timed, ctx, s.report.Rate, math.MaxInt) })
	users, leave := context.WithCancel(ctx)
	s.leave = leave
	for session := range sessionCount {
		rate := max(sessionShare*s.report.Rate, sessionLeast) / sessionCount
		s.sessions.Go(func() { s.registers.run(timed, users, session, s.Plan.Seed, rate) })
	}
	group.Go(func() error { return s.breakWorkers(timed, ctx) })
	group.Go(func() error { return s.breakBrokers(timed, ctx) })
	err := group.Wait()
	s.fleet.busy.Wait()
	return err
}

// sessionTimeout is how long sessions may take to finish what they have begun, when
// nothing is left to do.
const sessionTimeout = 30 * time.Second

// dismiss waits for the sessions.
func (s *scenario) dismiss() {
	timer := time.AfterFunc(sessionTimeout, s.leave)
	defer timer.Stop()
	s.sessions.Wait()
	s.leave()
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
