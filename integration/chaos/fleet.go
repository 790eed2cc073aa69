package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// fleet is the workers of a run. It also stands in for whatever supervises them: one
// that ends by itself is started again.
type fleet struct {
	launch        *launcher
	program, logs string
	args          []string // of run
	log           *slog.Logger

	mu      sync.Mutex // guards all below
	members []*worker
	named   int // workers named so far
	paused  []paused
	counts  fleetCounts

	busy sync.WaitGroup // drains and pauses under way
}

// worker is a place in the fleet and the process that fills it.
type worker struct {
	name    string
	process *process
	stopped bool // by SIGSTOP
	leaving bool // it was asked to end
}

// paused is a time in which a worker was stopped.
type paused struct {
	name     string
	from, to time.Time // to is zero while it is stopped
}

// fleetCounts is what was done to workers and what they did.
type fleetCounts struct {
	Kills, Stops, Adds, Drains int
	Ended                      []string // how workers ended that nobody had asked to
	Stubborn                   []string // how drains failed
}

// The size of a fleet.
const (
	startSize = 4
	leastSize = 3
	mostSize  = 6
)

// drainTimeout is how long a worker may take to end in good order: its own patience
// is 3 s, then it lets go of its partitions, for which a broker without a leader may
// need 9 s.
const drainTimeout = 20 * time.Second

func newFleet(l *launcher, program, logs string, args []string, log *slog.Logger) *fleet {
	return &fleet{launch: l, program: program, logs: logs, args: args, log: log}
}

// add starts a worker.
func (f *fleet) add(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.grow(ctx)
}

// grow adds a worker under a new name.
func (f *fleet) grow(ctx context.Context) error {
	w := &worker{name: f.newName()}
	if err := f.start(ctx, w); err != nil {
		return err
	}
	f.members = append(f.members, w)
	return nil
}

func (f *fleet) newName() string {
	f.named++
	return fmt.Sprintf("worker-%d", f.named)
}

// start starts the process of a place and watches it.
func (f *fleet) start(ctx context.Context, w *worker) error {
	log := filepath.Join(f.logs, w.name+".log")
	p, err := f.launch.start(ctx, w.name, log, []string{"NO_COLOR=1"}, f.program, append([]string{"run", "--name", w.name}, f.args...)...)
	if err != nil {
		return err
	}
	w.process = p
	go f.watch(ctx, w, p) // ends with the process
	return nil
}

// watch starts a worker again that ended by itself.
func (f *fleet) watch(ctx context.Context, w *worker, p *process) {
	<-p.done
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil || w.process != p || w.leaving {
		return
	}
	f.counts.Ended = append(f.counts.Ended, fmt.Sprintf("%s: %v", w.name, p.err))
	if err := f.start(ctx, w); err != nil {
		f.counts.Ended = append(f.counts.Ended, err.Error())
	}
}

// able lists the workers that are running and stay.
func (f *fleet) able() []*worker {
	var out []*worker
	for _, w := range f.members {
		if !w.stopped && !w.leaving {
			out = append(out, w)
		}
	}
	return out
}

// do does what a plan says. Pauses end with ctx at the latest, processes with work.
func (f *fleet) do(ctx, work context.Context, fault Fault) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	able, act := f.able(), fault.Act
	if len(able) == 0 {
		return nil
	}
	switch {
	case act == AddWorker && len(f.members) >= mostSize,
		act == DrainWorker && len(able) <= leastSize,
		act == StopWorker && len(able) <= 2:
		act = KillWorker
	}
	w := able[fault.Pick%len(able)]
	f.log.InfoContext(ctx, "fault", slog.String("act", string(act)), slog.String("worker", w.name), slog.Duration("hold", fault.Hold))
	switch act {
	case KillWorker:
		return f.kill(work, w, fault.Other)
	case StopWorker:
		return f.pause(ctx, w, fault.Hold)
	case AddWorker:
		f.counts.Adds++
		return f.grow(work)
	case DrainWorker:
		w.leaving = true
		f.busy.Go(func() { f.drain(work, w) })
	case KillBroker, RestartBroker: // are not of workers
	}
	return nil
}

// kill kills a worker, which comes back at once.
func (f *fleet) kill(ctx context.Context, w *worker, other bool) error {
	p := w.process
	w.process = nil // the watch of this process has nothing to do any more
	if err := p.kill(); err != nil {
		return err
	}
	f.counts.Kills++
	if other {
		w.name = f.newName()
	}
	return f.start(ctx, w)
}

// pause stops a worker for a while.
func (f *fleet) pause(ctx context.Context, w *worker, hold time.Duration) error {
	if err := w.process.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	w.stopped = true
	f.counts.Stops++
	at := len(f.paused)
	f.paused = append(f.paused, paused{name: w.name, from: time.Now()})
	f.busy.Go(func() {
		select {
		case <-time.After(hold):
		case <-ctx.Done():
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		w.stopped = false
		f.paused[at].to = time.Now()
		if err := w.process.signal(syscall.SIGCONT); err != nil {
			f.counts.Ended = append(f.counts.Ended, err.Error())
		}
	})
	return nil
}

// wakeTime is how long after a pause a worker may still go on with what it was at.
const wakeTime = 2 * time.Second

// zombie reports whether a worker was stopped at a time, or just before.
func (f *fleet) zombie(name string, at time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.paused, func(p paused) bool {
		return p.name == name && at.After(p.from) && (p.to.IsZero() || at.Before(p.to.Add(wakeTime)))
	})
}

// drain has a worker end in good order.
func (f *fleet) drain(ctx context.Context, w *worker) {
	f.mu.Lock()
	w.leaving = true
	p := w.process
	f.mu.Unlock()
	err := p.terminate(drainTimeout)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.Drains++
	if err != nil && ctx.Err() == nil {
		f.counts.Stubborn = append(f.counts.Stubborn, err.Error())
	}
	f.members = slices.DeleteFunc(f.members, func(other *worker) bool { return other == w })
}

// drainAll ends all workers in good order, once pauses and drains are over.
func (f *fleet) drainAll(ctx context.Context) {
	f.mu.Lock()
	members := slices.Clone(f.members)
	f.mu.Unlock()
	var wait sync.WaitGroup
	for _, w := range members {
		wait.Go(func() { f.drain(ctx, w) })
	}
	wait.Wait()
}

// dump has every worker write what its goroutines do into its log, which ends it.
func (f *fleet) dump() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.members {
		w.leaving = true
		if w.process.signal(syscall.SIGQUIT) == nil {
			<-w.process.done
		}
	}
}

// tally returns what was done so far.
func (f *fleet) tally() fleetCounts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}
