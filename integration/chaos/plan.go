package chaos

import (
	"iter"
	"math/rand/v2"
	"time"
)

// Plan says what happens to the processes of a run. It follows from its seed alone.
type Plan struct{ Seed uint64 }

// Act is something that is done to a process.
type Act string

// The acts. A worker that was killed or stopped comes back; broker faults follow one
// another, so that never more than one is down.
const (
	KillWorker    Act = "kill worker"
	StopWorker    Act = "stop worker" // SIGSTOP, and SIGCONT after the hold
	AddWorker     Act = "add worker"
	DrainWorker   Act = "drain worker" // SIGTERM
	KillBroker    Act = "kill broker"
	RestartBroker Act = "restart broker" // SIGTERM, and a start after the hold
)

// Fault is one act of a plan.
type Fault struct {
	After time.Duration // since the one before
	Act   Act
	Pick  int           // which process, modulo those there are
	Hold  time.Duration // how long it is away
	Other bool          // a killed worker comes back under another name
}

// How often what happens: 58 worker faults a minute, 44 of them kills, and a broker
// fault 17 s after the one before is mended, on average.
const (
	workerFaultMean = 1030 * time.Millisecond
	brokerFaultMean = 17 * time.Second

	minStop, maxStop = time.Second, 20 * time.Second
	maxDown          = 4 * time.Second // of a broker
)

// workerShares says how often each act is drawn, in percent.
var workerShares = []struct {
	act   Act
	share int
}{{KillWorker, 76}, {StopWorker, 10}, {AddWorker, 7}, {DrainWorker, 7}}

// Workers yields the faults of workers, without end.
func (p Plan) Workers() iter.Seq[Fault] {
	return func(yield func(Fault) bool) {
		r := rand.New(rand.NewPCG(p.Seed, 1)) //nolint:gosec // reproducible, not secret
		for {
			f := Fault{After: around(r, workerFaultMean), Act: drawAct(r), Pick: r.IntN(1 << 20), Other: r.IntN(2) == 0}
			if hold := between(r, minStop, maxStop); f.Act == StopWorker {
				f.Hold = hold
			}
			if !yield(f) {
				return
			}
		}
	}
}

// Brokers yields the faults of brokers, without end: as many kills as restarts, in pairs
// of one each.
func (p Plan) Brokers() iter.Seq[Fault] {
	return func(yield func(Fault) bool) {
		r := rand.New(rand.NewPCG(p.Seed, 2)) //nolint:gosec // reproducible, not secret
		for {
			pair := [...]Act{KillBroker, RestartBroker}
			r.Shuffle(len(pair), func(i, j int) { pair[i], pair[j] = pair[j], pair[i] })
			for _, act := range pair {
				f := Fault{After: around(r, brokerFaultMean), Act: act, Pick: r.IntN(1 << 20), Hold: between(r, 0, maxDown)}
				if !yield(f) {
					return
				}
			}
		}
	}
}

// around draws from a tenth of the mean to almost twice of it.
func around(r *rand.Rand, mean time.Duration) time.Duration {
	return between(r, mean/10, 2*mean-mean/10)
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

func drawAct(r *rand.Rand) Act {
	at := r.IntN(100)
	for _, s := range workerShares {
		if at -= s.share; at < 0 {
			return s.act
		}
	}
	return KillWorker
}
