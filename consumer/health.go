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

// How long something may be wrong before a worker is no longer ready: long enough
// for a partition to change hands and for a broker to elect a leader.
const (
	ownerlessTimeout = 5 * time.Second
	stuckTimeout     = 10 * time.Second
)

// health is what the parts of a worker report of themselves.
type health struct {
	mu        sync.Mutex        // guards all
	pulse     time.Time         // of the engine
	oldest    time.Time         // when the oldest operation that is staged was staged; zero if none is
	ownerless map[int]time.Time // partitions that nobody alive owns, since when
	looked    time.Time         // when owners were last looked at
}

// beat is called by the engine whenever it goes round.
func (h *health) beat(now, oldest time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulse, h.oldest = now, oldest
}

// owners is called with the fences of all partitions and who is alive.
func (h *health) owners(fences []operation.Fence, alive func(string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.looked = now
	for _, f := range fences {
		if f.Unclean() && alive(f.Owner) {
			delete(h.ownerless, f.Partition)
		} else if _, known := h.ownerless[f.Partition]; !known {
			h.ownerless[f.Partition] = now
		}
	}
}

// Ready returns the checks of a worker that should be sent work: it is connected,
// every partition has an owner that is alive, none is halted, and windows close.
func (w *Worker) Ready() []Check {
	return []Check{w.checkBroker(), w.checkOwners(), w.checkHalted(), w.checkWindows()}
}

func (w *Worker) checkBroker() Check {
	c := Check{Name: "broker", OK: w.nc.Status() == nats.CONNECTED}
	c.Detail = fmt.Sprintf("connection is %s", strings.ToLower(w.nc.Status().String()))
	return c
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
		return Check{Name: "owners", Detail: "partitions were not looked at yet"}
	case len(without) > 0:
		return Check{Name: "owners", Detail: fmt.Sprintf("partitions %v have no owner that is alive", without)}
	case now.Sub(w.health.looked) > stuckTimeout:
		return Check{Name: "owners", Detail: fmt.Sprintf("owners were last seen %v ago", now.Sub(w.health.looked).Truncate(time.Second))}
	}
	return Check{Name: "owners", OK: true, Detail: "every partition has an owner"}
}

func (w *Worker) checkHalted() Check {
	partitions := w.Stats().Partitions
	for _, p := range slices.Sorted(maps.Keys(partitions)) {
		if why := partitions[p].Halted; why != "" {
			return Check{Name: "streams", Detail: why}
		}
	}
	return Check{Name: "streams", OK: true, Detail: "no partition is halted"}
}

func (w *Worker) checkWindows() Check {
	w.health.mu.Lock()
	defer w.health.mu.Unlock()
	now := time.Now()
	switch stuck := now.Add(-stuckTimeout); {
	case w.health.pulse.IsZero():
		return Check{Name: "windows", Detail: "the engine has not started"}
	case w.health.pulse.Before(stuck):
		return Check{Name: "windows", Detail: fmt.Sprintf("the engine was last seen %v ago", now.Sub(w.health.pulse).Truncate(time.Second))}
	case !w.health.oldest.IsZero() && w.health.oldest.Before(stuck):
		return Check{Name: "windows", Detail: fmt.Sprintf("a window has been open for %v", now.Sub(w.health.oldest).Truncate(time.Second))}
	}
	return Check{Name: "windows", OK: true, Detail: "windows close"}
}
