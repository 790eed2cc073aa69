package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// step is a place on the way of an operation or of a partition where a worker may
// come to harm. There is no trace of steps in the code under test: a worker passes
// them where it calls its store, and on its line to the broker.
type step string

const (
	beforeClaim   step = "before claim"
	afterClaim    step = "after claim"   // the fence is written
	beforeRead    step = "before read"   // of the operations of a partition
	afterRead     step = "after read"    // operations are staged
	beforeLoad    step = "before load"   // of heads and parents
	afterResolve  step = "after resolve" // nothing of the commit is sent
	midBatch      step = "mid batch"     // some of its messages are
	beforeStored  step = "before stored" // all but the last of its messages are
	afterStored   step = "after stored"  // all is stored, the reply is lost
	afterRefused  step = "after refused" // a condition did not hold, the worker knows
	afterCommit   step = "after commit"  // the worker knows that it is stored
	whileSlow     step = "while slow"    // a slow system runs
	whileWaiting  step = "while waiting" // for a retry
	beforeRelease step = "before release"
	afterRelease  step = "after release"
)

var steps = []step{
	beforeClaim, afterClaim, beforeRead, afterRead, beforeLoad, afterResolve, midBatch, beforeStored,
	afterStored, afterRefused, afterCommit, whileSlow, whileWaiting, beforeRelease, afterRelease,
}

// harm is what happens to a worker.
type harm string

const (
	crash harm = "crash" // its process is gone, like after kill -9
	pause harm = "pause" // nothing of it moves for a while
	sever harm = "sever" // its connection is lost; it dials again
	stall harm = "stall" // the broker is out of reach for a while
)

// trap does harm to the worker that passes a step for the nth time.
type trap struct {
	at    step
	nth   int
	do    harm
	pause time.Duration
	share float64 // of the messages of a commit that are sent, for midBatch
}

// traps are in the way of all workers that were started with them.
type traps struct {
	w *world

	mu     sync.Mutex // guards what follows
	armed  []trap
	sprung []sprung
}

// sprung tells of harm that was done.
type sprung struct {
	at   step
	do   harm
	who  string
	when time.Duration // since the world began
}

func newTraps(w *world) *traps { return &traps{w: w} }

// set arms a trap.
func (t *traps) set(armed ...trap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = append(t.armed, armed...)
}

// fill arms more traps as long as fewer than so many are.
func (t *traps) fill(most int, more ...trap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = append(t.armed, more[:max(0, min(len(more), most-len(t.armed)))]...)
}

// clear takes all traps away.
func (t *traps) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = nil
}

// pass counts a worker past a step and returns the trap it steps on, if any.
func (t *traps) pass(who string, at step) (trap, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.armed {
		if t.armed[i].at != at {
			continue
		}
		if t.armed[i].nth--; t.armed[i].nth > 0 {
			continue
		}
		found := t.armed[i]
		t.armed = append(t.armed[:i:i], t.armed[i+1:]...)
		t.sprung = append(t.sprung, sprung{at, found.do, who, time.Since(t.w.zero)})
		return found, true
	}
	return trap{}, false
}

// prey is a worker with traps in its way.
type prey struct {
	*crew
	name    string
	nc      *nats.Conn
	line    *natstest.Line
	traps   *traps
	started chan struct{} // closed when crew is set

	mu     sync.Mutex // guards killed
	killed bool
}

// start starts a worker with the traps in its way.
func (t *traps) start(change ...func(*Config)) *prey {
	t.w.t.Helper()
	p := &prey{name: fmt.Sprintf("w%d", len(t.w.crews)+1), line: t.w.s.Line(), traps: t, started: make(chan struct{})}
	silent := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	p.nc = t.w.s.Connect(t.w.t, p.line.Over(), silent)
	p.line.Out("$JS.API.CONSUMER.CREATE."+t.w.space.OpsStream(), func() { p.pass(beforeRead) })
	p.line.In("MSG "+t.w.space.Prefix()+".partition.", func() { // plain or with headers
		time.AfterFunc(time.Millisecond, func() { p.pass(afterRead) })
	})
	change = append(change, func(cfg *Config) { cfg.Slow = p.slow(cfg.Slow) })
	p.crew = t.w.startOn(p.nc, func(s streams) streams { return &trapped{streams: s, prey: p} }, change...)
	close(p.started)
	return p
}

// alive reports whether the worker has not been killed.
func (p *prey) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.killed
}

// pass takes the worker past a step. It reports whether the worker is still alive
// and well.
func (p *prey) pass(at step) bool {
	if !p.alive() {
		return false
	}
	found, ok := p.traps.pass(p.name, at)
	if !ok {
		return true
	}
	return p.suffer(found)
}

// suffer does harm to the worker.
func (p *prey) suffer(t trap) bool {
	switch t.do {
	case crash:
		p.crash()
		return false
	case sever:
		p.line.Drop()
	case stall:
		p.line.Hold(t.pause)
	case pause:
		p.line.Hold(t.pause)
		<-time.After(t.pause)
	}
	return true
}

