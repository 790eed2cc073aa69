package ecsstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// following follows the events of a store over a line that can be held.
type following struct {
	*testing.T

	line   *natstest.Line
	cancel context.CancelFunc
	put    func(entity string) // stores an event
	seen   chan string         // subjects of events
	ended  chan error
}

func follow(t *testing.T, f func(*following)) {
	t.Helper()
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		archive := &archive{t: t, js: s.JetStream(t)}
		if err := ecsstore.Init(t.Context(), archive.js, archive.space, settings()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out := &following{T: t, line: s.Line(), cancel: cancel, seen: make(chan string, 100), ended: make(chan error, 1)}
		out.put = func(entity string) { archive.event(operation.CompletedEvent, operation.EntityID(entity), 1) }
		read := ecsstore.NewReader(s.JetStream(t, out.line.Over()), subjects.Space{})
		go func() {
			var last error
			for event, err := range read.Events(ctx, ecsstore.EventFilter{Follow: true}) {
				if last = err; err == nil {
					out.seen <- event.Body.Subject
				}
			}
			out.ended <- last
		}()
		natstest.Advance(time.Second)
		f(out)
		cancel()
		if err := <-out.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v, want it canceled", err)
		}
	})
}

func (f *following) wants(entities ...string) {
	f.Helper()
	for _, entity := range entities {
		select {
		case got := <-f.seen:
			if want := operation.EntityID(entity).String(); got != want {
				f.Errorf("saw an event of %s, want %s", got, want)
			}
		default:
			f.Errorf("saw nothing of %s", entity)
		}
	}
	if len(f.seen) > 0 {
		f.Errorf("saw %d events besides", len(f.seen))
	}
}

// A scan ends with its context, whatever it is waiting for.
func TestR25_FollowEndsWhileTheBrokerIsAway(t *testing.T) {
	follow(t, func(f *following) {
		f.line.Hold(time.Hour)
		natstest.Advance(time.Minute)
		began := time.Now()
		f.cancel()
		err := <-f.ended
		f.ended <- err
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 2*time.Second {
			f.Errorf("it ended after %v with %v, want it canceled soon", took, err)
		}
	})
}

// Whatever happens to its connection, a scan sees each event once.
func TestR20_FollowOverABadLine(t *testing.T) {
	follow(t, func(f *following) {
		f.put("first")
		natstest.Advance(time.Second)
		f.wants("first")
		f.line.Hold(time.Minute)
		f.put("held")
		natstest.Advance(90 * time.Second)
		f.wants("held")
		lost := 0
		tap := f.line.In("MSG hierarchy.events.", func() { lost++; f.line.Drop() })
		f.put("lost")
		natstest.Advance(10 * time.Second)
		f.wants()
		f.line.Remove(tap)
		natstest.Advance(10 * time.Second)
		f.wants("lost")
		if lost < 2 {
			f.Errorf("the event was lost %d times, want several", lost)
		}
	})
}

// A scan to the present end does not wait for a message that has been removed since.
func TestEventsEndWhereTheLastIsGone(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		archive := &archive{t: t, js: s.JetStream(t)}
		if err := ecsstore.Init(t.Context(), archive.js, archive.space, settings()); err != nil {
			t.Fatal(err)
		}
		for _, entity := range []string{"first", "second", "last"} {
			archive.event(operation.CompletedEvent, operation.EntityID(entity), 1)
		}
		stream, err := archive.js.Stream(t.Context(), archive.space.StoreStream())
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		began := time.Now()
		for _, err := range ecsstore.NewReader(archive.js, archive.space).Events(t.Context(), ecsstore.EventFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 1 {
				if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(archive.space.Event(operation.CompletedEvent, operation.EntityID("last")))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if took := time.Since(began); seen < 2 || took > time.Second {
			t.Errorf("saw %d events in %v, want two, or three, and the end", seen, took)
		}
	})
}
