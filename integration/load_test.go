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
	Seconds        float64  `json:"duration_s"`
	Latency        struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
}

// stress is a stress run of the program on its way. It follows every operation to its
// end, compares the events with what the store holds, and finds nothing amiss or fails.
type stress struct{ *box }

// stress starts a stress run in a container.
func (s *site) stress(args ...string) *stress {
	s.t.Helper()
	return &stress{box: s.order(append([]string{"stress", "--json", "--audit=false", "--settle", "90s", "--timeout", "60s"}, args...)...)}
}

// load starts a stress run that lasts until it is ended, and returns when operations
// flow.
func (s *site) load() *stress {
	s.t.Helper()
	r := s.stress("--rate", "150", "--targets", "20", "--for", "1h")
	s.flows(100)
	return r
}

// end ends a run that is under way and returns its report.
func (r *stress) end() report {
	r.s.t.Helper()
	r.do("kill", "-s", "INT")
	return r.report()
}

// report waits for the end of a run.
func (r *stress) report() report {
	r.s.t.Helper()
	var got report
	lastJSON(r.s.t, r.result(), &got)
	r.s.checks(got)
	return got
}

// checks fails the test if a report tells of anything but success.
func (s *site) checks(got report) {
	s.t.Helper()
	s.say("%d submitted in %.0f s, %d completed, %d rejected, %d published again, %d versions; p50 %.0f ms, p99 %.0f ms",
		got.Submitted, got.Seconds, got.Completed, got.Rejected, got.Repeated, got.Versions, got.Latency.P50, got.Latency.P99)
	if !got.OK || got.Submitted == 0 || got.Submitted != got.Completed+got.Rejected || got.Conflicts == 0 {
		s.t.Errorf("the stress run: %+v", got)
	}
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
	fences, err := s.read.Fences(ctx)
	if err != nil {
		return 0 // the broker is away
	}
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

// verdict is what the audit of the program says, as far as tests look at it.
type verdict struct {
	OK         bool     `json:"ok"`
	Violations []any    `json:"violations"`
	Incomplete []string `json:"incomplete"`
	Counts     struct {
		Operations int `json:"operations"`
		Messages   int `json:"messages"`
	} `json:"counts"`
}

// audited proves all that was recorded: by the program's audit, in a container, and by
// a count that shares no code with it. The flags tell the audit how the workers differ
// from the default.
func (s *site) audited(flags ...string) {
	s.t.Helper()
	s.settled()
	ended := s.conserved()
	var got verdict
	lastJSON(s.t, s.command(append([]string{"audit", "--json", "--timeout", "2m"}, flags...)...), &got)
	s.say("audit: ok %t, %d operations of %d messages, not checked: %q", got.OK, got.Counts.Operations, got.Counts.Messages, got.Incomplete)
	if !got.OK || got.Counts.Operations < ended {
		s.t.Errorf("the audit: %+v, of %d operations that have ended", got, ended)
	}
}
