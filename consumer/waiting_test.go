package consumer

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR12_TenThousandWait has one worker wait for the retries of 10,000 operations at a
// time. It takes no goroutine for any of them and no more memory the longer they wait,
// and each is repeated when its event said.
func TestR12_TenThousandWait(t *testing.T) {
	bubble(t, func(w *world) {
		w.ready(func(cfg *Config) { cfg.RetryBase, cfg.RetryMax = time.Minute, time.Minute })
		goroutines, before := footprint()
		const n = 10_000
		ops := make([]operation.Operation, n)
		for i := range ops { // nobody has made the entities: that may yet come
			ops[i] = retries(1, modify(w.entity(fmt.Sprintf("valve-%d", i)), operation.Normal, "1"))
		}
		w.pour(ops)
		after(20 * time.Second)
		if got := len(w.records()); got != n {
			t.Fatalf("%d operations wait, want %d", got, n)
		}
		more, first := footprint()
		after(20 * time.Second)
		_, second := footprint()
		if more > goroutines+n/100 {
			t.Errorf("%d goroutines, and %d before there was anything to wait for", more, goroutines)
		}
		if each := (first - before) / n; each > 20_000 {
			t.Errorf("an operation that waits takes %d bytes of broker, test and worker", each)
		}
		if second > first+first/10 {
			t.Errorf("%d bytes after 20 s, %d after 40 s", first, second)
		}
		after(2 * time.Minute)
		w.wantPunctual(n)
		w.wants(string(operation.MaxRetriesExceeded), ops...)
	})
}

// footprint returns the number of goroutines and the bytes in use.
func footprint() (goroutines int, bytes uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}

// wantPunctual checks that so many retries began within 10 % of the delay that their
// events announced.
func (w *world) wantPunctual(n int) {
	w.t.Helper()
	announced, worst, seen := map[uuid.UUID]told{}, 0.0, 0
	for _, e := range w.events() {
		switch e.kind { //nolint:exhaustive // the others have nothing to do with it
		case operation.RetryEvent:
			announced[e.detail.OpID] = e
		case operation.StartedEvent:
			if retry, ok := announced[e.detail.OpID]; ok {
				took := float64(e.Time.Sub(retry.Time)) / float64(time.Millisecond)
				worst = max(worst, math.Abs(took/retry.detail.BackoffMS-1))
				seen++
			}
		}
	}
	w.t.Logf("%d retries, the latest %.2f %% off", seen, 100*worst)
	if seen != n || worst > 0.1 {
		w.t.Errorf("%d retries up to %.1f %% off, want %d within 10 %%", seen, 100*worst, n)
	}
}
