package consumer

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A storm is a run of random operations and random harm, all drawn from a seed. Run one
// alone with
//
//	go test ./consumer -run Storms -storm.seed=17 -storm.injections=1
//
// The plan is the seed's; the order in which goroutines run at one instant is not, so
// that a storm that fails may have to be run several times. It lists what it did.
var (
	stormSeed       = flag.Uint64("storm.seed", 1, "the seed of the first storm")
	stormInjections = flag.Int("storm.injections", 200, "storms go on until so many workers have come to harm")
)

// TestR16_Storms kills workers, stops them for a while, and has them lose connections
// and replies, at random steps, while others compete with them for partitions. After
// each storm everything that is stored is checked, and after all of them that they did
// what they are for.
func TestR16_Storms(t *testing.T) {
	var all damage
	for seed := *stormSeed; len(all.sprung) < *stormInjections && !t.Failed(); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			bubble(t, func(w *world) {
				s := newStorm(w, seed)
				t.Cleanup(s.tell)
				s.rage()
				all.add(s.subside())
			})
		})
	}
	all.check(t, *stormInjections)
}

var harms = []harm{crash, pause, sever, stall}

// damage is what storms have done.
type damage struct {
	storms, operations, fenced, refused int
	sprung                              []sprung
}

func (d *damage) add(o damage) {
	d.storms += o.storms
	d.operations += o.operations
	d.fenced += o.fenced
	d.refused += o.refused
	d.sprung = append(d.sprung, o.sprung...)
}

// Injections of all kinds are to be expected only of so many.
const (
	manySteps = 150  // each step, each harm, workers fenced, commits refused
	manyKinds = 6000 // each harm at each step
)

// check checks that the storms did as much as they should, and prints it.
func (d *damage) check(t *testing.T, wanted int) {
	t.Helper()
	at, by, kinds := map[step]int{}, map[harm]int{}, map[sprung]int{}
	for _, s := range d.sprung {
		at[s.at]++
		by[s.do]++
		kinds[sprung{at: s.at, do: s.do}]++
	}
	t.Logf("%d injections in %d storms with %d operations; %d workers fenced, %d commits refused; %v %v",
		len(d.sprung), d.storms, d.operations, d.fenced, d.refused, by, at)
	if len(d.sprung) < wanted {
		t.Errorf("%d injections, want %d", len(d.sprung), wanted)
	}
	if wanted >= manySteps && (len(at) < len(steps) || len(by) < len(harms) || d.fenced == 0 || d.refused == 0) {
		t.Error("something was never hit")
	}
	if wanted >= manyKinds && len(kinds) < len(steps)*len(harms) {
		t.Errorf("%d kinds of injections, want %d", len(kinds), len(steps)*len(harms))
	}
}

// storm is one storm.
type storm struct {
	w     *world
	seed  uint64
	r     *rand.Rand // of the round
	crowd *crowd
	traps *traps
	prey  []*prey
}

func newStorm(w *world, seed uint64) *storm {
	w.cfg.RetryMax = time.Second
	s := &storm{w: w, seed: seed, crowd: newCrowd(w), traps: newTraps(w)}
	s.round(0)
	return s
}

// round begins a round. Each draws from a seed of its own: whatever a round has come
// to, the next one has the same plan.
func (s *storm) round(n uint64) {
	s.r = rand.New(rand.NewPCG(s.seed, n))
	s.crowd.r = rand.New(rand.NewPCG(^s.seed, n))
}

const (
	stormRounds  = 60
	stormTraps   = 4 // at a time: those at rare steps stay until somebody comes by
	stormWorkers = 3 // at most
)

// rage is the storm proper.
func (s *storm) rage() {
	for _, id := range s.crowd.entities {
		s.w.send(create(id))
	}
	s.start()
	for n := range stormRounds {
		s.round(uint64(n))
		s.traps.fill(stormTraps, s.trap(), s.trap())
		s.crowd.publish(s.r.IntN(12))
		after(time.Duration(1+s.r.IntN(20)) * time.Millisecond)
		s.crowd.publish(s.r.IntN(4))
		after(time.Duration(1+s.r.IntN(1000)) * time.Millisecond)
		s.man()
	}
}

func (s *storm) start() {
	own := newLab() // a worker that is stopped may have an attempt at work when the next owner repeats it
	s.prey = append(s.prey, s.traps.start(func(cfg *Config) { cfg.Slow, cfg.Systems = own.slow(), own.systems() }))
}

// man replaces workers that were killed, and has some leave or join.
func (s *storm) man() {
	s.prey = slices.DeleteFunc(s.prey, func(p *prey) bool { return !p.alive() })
	if len(s.prey) > 1 && s.r.IntN(6) == 0 {
		go s.prey[0].stop() // ends when the worker does
		s.prey = s.prey[1:]
	}
	for len(s.prey) == 0 || len(s.prey) < stormWorkers && s.r.IntN(2) == 0 {
		s.start()
	}
}

// trap returns a trap at a random step.
func (s *storm) trap() trap {
	t := trap{at: steps[s.r.IntN(len(steps))], nth: 1 + s.r.IntN(3), do: crash, share: s.r.Float64()}
	switch s.r.IntN(6) {
	case 0:
		t.do, t.pause = pause, time.Duration(1+s.r.IntN(20_000))*time.Millisecond
	case 1:
		t.do, t.pause = stall, time.Duration(1+s.r.IntN(10_000))*time.Millisecond
	case 2:
		t.do = sever
	}
	return t
}

// subside ends the storm: it lets everything come to an end and checks what is left.
func (s *storm) subside() damage {
	s.w.t.Helper()
	s.traps.clear()
	s.start()
	after(time.Minute)
	for id, r := range s.w.records() {
		s.w.t.Errorf("%s is still %s", s.w.name(id), r.Status)
	}
	d := damage{storms: 1, operations: len(s.crowd.ops), sprung: s.traps.sprung}
	for _, c := range s.w.crews {
		stats := c.Stats()
		d.fenced += stats.Fenced
		d.refused += stats.Refusals["refused"]
	}
	return d
}

// tell lists what a storm has done that came out wrong.
func (s *storm) tell() {
	if !s.w.t.Failed() {
		return
	}
	var out strings.Builder
	for _, e := range s.traps.sprung {
		fmt.Fprintf(&out, "\n%v: %s of %s %s", e.when, e.do, e.who, e.at)
	}
	s.w.t.Log(out.String())
}
