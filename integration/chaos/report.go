package chaos

import (
	"encoding/json"
	"fmt"
	"time"
)

// Report says what a run did, what the system made of it, and what is wrong.
type Report struct {
	Seed uint64 `json:"seed"`
	For  string `json:"for"`

	Capacity float64 `json:"capacity_per_s"` // operations a second without faults, as fast as they came
	Rate     float64 `json:"rate_per_s"`     // of the load during the faults

	Acknowledged int     `json:"acknowledged"`
	Doubted      int     `json:"doubted"` // publishes of which nobody knew whether they were stored
	GivenUp      int     `json:"given_up"`
	Windows      int     `json:"windows"`
	Commits      int     `json:"commits"`
	PerSecond    float64 `json:"acknowledged_per_s"`

	WorkerKills    int `json:"worker_kills"`
	WorkerStops    int `json:"worker_stops"`
	WorkersAdded   int `json:"workers_added"`
	WorkersDrained int `json:"workers_drained"`
	BrokerKills    int `json:"broker_kills"`
	BrokerRestarts int `json:"broker_restarts"`

	Attempts      int  `json:"attempts"`       // parts of commits that were seen on their way
	Fenced        int  `json:"fenced"`         // of them by owners who had lost their partition: all refused
	FencedZombies int  `json:"fenced_zombies"` // of those by workers that had just been stopped
	Said          Said `json:"said"`           // by the workers themselves

	Reads         int `json:"reads"` // of registers, through the client
	Writes        int `json:"writes"`
	WritesLost    int `json:"writes_lost"` // in a conflict
	CallsRepeated int `json:"calls_repeated"`

	Audit Verdict `json:"audit"`

	SettleMS int64    `json:"settle_ms"` // from the last fault until nothing was left to do
	Problems []string `json:"problems"`
	Files    string   `json:"files"`
}

// problem notes what is wrong.
func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) String() string {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// The least that has to happen for a run to show anything, each minute of it.
const (
	leastKills   = 34.0
	leastBrokers = 1.0
	leastCommits = 300.0
	leastStops   = 1.0

	leastAccesses = 40.0 // of registers, of each kind

	leastOfRate = 0.5 // of the operations that were due, that many were acknowledged

	longRun = 5 * time.Minute // some things happen once in a minute or two, if at all
)

// vacuous notes where too little happened.
func (r *Report) vacuous(took time.Duration) {
	for _, c := range []struct {
		what  string
		seen  int
		least float64 // a minute
	}{
		{"worker kills", r.WorkerKills, leastKills},
		{"worker stops", r.WorkerStops, leastStops},
		{"broker faults", r.BrokerKills + r.BrokerRestarts, leastBrokers},
		{"commits", r.Commits, leastCommits},
		{"reads of registers", r.Reads, leastAccesses},
		{"writes of registers", r.Writes, leastAccesses},
		{"acknowledged operations", r.Acknowledged, leastOfRate * r.Rate * time.Minute.Seconds()},
	} {
		if least := int(c.least * took.Minutes()); c.seen < least {
			r.problem("this run shows too little: %d %s in %v, want %d", c.seen, c.what, took.Truncate(time.Second), least)
		}
	}
	for _, c := range []struct {
		what string
		seen int
		rare bool // wanted of long runs only
	}{
		{"commits of zombies", r.FencedZombies, true},
		{"publishes without a known end", r.Doubted, true},
		{"parts of commits without a known end", r.Said.Unknown, true},
		{"kills of brokers", r.BrokerKills, false},
		{"restarts of brokers", r.BrokerRestarts, false},
		{"drained workers", r.WorkersDrained, false},
		{"added workers", r.WorkersAdded, false},
	} {
		if c.seen == 0 && (!c.rare || took >= longRun) {
			r.problem("this run shows too little: no %s", c.what)
		}
	}
}
