package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// How the follower reads. The heartbeat finds a dead consumer within a second.
const (
	followAhead     = 2048 // events in the client's buffer, at most
	followExpiry    = 2 * time.Second
	followHeartbeat = 500 * time.Millisecond
)

// follow hands every event that is stored from now on to see, in order and each
// once, also across a restart of the broker, until stop is called.
func follow(
	ctx context.Context, js jetstream.JetStream, space subjects.Space,
	see func(kind operation.Kind, target string, body []byte),
) (stop func(), err error) {
	stream, err := js.Stream(ctx, space.StoreStream())
	if err != nil {
		return nil, fmt.Errorf("following stream %s: %w", space.StoreStream(), err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{space.Events()},
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    stream.CachedInfo().State.LastSeq + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("following stream %s: %w", space.StoreStream(), err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if kind, target, err := space.ParseEvent(msg.Subject()); err == nil {
			see(kind, target, msg.Data())
		}
	}, jetstream.PullMaxMessages(followAhead), jetstream.PullExpiry(followExpiry), jetstream.PullHeartbeat(followHeartbeat))
	if err != nil {
		return nil, fmt.Errorf("following stream %s: %w", space.StoreStream(), err)
	}
	return consuming.Stop, nil
}
