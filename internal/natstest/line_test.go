package natstest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// lined is a client behind a line, and what it publishes as it arrives elsewhere.
type lined struct {
	*testing.T // the bubble's

	line  *Line
	nc    *nats.Conn
	notes chan *nats.Msg
}

func overLine(t *testing.T, f func(l *lined)) {
	t.Helper()
	Bubble(t, func(t *testing.T, s *Server) {
		l := &lined{T: t, line: s.Line(), notes: make(chan *nats.Msg, 10)}
		if _, err := s.Connect(t).ChanSubscribe("note", l.notes); err != nil {
			t.Fatal(err)
		}
		l.nc = s.Connect(t, l.line.Over())
		synctest.Wait()
		f(l)
	})
}

func (l *lined) say(words ...string) {
	l.Helper()
	for _, word := range words {
		if err := l.nc.Publish("note", []byte(word)); err != nil {
			l.Fatal(err)
		}
	}
	synctest.Wait()
}

// flush makes a round trip.
func (l *lined) flush() error {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 2*time.Minute)
	defer cancel()
	return l.nc.FlushWithContext(ctx)
}

func (l *lined) wants(words ...string) {
	l.Helper()
	synctest.Wait()
	var got []string
	for len(l.notes) > 0 {
		got = append(got, string((<-l.notes).Data))
	}
	if !slices.Equal(got, words) {
		l.Errorf("got %q, want %q", got, words)
	}
}

func TestLinePasses(t *testing.T) {
	overLine(t, func(l *lined) {
		l.say("a", "b")
		l.wants("a", "b")
	})
}

func TestLineHolds(t *testing.T) {
	overLine(t, func(l *lined) {
		l.line.Hold(time.Minute)
		l.say("a")
		l.wants()
		Advance(59 * time.Second)
		l.wants()
		Advance(time.Second)
		l.wants("a")
		if !l.nc.IsConnected() || l.nc.Reconnects > 0 {
			l.Error("the client has lost its connection")
		}
	})
}

func TestLineHoldsWhatTheServerSends(t *testing.T) {
	overLine(t, func(l *lined) {
		l.line.Hold(time.Minute)
		began := time.Now()
		if err := l.flush(); err != nil {
			l.Fatal(err)
		}
		if took := time.Since(began); took != time.Minute {
			l.Errorf("a round trip took %v, want a minute", took)
		}
	})
}

func TestLineCutInTheMiddle(t *testing.T) {
	overLine(t, func(l *lined) {
		l.line.Remove(l.line.Out("b", l.line.Cut))
		l.line.Out("c", l.line.Cut)
		l.say("a", "b", "c", "d")
		l.wants("a", "b")
		Advance(time.Minute)
		if l.nc.IsConnected() {
			l.Error("the client is connected again over a line that was cut")
		}
	})
}

func TestLineDropsAndTheClientReturns(t *testing.T) {
	overLine(t, func(l *lined) {
		l.line.Drop()
		Advance(time.Second)
		l.say("a")
		l.wants("a")
		if n := l.nc.Reconnects; n != 1 {
			l.Errorf("%d reconnections, want 1", n)
		}
	})
}

func TestLineSeesWhatComesIn(t *testing.T) {
	overLine(t, func(l *lined) {
		seen := 0
		l.line.In("PONG", func() { seen++ })
		for range 3 {
			if err := l.flush(); err != nil {
				l.Fatal(err)
			}
		}
		if seen != 3 {
			l.Errorf("saw %d answers, want 3", seen)
		}
	})
}

// A client whose process dies with its line gets no answer.
func TestLineLosesTheReply(t *testing.T) {
	overLine(t, func(l *lined) {
		l.line.In("PONG", l.line.Cut)
		if err := l.flush(); err == nil {
			l.Error("the answer got through")
		}
	})
}

// A client cannot dial while its line is held, nor be half-way through it: it would
// keep the bubble's time from passing.
func TestLineRefusesWhileItIsHeld(t *testing.T) {
	overLine(t, func(l *lined) {
		l.line.Hold(time.Minute)
		l.line.Drop()
		Advance(59 * time.Second)
		if l.nc.IsConnected() {
			l.Error("the client is connected over a line that is held")
		}
		Advance(2 * time.Second)
		l.say("a")
		l.wants("a")
		hold := l.line.In("PONG", func() { l.line.Hold(time.Minute) })
		l.line.Drop()
		Advance(30 * time.Second)
		l.line.Remove(hold)
		if l.nc.IsConnected() {
			l.Error("the client is connected over a line that is held")
		}
		Advance(31 * time.Second)
		l.say("b")
		l.wants("b")
	})
}
