package main

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// spoiler does harm to a system that is under stress.
type spoiler struct {
	t      *testing.T
	url    string
	js     jetstream.JetStream
	store  jetstream.Stream
	space  subjects.Space
	worker func()    // stops it
	target uuid.UUID // one that has several versions
}

// newSpoiler starts a broker and a worker.
func newSpoiler(t *testing.T) *spoiler {
	t.Helper()
	broker := natstest.Start(t)
	s := &spoiler{t: t, url: broker.URL(), js: broker.JetStream(t)}
	if err := ecsstore.Init(t.Context(), s.js, s.space, ecsstore.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	worker, err := consumer.New(broker.Connect(t), consumer.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	s.worker = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.worker)
	if s.store, err = s.js.Stream(t.Context(), s.space.StoreStream()); err != nil {
		t.Fatal(err)
	}
	return s
}

// spoil runs stress, does harm meanwhile, and returns how the run ended and what it said.
func (s *spoiler) spoil(harm func(*spoiler) error, flags ...string) (code int, out string) {
	s.t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		flags = append([]string{"stress", "--server", s.url, "--for", "2s", "--rate", "300", "--targets", "3"}, flags...)
		code, out = stressed(s.t.Context(), s.t, flags...)
	}()
	s.wait()
	if err := harm(s); err != nil {
		s.t.Fatal(err)
	}
	<-over
	return code, out
}

// wait waits until the run has made several versions of a target.
func (s *spoiler) wait() {
	s.t.Helper()
	natstest.Await(s.t, "an entity with versions", func(ctx context.Context) bool {
		info, err := s.store.Info(ctx, jetstream.WithSubjectFilter(s.space.AllVersions()))
		if err != nil {
			return false
		}
		for subject := range info.State.Subjects {
			if tokens := strings.Split(subject, "."); tokens[3] == "3" {
				s.target = uuid.MustParse(tokens[2])
			}
		}
		return s.target != uuid.Nil
	})
}

func (s *spoiler) publish(subject string, body []byte, opts ...jetstream.PublishOpt) error {
	_, err := s.js.Publish(s.t.Context(), s.space.Write(subject), body, opts...)
	return err
}

// last returns the latest message of a subject.
func (s *spoiler) last(subject string) *jetstream.RawStreamMsg {
	s.t.Helper()
	msg, err := s.store.GetLastMsgForSubject(s.t.Context(), subject)
	if err != nil {
		s.t.Fatal(err)
	}
	return msg
}

func (s *spoiler) loseVersion() error {
	return s.store.Purge(s.t.Context(), jetstream.WithPurgeSubject(s.space.Version(s.target, 2)))
}

func (s *spoiler) repeatVersion() error {
	subject := s.space.Version(s.target, 2)
	return s.publish(subject, s.last(subject).Data)
}

// spoilHead writes a head whose counter is another. A commit may come between: then it is
// done again.
func (s *spoiler) spoilHead() error {
	subject := s.space.State(s.target)
	for {
		head := s.last(subject)
		body := regexp.MustCompile(`"counter":\d+`).ReplaceAll(head.Data, []byte(`"counter":100000`))
		err := s.publish(subject, body, jetstream.WithExpectLastSequencePerSubject(head.Sequence))
		if refusal, ok := errors.AsType[*jetstream.APIError](err); !ok || refusal.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
			return err
		}
	}
}

func (s *spoiler) endTwice() error {
	subject := s.space.Event(operation.CompletedEvent, s.target)
	return s.publish(subject, s.last(subject).Data)
}

func (s *spoiler) stopTheWorker() error {
	s.worker()
	return nil
}

// TestStressTellsWhatDoesNotHold does harm to a system while it is under stress: exit code
// 1, and the report says what it is.
func TestStressTellsWhatDoesNotHold(t *testing.T) {
	t.Setenv("NATS_URL", "")
	for _, c := range []struct {
		name string
		harm func(*spoiler) error
		want string
	}{
		{"a version is gone", (*spoiler).loseVersion, `entity stress-\S+ has \d+ versions and counts \d+, its events make it \d+`},
		{"a version is there twice", (*spoiler).repeatVersion, `version 2 of entity \S+ is stored 2 times`},
		{"a head is another", (*spoiler).spoilHead, `entity stress-\S+ counts 1\d{5} complex updates, its events make it \d+`},
		{"an operation ends twice", (*spoiler).endTwice, `operation \S+ ended twice`},
		{"operations do not end", (*spoiler).stopTheWorker, `\d+ operations have no outcome`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpoiler(t)
			code, out := s.spoil(c.harm, "--settle", "500ms", "--audit=false")
			if code != exitError {
				t.Errorf("exit code %d, want %d", code, exitError)
			}
			_, problems, _ := strings.Cut(out, "NOT OK:")
			if !regexp.MustCompile(c.want).MatchString(problems) {
				t.Errorf("%s does not stand behind NOT OK in:\n%s", c.want, out)
			}
		})
	}
}

// TestStressTellsProgramsWhatDoesNotHold wants the same of the report as JSON, and of the
// audit that it ends with.
func TestStressTellsProgramsWhatDoesNotHold(t *testing.T) {
	t.Setenv("NATS_URL", "")
	code, out := newSpoiler(t).spoil((*spoiler).loseVersion, "--json")
	if r := decodeReport(t, out); code != exitError || r.OK || r.Audit.OK || len(r.Problems) < 2 {
		t.Errorf("exit code %d, report:\n%s", code, out)
	}
}
