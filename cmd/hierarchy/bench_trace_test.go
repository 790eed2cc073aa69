//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkTracing measures what traces cost: none, one operation in a hundred, all.
// Spans go to a receiver in the same process, which throws them away. cpu-us/op is the
// processor time of everything: publisher, follower, broker, worker, export.
func BenchmarkTracing(b *testing.B) {
	for _, c := range []struct{ name, ratio string }{{"off", ""}, {"ratio=.01", "0.01"}, {"ratio=1", "1"}} {
		b.Run(c.name, func(b *testing.B) {
			var received atomic.Int64
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				received.Add(n)
			}))
			defer receiver.Close()
			b.Setenv("NATS_URL", "")
			if c.ratio != "" {
				b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.URL)
				b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
				b.Setenv("OTEL_TRACES_SAMPLER_ARG", c.ratio)
			}
			var used time.Duration
			var operations, throughput float64
			for b.Loop() {
				before := processorTime(b)
				code, out := stressed(b.Context(), b, "stress", "--for", "5s", "--rate", "0", "--targets", "100",
					"--sync", "interval", "--audit=false", "--store-dir", b.TempDir(), "--json")
				used += processorTime(b) - before
				r := decodeReport(b, out)
				if code != exitDone || !r.OK {
					b.Fatalf("exit code %d, report:\n%s", code, out)
				}
				operations += float64(r.Submitted)
				throughput += r.Throughput
			}
			b.ReportMetric(float64(used.Microseconds())/operations, "cpu-us/op")
			b.ReportMetric(throughput/float64(b.N), "ops/s")
			b.ReportMetric(float64(received.Load())/operations, "sent-B/op")
		})
	}
}

// processorTime returns what this process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
