package consumer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// failing returns the checks of a worker that do not hold.
func failing(c *crew) string {
	var out []string
	for _, check := range c.Ready() {
		if !check.OK {
			out = append(out, fmt.Sprintf("%s: %s", check.Name, check.Detail))
		}
	}
	return strings.Join(out, "\n")
}

func wantFailing(t *testing.T, c *crew, want string) {
	t.Helper()
	if diff := cmp.Diff(want, failing(c)); diff != "" {
		t.Errorf("checks that fail (- want, + got):\n%s", diff)
	}
}

func TestAWorkerIsReadyWhenEveryPartitionHasAnOwner(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.start()
		wantFailing(t, c, "owners: partitions were not looked at yet\nwindows: the engine has not started")
		after(2 * time.Second)
		wantFailing(t, c, "")
		if live := c.Live(); !live.OK {
			t.Error(live.Detail)
		}
		c.stop()
		wantFailing(t, c, "running: the worker is about to stop")
	})
}

func TestR25_AWorkerWithoutABrokerIsNotReadyAndLives(t *testing.T) {
	bubble(t, func(w *world) {
		line := w.s.Line()
		c := w.startOn(w.s.Connect(w.t, line.Over()), nil)
		after(2 * time.Second)
		wantFailing(t, c, "")
		line.Cut()
		after(time.Second)
		wantFailing(t, c, "broker: connection is reconnecting")
		after(time.Minute)
		if got := failing(c); !strings.Contains(got, "owners: owners were last seen 1m") {
			t.Errorf("after a minute fails %q", got)
		}
		if live := c.Live(); !live.OK {
			t.Error(live.Detail)
		}
	})
}

// silent is a dialer whose calls nobody answers once it is told so, until its end.
type silent struct {
	from, until chan struct{} // closed then
}

func (s *silent) Dial(network, address string) (net.Conn, error) {
	select {
	case <-s.from:
		<-s.until
		return nil, errors.New("nobody has answered")
	default:
		return net.Dial(network, address) //nolint:noctx // the interface has no context
	}
}

// TestR25_AWorkerThatCallsABrokerSaysSo has the connection be busy with an attempt to
// connect that does not end, as when the name of the broker cannot be looked up.
func TestR25_AWorkerThatCallsABrokerSaysSo(t *testing.T) {
	broker, dialer := natstest.Start(t), &silent{from: make(chan struct{}), until: make(chan struct{})}
	nc, err := nats.Connect(broker.URL(), nats.SetCustomDialer(dialer), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	t.Cleanup(func() { close(dialer.until) })
	w, err := New(nc, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if got := w.checkBroker(); !got.OK {
		t.Errorf("connected: %+v", got)
	}
	close(dialer.from)
	broker.Stop(t)
	natstest.Await(t, "the check to answer", func(context.Context) bool {
		return w.checkBroker().Detail == "connection is being made"
	})
}

// sick is a store that does what a test tells it to.
type sick struct {
	streams
	unclaimable atomic.Int64 // the partition that cannot be claimed, -1 for none
	stuck       atomic.Bool  // no commit is answered
}

func (s *sick) wrap(healthy streams) streams {
	s.streams = healthy
	return s
}

func (s *sick) Claim(ctx context.Context, partition int, owner string, epoch uint64) (ecsstore.Claim, error) {
	if int64(partition) == s.unclaimable.Load() {
		return ecsstore.Claim{}, errors.New("as told")
	}
	return s.streams.Claim(ctx, partition, owner, epoch)
}

func (s *sick) Commit(ctx context.Context, b *ecsstore.Batch) (ecsstore.Receipt, error) {
	if s.stuck.Load() {
		<-ctx.Done()
		return ecsstore.Receipt{}, ecsstore.ErrUnknown
	}
	return s.streams.Commit(ctx, b)
}

func TestAPartitionWithoutAnOwnerMakesWorkersUnready(t *testing.T) {
	bubble(t, func(w *world) {
		s := &sick{}
		s.unclaimable.Store(2)
		w.wrap = s.wrap
		c := w.start()
		after(2 * time.Second)
		wantFailing(t, c, "owners: partitions [2] have no owner that is alive")
		s.unclaimable.Store(-1)
		after(4 * time.Second)
		wantFailing(t, c, "")
	})
}

func TestAPartitionThatChangesHandsIsNoReasonToBeUnready(t *testing.T) {
	bubble(t, func(w *world) {
		first := w.ready()
		after(2 * time.Second)
		second := w.start()
		for range 40 {
			after(100 * time.Millisecond)
			wantFailing(t, first, "")
		}
		first.die()
		for range 40 {
			after(100 * time.Millisecond)
			wantFailing(t, second, "")
		}
	})
}

func TestAStuckWindowMakesAWorkerUnready(t *testing.T) {
	bubble(t, func(w *world) {
		s := &sick{}
		s.unclaimable.Store(-1)
		w.wrap = s.wrap
		c := w.ready()
		valve := w.made("valve-1")[0]
		s.stuck.Store(true)
		o := modify(valve, operation.Normal, "7")
		w.submit(o)
		after(9 * time.Second)
		wantFailing(t, c, "")
		after(11 * time.Second) // over several commits that fail, and claims
		wantFailing(t, c, "windows: a window is stuck: nothing could be committed for 20s")
		s.stuck.Store(false)
		after(6 * time.Second)
		wantFailing(t, c, "")
		w.wants(completed, o)
	})
}

func TestR24_ABacklogIsNoStuckWindow(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready(func(cfg *Config) { cfg.SlowTimeout = time.Hour })
		valve := w.made("valve-1")[0]
		o := slow(valve, operation.Normal, script{Take: "1m"})
		w.submit(o)
		after(30 * time.Second)
		wantFailing(t, c, "")
		after(time.Minute)
		w.wants(completed, o)
	})
}

func TestR23_AnIdlePartitionThatWasTakenIsClaimedAgain(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.ready()
		store, err := ecsstore.NewJetStream(w.t.Context(), w.js, w.space)
		if err != nil {
			t.Fatal(err)
		}
		taken, err := store.Claim(w.t.Context(), 2, "passer-by", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Release(w.t.Context(), taken.Held); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		fence, err := store.Fence(w.t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if fence.Owner != c.Name() || fence.Released {
			t.Errorf("the owner is %s (released: %t), want %s", fence.Owner, fence.Released, c.Name())
		}
		wantFailing(t, c, "")
	})
}
