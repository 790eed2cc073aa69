package ecsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// Read calls each with the operations of a partition after a sequence, in order and each
// once, and waits for more. It returns an error when ctx is done or the stream cannot be
// read: not to begin with, or never again.
func (s *JetStream) Read(ctx context.Context, partition int, after uint64, each func(jetstream.Msg)) error {
	operations := scan{js: s.js, stream: s.space.OpsStream(), follow: true, cfg: jetstream.ConsumerConfig{
		FilterSubjects: []string{s.space.Submitted(partition)},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
	}}
	var now jetstream.Consumer
	operations.using = func(c jetstream.Consumer) {
		s.readers.replace(partition, now, c)
		now = c
	}
	err := operations.run(ctx, func(msg jetstream.Msg) bool {
		each(msg)
		return true
	})
	return fmt.Errorf("reading partition %d: %w", partition, err)
}

// Pending counts the operations of a partition that Read has yet to deliver, 0 if none
// is reading it.
func (s *JetStream) Pending(ctx context.Context, partition int) (int, error) {
	reader := s.readers.of(partition)
	if reader == nil {
		return 0, nil
	}
	info, err := reader.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil // it is just being made anew
	}
	if err != nil {
		return 0, fmt.Errorf("counting what partition %d has yet to read: %w", partition, err)
	}
	return int(info.NumPending), nil //nolint:gosec // a stream's bound is far below
}

// readers are the consumers that partitions are read with at present.
type readers struct {
	mu  sync.Mutex // guards now
	now map[int]jetstream.Consumer
}

func (r *readers) of(partition int) jetstream.Consumer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now[partition]
}

// replace puts next, if it is not nil, in the place of old. Another may be there: the
// partition may have been claimed again meanwhile.
func (r *readers) replace(partition int, old, next jetstream.Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next != nil {
		r.now[partition] = next
	} else if r.now[partition] == old {
		delete(r.now, partition)
	}
}
