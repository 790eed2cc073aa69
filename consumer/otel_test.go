package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// meter has a worker's figures collected.
func meter() (*sdkmetric.ManualReader, func(*Config)) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	return reader, func(cfg *Config) { cfg.Meter = provider }
}

// figures tells every figure in a line, in order. Of a histogram it tells how much
// was measured: in virtual time nothing takes any.
func figures(t *testing.T, reader *sdkmetric.ManualReader) string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	add := func(name string, of attribute.Set, value any) {
		lines = append(lines, fmt.Sprintf("%s{%s} %v\n", name, of.Encoded(attribute.DefaultEncoder()), value))
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				add(m.Name, p.Attributes, p.Value)
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				add(m.Name, p.Attributes, p.Value)
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				add(m.Name, p.Attributes, p.Value)
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				add(m.Name, p.Attributes, fmt.Sprintf("of %d", p.Count))
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				add(m.Name, p.Attributes, fmt.Sprintf("of %d", p.Count))
			}
		default:
			t.Errorf("%s is of a kind that is not told: %T", m.Name, m.Data)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// moody is a store whose calls fail as a test says, each once.
type moody struct {
	streams
	mu     sync.Mutex // guards what follows
	commit []error
	claim  error
}

func (m *moody) wrap(healthy streams) streams {
	m.streams = healthy
	return m
}

func (m *moody) fail(claim error, commits ...error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claim, m.commit = claim, commits
}

func (m *moody) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	m.mu.Lock()
	var err error
	if len(m.commit) > 0 {
		err, m.commit = m.commit[0], m.commit[1:]
	}
	m.mu.Unlock()
	if err != nil {
		return ecsstore.Receipt{}, err
	}
	return m.streams.Commit(ctx, b)
}

func (m *moody) Claim(ctx context.Context, partition int, owner string, epoch uint64) (ecsstore.Claim, error) {
	m.mu.Lock()
	err := m.claim
	m.claim = nil
	m.mu.Unlock()
	if err != nil {
		return ecsstore.Claim{}, err
	}
	return m.streams.Claim(ctx, partition, owner, epoch)
}

// TestEveryFigureIsFed lets everything happen that a worker counts. The golden file
// shows every figure there is; none may be nothing throughout.
func TestEveryFigureIsFed(t *testing.T) {
	bubble(t, func(w *world) {
		reader, metered := meter()
		m := &moody{}
		w.wrap = m.wrap
		w.ready(metered, func(cfg *Config) { cfg.RetryBase = time.Second })
		ids := w.made("valve-1", "valve-2", "valve-3", "valve-4")
		w.eventful(ids)
		m.fail(ecsstore.ErrLost, ecsstore.ErrRefused, ecsstore.ErrBusy, ecsstore.ErrTooLarge, ecsstore.ErrUnknown)
		w.submit(modify(ids[3], operation.High, "1"))
		after(5 * time.Second)
		running, waiting := slow(ids[0], operation.Normal, script{Take: "1m"}), modify(ids[0], operation.Low, "1")
		w.submit(running)
		after(100 * time.Millisecond)
		w.submit(waiting, carry(modify(ids[0], operation.Low, "2")))
		after(10 * time.Second)
		got := figures(w.t, reader)
		w.compare("figures", got)
		for line := range strings.Lines(got) {
			if strings.HasSuffix(line, " 0\n") && !strings.HasPrefix(line, "hierarchy.partition") {
				t.Errorf("nothing of it happened: %s", line)
			}
		}
		after(2 * time.Minute)
	})
}

func TestTheLagIsWhatIsNotDecided(t *testing.T) {
	bubble(t, func(w *world) {
		reader, metered := meter()
		s := &sick{}
		s.unclaimable.Store(-1)
		w.wrap = s.wrap
		w.ready(metered)
		ids := w.made("valve-1", "valve-2")
		s.stuck.Store(true)
		w.submit(modify(ids[0], operation.Low, "1"), modify(ids[0], operation.Low, "2"), modify(ids[1], operation.Low, "1"))
		after(3 * time.Second)
		var lags []string
		for line := range strings.Lines(figures(w.t, reader)) {
			if strings.Contains(line, "partition.lag") || strings.Contains(line, "oldest_age") {
				lags = append(lags, line)
			}
		}
		w.compare("lag", strings.Join(lags, ""))
		s.stuck.Store(false)
		after(10 * time.Second)
	})
}

// eventful has operations end in every way.
func (w *world) eventful(ids []uuid.UUID) {
	w.t.Helper()
	w.submit(modify(ids[0], operation.Low, "1"), modify(ids[0], operation.Normal, "2"), modify(ids[0], operation.High, "3"))
	again := slow(ids[1], operation.Normal, script{Take: "10ms", Fail: 1})
	w.submit(again, again)
	held := slow(ids[2], operation.Low, script{Take: "30ms", Fail: 1})
	w.submit(held)
	after(15 * time.Millisecond)
	w.submit(modify(ids[2], operation.Critical, "1")) // held off by the execution
	after(30 * time.Millisecond)
	w.submit(modify(ids[2], operation.Critical, "2")) // held off by the grace period
	after(time.Second)
	gone := slow(ids[3], operation.Normal, script{Take: "1ms", Fail: 9})
	w.submit(gone)
	after(50 * time.Millisecond)
	w.cancel(gone)
	after(50 * time.Millisecond)
	w.cancel(gone) // refused
	w.publish(w.space.Submit(operation.Low, ids[3]), []byte("{"))
	w.submit(expiring(-time.Second, modify(ids[3], operation.Low, "1")))
	after(time.Second)
}
