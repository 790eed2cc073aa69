package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// source is a stream to be read, as it was when the audit began.
type source struct {
	stream jetstream.Stream
	name   string
	state  jetstream.StreamState
	born   time.Time
}

func (s *source) look(ctx context.Context) error {
	if s.stream == nil {
		return nil // it is no stream of a broker
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", s.name, err)
	}
	s.state, s.born = info.State, info.Created
	return nil
}

// How streams are read. A pull asks for so many bytes, so that heads of any size
// take no more memory; the heartbeat finds a dead consumer within a second.
const (
	pullBytes     = 16 << 20
	pullExpiry    = 2 * time.Second
	pullHeartbeat = 500 * time.Millisecond
	consumerIdle  = 30 * time.Second       // after which the broker forgets the consumer
	idleLook      = 200 * time.Millisecond // without a message, before asking if there is one
	chunkSize     = 256
	chunksAhead   = 8
)

// feed reads a stream in order. One goroutine gathers chunks of messages, a few
// decode them side by side, and next returns them in the order of the stream.
type feed[T any] struct {
	source   *source
	end      uint64 // last sequence of the stream when the feed was made
	follow   bool
	decode   func(jetstream.Msg, *jetstream.MsgMetadata) T
	consumer jetstream.Consumer

	messages chan jetstream.Msg
	jobs     chan *chunk[T]
	ready    chan *chunk[T] // closed at the end
	failed   chan error     // of capacity 1: why there will be no more
}

// chunk is a piece of a stream. Pending is how many messages lay behind it.
type chunk[T any] struct {
	messages []jetstream.Msg
	decoded  []T
	last     uint64
	pending  uint64
	done     chan struct{}
}

// newFeed makes a feed that begins at a place of a stream. It reads once run is
// called.
func newFeed[T any](
	ctx context.Context, js jetstream.JetStream, s *source, from Start, follow bool,
	decode func(jetstream.Msg, *jetstream.MsgMetadata) T,
) (*feed[T], error) {
	cfg := jetstream.OrderedConsumerConfig{InactiveThreshold: consumerIdle}
	switch {
	case from.Sequence > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from.Sequence
	case !from.Time.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &from.Time
	}
	consumer, err := js.OrderedConsumer(ctx, s.name, cfg)
	if err != nil {
		return nil, fmt.Errorf("reading stream %s: %w", s.name, err)
	}
	return feedOf(s, consumer, follow, decode), nil
}

// feedOf makes a feed of what a consumer delivers.
func feedOf[T any](s *source, consumer jetstream.Consumer, follow bool, decode func(jetstream.Msg, *jetstream.MsgMetadata) T) *feed[T] {
	return &feed[T]{
		source: s, end: s.state.LastSeq, follow: follow, decode: decode, consumer: consumer,
		messages: make(chan jetstream.Msg, chunkSize), jobs: make(chan *chunk[T], chunksAhead),
		ready: make(chan *chunk[T], chunksAhead), failed: make(chan error, 1),
	}
}

// run reads until ctx is done, or to the end of the stream unless it follows. It
// returns when all it has started has ended.
func (f *feed[T]) run(ctx context.Context) {
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(f.work)
	}
	f.gather(ctx)
	close(f.jobs)
	close(f.ready)
	wait.Wait()
}

// work decodes chunks until there are no more.
func (f *feed[T]) work() {
	for c := range f.jobs {
		c.decoded = make([]T, 0, len(c.messages))
		for _, msg := range c.messages {
			if meta, err := msg.Metadata(); err == nil {
				c.decoded = append(c.decoded, f.decode(msg, meta))
			}
		}
		c.messages = nil
		close(c.done)
	}
}

// gather cuts what the consumer delivers into chunks.
func (f *feed[T]) gather(ctx context.Context) {
	if !f.follow && f.consumer.CachedInfo().NumPending == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	running, err := f.consumer.Consume(func(msg jetstream.Msg) {
		select {
		case f.messages <- msg:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxBytes(pullBytes), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat), f.ends())
	if err != nil {
		cancel()
		f.fail(err)
		return
	}
	defer running.Stop()
	defer cancel() // first: Stop may wait for the callback
	for quiet := false; ; {
		c, err := f.chunk(ctx)
		switch {
		case err != nil:
			f.fail(err)
			return
		case c == nil && quiet && !f.follow:
			return
		case c == nil:
			quiet = f.drained(ctx)
			continue
		}
		quiet = false
		if !f.pass(ctx, c) || c.pending == 0 && c.last >= f.end && !f.follow {
			return
		}
	}
}

// ends passes on the errors that end the reading. The consumer overcomes all others
// by itself.
func (f *feed[T]) ends() jetstream.PullConsumeOpt {
	return jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConnectionClosed) ||
			errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrPermissionViolation) ||
			errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			f.fail(err)
		}
	})
}

func (f *feed[T]) fail(err error) {
	select {
	case f.failed <- fmt.Errorf("reading stream %s: %w", f.source.name, err):
	default:
	}
}

// chunk takes what has been delivered. It returns nil after a while without a
// message.
func (f *feed[T]) chunk(ctx context.Context) (*chunk[T], error) {
	idle := time.NewTimer(idleLook)
	defer idle.Stop()
	c := &chunk[T]{done: make(chan struct{})}
	select {
	case msg := <-f.messages:
		c.messages = append(make([]jetstream.Msg, 0, chunkSize), msg)
	case <-idle.C:
		return nil, nil //nolint:nilnil // no message, no error
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for len(c.messages) < chunkSize {
		select {
		case msg := <-f.messages:
			c.messages = append(c.messages, msg)
			continue
		default:
		}
		break
	}
	meta, err := c.messages[len(c.messages)-1].Metadata()
	if err != nil {
		return nil, err
	}
	c.last, c.pending = meta.Sequence.Stream, meta.NumPending
	return c, nil
}

// drained reports whether the broker has nothing more to deliver: the last messages
// of a stream may vanish before they are read.
func (f *feed[T]) drained(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pullExpiry)
	defer cancel()
	info, err := f.consumer.Info(ctx)
	return err == nil && info.NumPending == 0 && len(f.messages) == 0
}

// pass hands a chunk to the decoders and to next.
func (f *feed[T]) pass(ctx context.Context, c *chunk[T]) bool {
	for _, to := range []chan *chunk[T]{f.jobs, f.ready} {
		select {
		case to <- c:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// next returns the next piece of the stream, nil at its end, and an empty one if
// nothing comes for a while.
func (f *feed[T]) next(ctx context.Context, patience time.Duration) (*chunk[T], error) {
	idle := time.NewTimer(patience)
	defer idle.Stop()
	select {
	case c, more := <-f.ready:
		if !more {
			select {
			case err := <-f.failed:
				return nil, err
			default:
				return nil, nil //nolint:nilnil // the end
			}
		}
		<-c.done
		return c, nil
	case err := <-f.failed:
		return nil, err
	case <-idle.C:
		return &chunk[T]{}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
