package ecsstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// JetStream is the store of a running system. Its methods may be called from any
// goroutine.
type JetStream struct {
	nc         *nats.Conn
	js         jetstream.JetStream
	space      subjects.Space
	partitions int
	retention  time.Duration
	ops        jetstream.Stream
	readers    readers
	prepared   prepared
}

// NewJetStream opens the store, whose streams must exist.
func NewJetStream(ctx context.Context, js jetstream.JetStream, space subjects.Space) (*JetStream, error) {
	opened, err := Open(ctx, js, space)
	if err != nil {
		return nil, err
	}
	s := &JetStream{
		nc: js.Conn(), js: js, space: space,
		partitions: opened.Partitions, retention: opened.Retention,
		readers: readers{now: map[int]jetstream.Consumer{}},
	}
	if s.ops, err = js.Stream(ctx, space.OpsStream()); err != nil {
		return nil, fmt.Errorf("opening stream %s: %w", space.OpsStream(), err)
	}
	return s, nil
}

// Partitions returns the number of partitions.
func (s *JetStream) Partitions() int { return s.partitions }

// loadAtOnce bounds the reads under way for one Load.
const loadAtOnce = 32

// Load reads the heads of entities from the stream's leader. It returns a Head for
// each id; one that never existed has sequence 0. A read may be stale: the commit's
// conditions find out.
func (s *JetStream) Load(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Head, error) {
	heads := make([]Head, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadAtOnce)
	for i, id := range ids {
		group.Go(func() (err error) {
			heads[i], err = s.head(ctx, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := make(map[uuid.UUID]Head, len(ids))
	for i, id := range ids {
		out[id] = heads[i]
	}
	return out, nil
}

func (s *JetStream) head(ctx context.Context, id uuid.UUID) (Head, error) {
	var e Entity
	sequence, err := s.last(ctx, s.space.State(id), &e)
	if err != nil || sequence == 0 {
		return Head{}, err
	}
	return Head{Entity: &e, Sequence: sequence}, nil
}

// last reads the last message of a subject into out and returns its sequence, 0 if
// there is none.
func (s *JetStream) last(ctx context.Context, subject string, out any) (uint64, error) {
	msg, err := s.leaderGet(ctx, s.space.StoreStream(), getRequest{LastFor: subject})
	if err != nil || msg == nil {
		return 0, err
	}
	if err := decodeNumbers(msg.Data, out); err != nil {
		return 0, fmt.Errorf("reading %s: %w", subject, err)
	}
	return msg.Sequence, nil
}

// decodeNumbers is json.Unmarshal that keeps numbers as they are written.
func decodeNumbers(data []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return dec.Decode(out)
}

// leaderGet reads one message through the stream's leader. It returns nil if there is
// none.
func (s *JetStream) leaderGet(ctx context.Context, stream string, req getRequest) (*stored, error) {
	msg, err := ask(ctx, s.js, stream, req)
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // no message and no error is what the caller asks about
	}
	if err != nil {
		return nil, unreadable(stream, err)
	}
	return msg, nil
}
