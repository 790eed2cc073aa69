//go:build integration

package integration

import (
	"context"

	"github.com/hierarchy-events/hierarchy/operation"
)

// report is what the stress run of the program says, as far as tests look at it.
type report struct {
	OK             bool     `json:"ok"`
	Problems       []string `json:"problems"`
	Submitted      int      `json:"submitted"`
	Completed      int      `json:"completed"`
	Rejected       int      `json:"rejected"`
	FailedAttempts int      `json:"failed_attempts"`
	Repeated       int      `json:"repeated"`
	Versions       int      `json:"versions"`
	Conflicts      int      `json:"conflicts_detected"`
	Latency        struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
}

// stress starts the program's own stress run in a container. It reads all events,
// compares them with what the store holds, and finds nothing amiss or fails.
func (s *site) stress(args ...string) *stress {
	s.t.Helper()
	return &stress{box: s.order(append([]string{"stress", "--json", "--settle", "90s", "--timeout", "60s"}, args...)...)}
}

// stress is a run on its way.
type stress struct{ *box }

// report waits for the end of a run.
func (r *stress) report() report {
	r.s.t.Helper()
	var got report
	lastJSON(r.s.t, r.result(), &got)
	r.s.say("%d submitted, %d completed, %d rejected, %d published again, %d versions; p50 %.0f ms, p99 %.0f ms",
		got.Submitted, got.Completed, got.Rejected, got.Repeated, got.Versions, got.Latency.P50, got.Latency.P99)
	if !got.OK || got.Submitted == 0 || got.Submitted != got.Completed+got.Rejected || got.Conflicts == 0 {
		r.s.t.Errorf("the stress run: %+v", got)
	}
	return got
}

// epochs returns how often partitions have been claimed, all together.
func (s *site) epochs() uint64 {
	s.t.Helper()
	var sum uint64
	await(s.t, "the fences to be readable", func(ctx context.Context) bool {
		fences, err := s.read.Fences(ctx)
		sum = 0
		for _, f := range fences {
			sum += f.Epoch
		}
		return err == nil && len(fences) > 0
	})
	return sum
}

// owners counts the partitions of each owner.
func (s *site) owners(ctx context.Context) (map[string]int, error) {
	fences, err := s.read.Fences(ctx)
	out := map[string]int{}
	for _, f := range fences {
		if f.Unclean() {
			out[f.Owner]++
		}
	}
	return out, err
}

// taken counts the operations that were taken so far.
func (s *site) taken(ctx context.Context) uint64 {
	fences, _ := s.read.Fences(ctx) // none are read while the broker is away
	var sum operation.Counts
	for _, f := range fences {
		sum.Submitted += f.Counts.Submitted
	}
	return sum.Submitted
}

// flows waits until n more operations have been taken.
func (s *site) flows(n uint64) {
	s.t.Helper()
	var before uint64
	await(s.t, "operations to be taken", func(ctx context.Context) bool {
		now := s.taken(ctx)
		if before == 0 {
			before = now
		}
		return now >= before+n && before > 0
	})
}

// audited proves the recorded streams.
func (s *site) audited() {
	s.t.Helper()
	s.settled()
	s.conserved()
}