// crash is kill -9: from here on the broker hears nothing of the worker.
func (p *prey) crash() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.line.Cut()
	go func() { // ends at once
		<-p.started
		p.kill()
	}()
}

// slow puts the step whileSlow into slow systems.
func (p *prey) slow(systems map[operation.Type]ecsstore.SlowSystem) map[operation.Type]ecsstore.SlowSystem {
	out := map[operation.Type]ecsstore.SlowSystem{}
	for name, system := range systems {
		out[name] = ecsstore.SlowFunc(func(ctx context.Context, task ecsstore.Task) (ecsstore.Patch, error) {
			time.AfterFunc(time.Millisecond, func() {
				if ctx.Err() == nil {
					p.pass(whileSlow)
				}
			})
			return system.Run(ctx, task)
		})
	}
	return out
}

// trapped is the store of a worker with traps in its way.
type trapped struct {
	streams
	prey *prey
}

// errKilled is what a killed worker still gets to hear: it cannot do harm any more.
var errKilled = fmt.Errorf("%w: the worker was killed", ecsstore.ErrUnknown)

// Claim implements [Store].
func (s *trapped) Claim(ctx context.Context, partition int, owner string, epoch uint64) (ecsstore.Claim, error) {
	if !s.prey.pass(beforeClaim) {
		return ecsstore.Claim{}, errKilled
	}
	c, err := s.streams.Claim(fresh(ctx), partition, owner, epoch)
	if err == nil && !s.prey.pass(afterClaim) {
		return ecsstore.Claim{}, errKilled
	}
	return c, err
}

// Release implements [Store].
func (s *trapped) Release(ctx context.Context, held ...ecsstore.Held) error {
	if !s.prey.pass(beforeRelease) {
		return errKilled
	}
	err := s.streams.Release(fresh(ctx), held...)
	if !s.prey.pass(afterRelease) {
		return errKilled
	}
	return err
}

// Load implements [Store].
func (s *trapped) Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]ecsstore.Head, error) {
	if !s.prey.pass(beforeLoad) {
		return nil, errKilled
	}
	return s.streams.Load(fresh(ctx), ids)
}

// Commit implements [Store].
func (s *trapped) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	if !s.prey.pass(afterResolve) {
		return ecsstore.Receipt{}, errKilled
	}
	if found, ok := s.prey.traps.pass(s.prey.name, afterRefused); ok {
		return s.refused(fresh(ctx), b, found)
	}
	defer s.wire(b)()
	receipt, err := s.streams.Commit(fresh(ctx), b)
	if err != nil {
		return receipt, err
	}
	if !s.prey.pass(afterCommit) {
		return ecsstore.Receipt{}, errKilled
	}
	s.wait(b)
	return receipt, nil
}

// refused has the broker refuse the batch: it goes out with a fence that has moved on.
func (s *trapped) refused(ctx context.Context, b *ecsstore.Batch, found trap) (ecsstore.Receipt, error) {
	expect := &b.Parts[0].Expect
	*expect++
	receipt, err := s.streams.Commit(ctx, b)
	*expect--
	if !s.prey.suffer(found) {
		return ecsstore.Receipt{}, errKilled
	}
	return receipt, err
}

// wire puts traps on the line that the batch takes, and returns what removes them.
func (s *trapped) wire(b *ecsstore.Batch) (remove func()) {
	line := s.prey.line
	messages := len(b.Writes)
	for i := range b.Parts {
		messages += b.Parts[i].Size()
	}
	var taps []*natstest.Tap
	if found, ok := s.prey.traps.pass(s.prey.name, midBatch); ok {
		nth := 2 + int(found.share*float64(messages-2))
		taps = append(taps, line.Out(fmt.Sprintf("Nats-Batch-Sequence: %d\r\n", nth), func() { s.prey.suffer(found) }))
	}
	if found, ok := s.prey.traps.pass(s.prey.name, beforeStored); ok {
		taps = append(taps, line.Out("Nats-Batch-Commit: 1", func() { s.prey.suffer(found) }))
	}
	if found, ok := s.prey.traps.pass(s.prey.name, afterStored); ok {
		taps = append(taps, line.In(`"batch":"`+b.ID, func() { s.prey.suffer(found) }))
	}
	return func() {
		for _, tap := range taps {
			line.Remove(tap)
		}
	}
}

// wait passes the step whileWaiting half-way through each delay the batch announces.
func (s *trapped) wait(b *ecsstore.Batch) {
	for i := range b.Parts {
		for _, r := range b.Parts[i].Records {
			if delay := time.Until(r.Due); r.Status == operation.Pending && delay > 0 {
				time.AfterFunc(delay/2, func() { s.prey.pass(whileWaiting) })
			}
		}
	}
}

// fresh renews the time of a call that has run out of it: a process that is stopped
// does not see time pass, and sends what it was about to send.
func fresh(ctx context.Context) context.Context {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	time.AfterFunc(storeTimeout, cancel)
	return ctx
}
