package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// scan reads a stream in order and each message once, whatever becomes of the
// broker's consumer meanwhile. The library's ordered consumer does so too, but holds a
// lock while it waits for a broker that is away, and whoever wants to stop it waits
// with it.
type scan struct {
	js     jetstream.JetStream
	stream string
	cfg    jetstream.ConsumerConfig // where to start, and what to read
	follow bool                     // go on at the end and wait for more
	began  bool                     // there was a consumer
	read   uint64                   // the last message so far
	last   uint64                   // the one to end with, where it does not follow

	// using, where it is set, is told of each consumer, and of nil when there is none.
	using func(jetstream.Consumer)
}

// How a scan notices that the broker has lost its consumer, what the client holds of it
// at most, and how long it waits before it makes another consumer.
const (
	scanExpiry    = 2 * time.Second
	scanHeartbeat = 500 * time.Millisecond
	scanBuffer    = 512
	scanIdle      = 30 * time.Second // after which the broker forgets the consumer
	scanRequest   = 5 * time.Second
	scanPause     = 20 * time.Millisecond
	scanMaxPause  = time.Second
	scanCheck     = 250 * time.Millisecond // whether the last message is still there
)

// Why a scan needs another consumer.
var (
	errScanGap   = errors.New("a message was lost on the way")
	errScanAgain = errors.New("the connection was lost in between")
)

// run calls each with every message. It returns nil when each returns false, or when
// the end is reached of a stream that it does not follow. It returns an error when ctx
// is done, or when the stream cannot be read: not to begin with, or never again.
func (s *scan) run(ctx context.Context, each func(jetstream.Msg) bool) error {
	s.cfg.AckPolicy, s.cfg.MemoryStorage, s.cfg.Replicas = jetstream.AckNonePolicy, true, 1
	s.cfg.InactiveThreshold = scanIdle
	if len(s.cfg.FilterSubjects) == 1 { // then the broker can tell by the request who may read what
		s.cfg.FilterSubject, s.cfg.FilterSubjects = s.cfg.FilterSubjects[0], nil
	}
	if over, err := s.ends(ctx); over || err != nil {
		return err
	}
	for pause := scanPause; ; {
		done, err := s.session(ctx, func(msg jetstream.Msg) bool {
			pause = scanPause
			return each(msg)
		})
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !s.began, endsScan(err):
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, scanMaxPause)
	}
}

// ends finds the message that a scan ends with which does not follow, and reports
// whether it has been read. The leader is asked: the consumer may be of a replica that
// has yet to catch up, and its end is none.
func (s *scan) ends(ctx context.Context) (over bool, err error) {
	if s.follow {
		return false, nil
	}
	var last stored
	for _, subject := range slices.Concat(s.cfg.FilterSubjects, []string{s.cfg.FilterSubject}) {
		if subject == "" {
			continue
		}
		msg, err := ask(ctx, s.js, s.stream, getRequest{LastFor: subject})
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return false, err
		case msg.Sequence > last.Sequence:
			last = *msg
		}
	}
	if s.last == 0 || last.Sequence < s.last { // it is gone
		s.last = last.Sequence
	}
	since := s.cfg.OptStartTime
	return s.last <= s.read || s.last < s.cfg.OptStartSeq || since != nil && last.Time.Before(*since), nil
}

// endsScan reports whether another consumer would fare no better.
func endsScan(err error) bool {
	for _, fatal := range []error{
		nats.ErrConnectionClosed, jetstream.ErrConnectionClosed, ErrNotInitialized, nats.ErrPermissionViolation,
	} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// session reads with one consumer, from where the one before has ended. It reports
// whether the scan is over.
func (s *scan) session(ctx context.Context, each func(jetstream.Msg) bool) (done bool, err error) {
	nc := s.js.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	consumer, err := s.consumer(ctx)
	if err != nil {
		return false, err
	}
	defer s.forget(consumer)
	if s.using != nil {
		s.using(consumer)
		defer s.using(nil)
	}
	inner, cancel := context.WithCancel(ctx)
	messages, broken := make(chan jetstream.Msg), make(chan error, 1)
	running, err := consumer.Consume(func(msg jetstream.Msg) {
		select {
		case messages <- msg:
		case <-inner.Done():
		}
	}, jetstream.PullMaxMessages(scanBuffer), jetstream.PullExpiry(scanExpiry), jetstream.PullHeartbeat(scanHeartbeat), breaks(broken))
	if err != nil {
		cancel()
		return false, err
	}
	defer running.Stop()
	defer cancel() // first: Stop may wait for the callback
	check := time.NewTicker(scanCheck)
	defer check.Stop()
	for expected := uint64(1); ; {
		select {
		case msg := <-messages:
			meta, err := msg.Metadata()
			if err != nil {
				return false, err
			}
			if meta.Sequence.Consumer != expected {
				return false, errScanGap
			}
			expected++
			s.read = meta.Sequence.Stream
			s.cfg.DeliverPolicy, s.cfg.OptStartSeq, s.cfg.OptStartTime = jetstream.DeliverByStartSequencePolicy, meta.Sequence.Stream+1, nil
			if !each(msg) || !s.follow && s.read >= s.last {
				return true, nil
			}
		case <-check.C:
			if over, err := s.ends(ctx); over || err != nil {
				return over, err
			}
		case err := <-broken:
			return false, err
		case <-connected:
			return false, errScanAgain
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// consumer makes a consumer.
func (s *scan) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, scanRequest)
	defer cancel()
	consumer, err := s.js.CreateConsumer(ctx, s.stream, s.cfg)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s: %w", s.stream, ErrNotInitialized)
	}
	s.began = s.began || err == nil
	return consumer, err
}

// breaks passes on the first of the errors that a consumer runs into.
func breaks(broken chan<- error) jetstream.PullConsumeOpt {
	return jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		select {
		case broken <- err:
		default:
		}
	})
}

// forget has the broker remove a consumer that has done its work, and does not wait for
// that; if it fails the broker does so later by itself.
func (s *scan) forget(consumer jetstream.Consumer) {
	_ = s.js.Conn().Publish(apiPrefix(s.js)+"CONSUMER.DELETE."+s.stream+"."+consumer.CachedInfo().Name, nil)
}
