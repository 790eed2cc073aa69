package consumer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
)

// Check is one thing that must hold for a worker to be ready.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// The names of the checks.
const (
	CheckBroker  = "broker"
	CheckOwners  = "owners"
	CheckStreams = "streams"
	CheckWindows = "windows"
	CheckRunning = "running"
)

// How long something may be wrong before a worker is no longer ready: long enough
// for a partition to change hands and for a broker to elect a leader.
const (
	ownerlessTimeout = 5 * time.Second
	stuckTimeout     = 10 * time.Second
	restTimeout      = time.Second
)

// health is what the parts of a worker report of themselves.
type health struct {
	mu        sync.Mutex        // guards all
	pulse     time.Time         // of the engine
	begun     time.Time         // since when there is something to commit and nothing was; zero if there is not
	rested    time.Time         // since when there has been nothing to commit; zero if there is
	ownerless map[int]time.Time // partitions that nobody alive owns, since when
	looked    time.Time         // when owners were last looked at
	stopping  bool
	waits     string // for a change of the number of partitions
}

// beat is called by the engine whenever it goes round, with whether there is
// something to commit. A moment without, as between losing a partition and claiming
// it again, is no rest: a commit that fails over and over is to be seen as one.
func (h *health) beat(now time.Time, busy bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulse = now
	switch {
	case busy:
		h.rested = time.Time{}
		if h.begun.IsZero() {
			h.begun = now
		}
	case h.rested.IsZero():
		h.rested = now
	case now.Sub(h.rested) >= restTimeout:
		h.begun = time.Time{}
	}
}

// committed is called by the engine when something was stored.
func (h *health) committed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun = time.Time{}
}

// owners is called with the fences of all partitions and who is alive.
func (h *health) owners(fences []operation.Fence, alive func(string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, since := time.Now(), time.Time{}
	if !h.looked.IsZero() { // what had no owner when we came has had none for long
		since = now
	}
	h.looked = now
	for _, f := range fences {
		if f.Unclean() && alive(f.Owner) {
			delete(h.ownerless, f.Partition)
		} else if _, known := h.ownerless[f.Partition]; !known {
			h.ownerless[f.Partition] = since
		}
	}
}

func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// Ready returns the checks of a worker that should be sent work: it is connected,
// every partition has an owner that is alive, none is halted, windows close, and it
// is not about to stop.
func (w *Worker) Ready() []Check {
	return []Check{w.checkBroker(), w.checkOwners(), w.checkHalted(), w.checkWindows(), w.checkRunning()}
}

// Live returns the check of a worker that should not be restarted: its engine goes
// round. A broker that is gone does not change that.
func (w *Worker) Live() Check {
	w.health.mu.Lock()
	defer w.health.mu.Unlock()
	switch age := time.Since(w.health.pulse); {
	case w.health.pulse.IsZero():
		return Check{Name: "engine", OK: true, Detail: "the engine has not started yet"}
	case age > stuckTimeout:
		return Check{Name: "engine", Detail: fmt.Sprintf("the engine was last seen %v ago", age.Truncate(time.Second))}
	}
	return Check{Name: "engine", OK: true, Detail: "the engine goes round"}
}

func (w *Worker) checkRunning() Check {
	w.health.mu.Lock()
	defer w.health.mu.Unlock()
	if w.health.stopping {
		return Check{Name: CheckRunning, Detail: "the worker is about to stop"}
	}
	return Check{Name: CheckRunning, OK: true, Detail: "the worker is not about to stop"}
}

// statusTimeout bounds how long the connection may take to say how it is: it does not
// answer while it tries to reach a broker, which may be for seconds.
const statusTimeout = 500 * time.Millisecond

func (w *Worker) checkBroker() Check {
	answer := make(chan nats.Status, 1)
	go func() { answer <- w.nc.Status() }() // ends when the attempt to connect does
	select {
	case status := <-answer:
		return Check{
			Name: CheckBroker, OK: status == nats.CONNECTED,
			Detail: fmt.Sprintf("connection is %s", strings.ToLower(status.String())),
		}
	case <-time.After(statusTimeout):
		return Check{Name: CheckBroker, Detail: "connection is being made"}
	}
}

func (w *Worker) checkOwners() Check {
	w.health.mu.Lock()
	defer w.health.mu.Unlock()
	now := time.Now()
	var without []int
	for p, since := range w.health.ownerless {
		if now.Sub(since) > ownerlessTimeout {
			without = append(without, p)
		}
	}
	slices.Sort(without)
	switch {
	case w.health.looked.IsZero():
		return Check{Name: CheckOwners, Detail: "partitions were not looked at yet"}
	case len(without) > 0:
		return Check{Name: CheckOwners, Detail: fmt.Sprintf("partitions %v have no owner that is alive", without)}
	case now.Sub(w.health.looked) > stuckTimeout:
		return Check{Name: CheckOwners, Detail: fmt.Sprintf("owners were last seen %v ago", now.Sub(w.health.looked).Truncate(time.Second))}
	}
	return Check{Name: CheckOwners, OK: true, Detail: "every partition has an owner"}
}

func (w *Worker) checkHalted() Check {
	w.health.mu.Lock()
	waits := w.health.waits
	w.health.mu.Unlock()
	if waits != "" {
		return Check{Name: CheckStreams, Detail: waits}
	}
	partitions := w.Stats().Partitions
	for _, p := range slices.Sorted(maps.Keys(partitions)) {
		if why := partitions[p].Halted; why != "" {
			return Check{Name: CheckStreams, Detail: why}
		}
	}
	return Check{Name: CheckStreams, OK: true, Detail: "no partition is halted"}
}

func (w *Worker) checkWindows() Check {
	w.health.mu.Lock()
	defer w.health.mu.Unlock()
	now := time.Now()
	switch stuck := now.Add(-stuckTimeout); {
	case w.health.pulse.IsZero():
		return Check{Name: CheckWindows, Detail: "the engine has not started"}
	case w.health.pulse.Before(stuck):
		return Check{Name: CheckWindows, Detail: fmt.Sprintf("the engine was last seen %v ago", now.Sub(w.health.pulse).Truncate(time.Second))}
	case !w.health.begun.IsZero() && w.health.begun.Before(stuck):
		return Check{Name: CheckWindows, Detail: fmt.Sprintf("a window is stuck: nothing could be committed for %v", now.Sub(w.health.begun).Truncate(time.Second))}
	}
	return Check{Name: CheckWindows, OK: true, Detail: "windows close"}
}
