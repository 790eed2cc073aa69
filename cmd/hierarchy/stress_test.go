package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// stressed runs one command line to its end, or until ctx is done.
func stressed(ctx context.Context, tb testing.TB, args ...string) (code int, out string) {
	tb.Helper()
	var stdout bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &stdout, err: tb.Output()}
	root := newRoot(a)
	root.SetArgs(args)
	code = a.report(root.ExecuteContext(ctx))
	return code, stdout.String()
}

func decodeReport(tb testing.TB, out string) stressReport {
	tb.Helper()
	var r stressReport
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		tb.Fatalf("%v in:\n%s", err, out)
	}
	if decoder.More() {
		tb.Fatalf("more than one document in:\n%s", out)
	}
	return r
}

func TestStressAsFastAsItGoes(t *testing.T) {
	t.Setenv("NATS_URL", "")
	dir := t.TempDir()
	code, out := stressed(t.Context(), t, "stress", "--for", "2s", "--rate", "0", "--targets", "10",
		"--sync", "interval", "--store-dir", dir, "--json")
	r := decodeReport(t, out)
	if code != exitDone || !r.OK || r.Submitted < 100 || r.Submitted != r.Completed+r.Rejected {
		t.Errorf("exit code %d, report:\n%s", code, out)
	}
	if r.Versions != r.VersionsExpected || r.Versions <= 10 || r.Counters != r.CountersExpected || r.Counters == 0 {
		t.Errorf("%d versions, expected %d; counters %d, expected %d", r.Versions, r.VersionsExpected, r.Counters, r.CountersExpected)
	}
	if r.Latency.P50 <= 0 || r.Latency.P99 < r.Latency.P50 || r.MaxRSS <= 0 || r.Throughput <= 0 || r.EventsPerS < r.Throughput {
		t.Errorf("measured:\n%s", out)
	}
	wantKeys(t, out, "submitted", "completed", "rejected", "cancelled", "dead", "pending", "failed_attempts", "retries",
		"conflicts_detected", "conflicts_resolved", "winners_by_priority.low", "winners_by_priority.normal",
		"winners_by_priority.high", "winners_by_priority.critical", "versions", "versions_expected",
		"throughput_ops_per_s", "events_per_s", "resolution_ms.p50", "resolution_ms.p99", "latency_ms.p50",
		"latency_ms.p90", "latency_ms.p99", "max_rss_mb", "ok", "duration_s", "seed", "worker.executing_protections")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the run left %v (%v)", left, err)
	}
}

func TestStressEndsAtItsCount(t *testing.T) {
	t.Setenv("NATS_URL", "")
	code, out := stressed(t.Context(), t, "stress", "--count", "500", "--batch", "20", "--rate", "0", "--targets", "3",
		"--sync", "interval", "--store-dir", t.TempDir(), "--json")
	if r := decodeReport(t, out); code != exitDone || !r.OK || r.Submitted != 500 {
		t.Errorf("exit code %d, report:\n%s", code, out)
	}
}

func wantKeys(t *testing.T, out string, keys ...string) {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		outer, inner, nested := strings.Cut(key, ".")
		value, ok := document[outer]
		if object, isObject := value.(map[string]any); nested && isObject {
			_, ok = object[inner]
		}
		if !ok {
			t.Errorf("%s is missing in:\n%s", key, out)
		}
	}
}

// TestStressInterrupted ends a run of a minute after a moment.
func TestStressInterrupted(t *testing.T) {
	t.Setenv("NATS_URL", "")
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	code, out := stressed(ctx, t, "stress", "--sync", "interval", "--store-dir", t.TempDir())
	for _, want := range []string{"150 ops/s", "submitted", "ok: every operation ended exactly once"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestStressRefusesSenselessFlags(t *testing.T) {
	t.Setenv("NATS_URL", "")
	for _, flag := range []string{
		"--rate=-1", "--for=0s", "--count=-1", "--targets=0", "--in-flight=2", "--sync=never", "--workers=0",
		"--batch=8-3", "--priorities=urgent=1", "--types=create_entity=1", "more",
	} {
		if code, out := stressed(t.Context(), t, "stress", flag); code != exitUsage || out != "" {
			t.Errorf("%s: exit code %d, output %q", flag, code, out)
		}
	}
	if code, _ := stressed(t.Context(), t, "bench", "--server", "nats://127.0.0.1:1"); code != exitUsage {
		t.Errorf("bench with a server: exit code %d", code)
	}
}

// TestRunInterruptedWhileItStarts stops a worker that has not begun to work.
func TestRunInterruptedWhileItStarts(t *testing.T) {
	s := newService(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _ := stressed(ctx, t, "run", "--http", "off", "--server", "nats://"+s.listen); code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
}

// service is a broker and a worker of their own, which a stress run finds under one
// address however often they are started again.
type service struct {
	t      *testing.T
	folder string
	listen string
	stop   func()
}

func newService(t *testing.T) *service {
	t.Helper()
	var listener net.ListenConfig
	probe, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, folder: t.TempDir(), listen: probe.Addr().String(), stop: func() {}}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *service) start() {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.t.Output(), nil))
	b, err := startBroker(brokerConfig{listen: s.listen, store: s.folder, sync: syncInterval, log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	nc, err := client.Connect(b.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := ecsstore.Init(s.t.Context(), js, subjects.Space{}, ecsstore.DefaultSettings()); err != nil {
		s.t.Fatal(err)
	}
	worker, err := consumer.New(nc, consumer.DefaultConfig())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = worker.Run(ctx) // it may well find its connection closed
	}()
	s.stop = func() {
		nc.Close() // first: the worker gets no chance to finish anything
		cancel()
		<-done
		b.Stop()
	}
}

func TestStressSaysWhenNobodyWorks(t *testing.T) {
	s := natstest.Start(t)
	js := s.JetStream(t)
	if err := ecsstore.Init(t.Context(), js, subjects.Space{}, ecsstore.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	code, out := stressed(t.Context(), t, "stress", "--server", s.URL(), "--timeout", "300ms")
	if code != exitTimeout || out != "" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func TestBenchMeasures(t *testing.T) {
	t.Setenv("NATS_URL", "")
	code, out := stressed(t.Context(), t, "bench", "--for", "300ms", "--runs", "2", "--targets", "5", "--sync", "interval",
		"--store-dir", t.TempDir(), "--json")
	var r benchReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != exitDone || !r.OK || len(r.Stress.All) != 2 || r.Publish.Median <= 0 || r.Batch.Median <= 0 || r.Stress.Median <= 0 || r.Ratio <= 0 {
		t.Errorf("exit code %d, report:\n%s", code, out)
	}
}

func TestMeasurementMedian(t *testing.T) {
	var m measurement
	for i, want := range []float64{5, 3, 1} { // of 5; 5 1; 5 1 1
		m.add([]float64{5, 1, 1}[i])
		if m.Median != want {
			t.Errorf("the median of %v is %v, want %v", m.All, m.Median, want)
		}
	}
}

func TestStressProfiles(t *testing.T) {
	dir := t.TempDir()
	p := profiles{cpu: filepath.Join(dir, "cpu"), memory: filepath.Join(dir, "memory")}
	stop, err := p.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{p.cpu, p.memory} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("profile %s: %v, %v", file, info, err)
		}
	}
	if _, err := (&profiles{cpu: filepath.Join(dir, "no", "folder")}).start(); err == nil {
		t.Error("a profile in a folder that is not there was made")
	}
}
