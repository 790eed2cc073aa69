package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hierarchy-events/hierarchy/client"
)

// Throughput is what a cluster and some workers make of the mix of hierarchy stress.
type Throughput struct {
	PerSecond float64 // outcomes
	P50       float64 // of an operation's latency, in milliseconds

	// Processor time, in processors on average: 2 is all that a machine with two has.
	Brokers, Work, Stress float64

	Commits    float64 // stored each second
	PerCommit  float64 // messages
	RefusedFor float64 // commits that were refused for each that was stored
}

// Throughput measures a cluster of three servers and workers that are processes of
// their own, as fast as it goes. Stress checks what it has done: a run that does not
// add up is an error.
func (r *Run) Throughput(ctx context.Context, workers int) (Throughput, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scenario{Run: r, report: &Report{}}
	defer s.close()
	logs := filepath.Join(s.Folder, fmt.Sprintf("%s-%d-%d", s.Sync, s.Targets, workers))
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return Throughput{}, fmt.Errorf("making a folder for logs: %w", err)
	}
	l := newLauncher(ctx)
	var err error
	if s.brokers, err = startBrokers(ctx, l, s.Programs.Server, s.Shipped, s.Sync, logs, logs); err != nil {
		return Throughput{}, err
	}
	if s.nc, err = client.Connect(s.brokers.url()); err != nil {
		return Throughput{}, err
	}
	if err := s.makeStreams(ctx); err != nil {
		return Throughput{}, err
	}
	s.fleet = newFleet(l, s.Programs.Hierarchy, logs, []string{"--server", s.brokers.url(), "--http", "127.0.0.1:0"}, s.Log)
	for range workers {
		if err := s.fleet.add(ctx); err != nil {
			return Throughput{}, err
		}
	}
	return s.stress(ctx)
}

// stress runs hierarchy stress and reads the clocks of all processes.
func (s *scenario) stress(ctx context.Context) (Throughput, error) {
	const warm = 5 * time.Second // workers share the partitions, stores have their first blocks
	if _, err := s.stressed(ctx, warm); err != nil {
		return Throughput{}, err
	}
	brokers, work, err := s.processorTimes()
	if err != nil {
		return Throughput{}, err
	}
	before, err := s.fleet.commits(ctx)
	if err != nil {
		return Throughput{}, err
	}
	began := time.Now()
	t, err := s.stressed(ctx, s.For)
	if err != nil {
		return Throughput{}, err
	}
	elapsed := time.Since(began)
	brokersEnd, workEnd, err := s.processorTimes()
	if err != nil {
		return Throughput{}, err
	}
	after, err := s.fleet.commits(ctx)
	made := after.minus(before)
	t.Commits, t.PerCommit, t.RefusedFor = made.stored/elapsed.Seconds(), made.messages/made.stored, made.refused/made.stored
	t.Brokers, t.Work, t.Stress = share(brokersEnd-brokers, elapsed), share(workEnd-work, elapsed), t.Stress/elapsed.Seconds()
	return t, err
}

func share(used, elapsed time.Duration) float64 { return used.Seconds() / elapsed.Seconds() }

// stressed runs hierarchy stress once. Stress of what it returns is in seconds.
func (s *scenario) stressed(ctx context.Context, long time.Duration) (Throughput, error) {
	cmd := exec.CommandContext(ctx, s.Programs.Hierarchy, "stress", "--server", s.brokers.url(), "--rate", "0",
		"--targets", strconv.Itoa(s.Targets), "--for", long.String(), "--audit=false", "--json")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return Throughput{}, fmt.Errorf("hierarchy stress: %w\n%s%s", err, said.Bytes(), out.Bytes())
	}
	var report struct {
		PerSecond float64 `json:"throughput_ops_per_s"`
		Latency   struct {
			P50 float64 `json:"p50"`
		} `json:"latency_ms"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return Throughput{}, fmt.Errorf("reading what hierarchy stress says: %w", err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return Throughput{PerSecond: report.PerSecond, P50: report.Latency.P50, Stress: used.Seconds()}, nil
}

// processorTimes returns how much time all brokers, and all workers, have used.
func (s *scenario) processorTimes() (brokers, work time.Duration, err error) {
	for _, b := range s.brokers.all {
		used, err := b.process.used()
		if err != nil {
			return 0, 0, err
		}
		brokers += used
	}
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	for _, w := range s.fleet.members {
		used, err := w.process.used()
		if err != nil {
			return 0, 0, err
		}
		work += used
	}
	return brokers, work, nil
}

// tick is the unit of /proc/<pid>/stat on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// used returns how much processor time a process has used until now.
func (p *process) used() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the clock of %s: %w", p.name, err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name before may hold anything
	const user, system = 11, 12                    // counted from there: see proc(5)
	fields := strings.Fields(after)
	var sum time.Duration
	for _, i := range []int{user, system} {
		if i >= len(fields) {
			return 0, fmt.Errorf("reading the clock of %s: %q", p.name, text)
		}
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the clock of %s: %w", p.name, err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}
