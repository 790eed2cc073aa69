package natstest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { Main(m) }

// stream makes a stream NOTES of that many replicas, with subject note.
func stream(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "NOTES", Subjects: []string{"note"}, Replicas: replicas, MaxAge: 2 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	Await(t, "a publish to be acknowledged", func(ctx context.Context) bool {
		_, err := js.Publish(ctx, "note", []byte("x"), jetstream.WithMsgID(t.Name()))
		return err == nil
	})
}

func wantMessages(t *testing.T, js jetstream.JetStream, want uint64) {
	t.Helper()
	var got uint64
	Await(t, "the state of the stream", func(ctx context.Context) bool {
		st, err := js.Stream(ctx, "NOTES")
		if err == nil {
			got = st.CachedInfo().State.Msgs
		}
		return err == nil
	})
	if got != want {
		t.Errorf("the stream holds %d messages, want %d", got, want)
	}
}

func TestBubbleAdvancesVirtualTime(t *testing.T) {
	began := time.Now()
	Bubble(t, func(t *testing.T, s *Server) {
		js := s.JetStream(t)
		stream(t, js, 1)
		publish(t, js)
		Advance(time.Hour)
		wantMessages(t, js, 1)
		Advance(time.Hour + time.Minute) // past the stream's MaxAge
		wantMessages(t, js, 0)
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("two virtual hours took %v", took)
	}
}

func TestBubbleRestart(t *testing.T) {
	for _, name := range []string{"first", "second"} { // a bubble leaves nothing behind for the next
		t.Run(name, func(t *testing.T) {
			Bubble(t, func(t *testing.T, s *Server) {
				js := s.JetStream(t)
				stream(t, js, 1)
				publish(t, js)
				s.Restart(t)
				wantMessages(t, js, 1)
			})
		})
	}
}

func TestRestartKeepsMessages(t *testing.T) {
	for name, opts := range map[string][]Option{
		"listening":   nil,
		"sync always": {SyncAlways()},
		"in process":  {InProcess(), StoreDir(t.TempDir())},
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, opts...)
			js := s.JetStream(t)
			stream(t, js, 1)
			publish(t, js)
			url := s.URL()
			s.Stop(t)
			s.Restart(t)
			if s.URL() != url {
				t.Errorf("the address changed from %s to %s", url, s.URL())
			}
			wantMessages(t, js, 1)
		})
	}
}

func TestClusterSurvivesStepDownAndRestart(t *testing.T) {
	c := StartCluster(t, 3)
	js := c.JetStream(t)
	stream(t, js, 3)
	publish(t, js)

	old := c.Leader(t, js, "NOTES")
	if now := c.StepDown(t, js, "NOTES"); now == old {
		t.Errorf("%s still leads", now.Embedded().Name())
	}
	wantMessages(t, js, 1)

	c.Leader(t, js, "NOTES").Restart(t)
	c.AwaitReady(t)
	publish(t, js) // a duplicate by its id: the window survived as well
	wantMessages(t, js, 1)
}
