package ecsstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/ecsstore/storetest"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// spaces counts the spaces that tests have taken, so that they can share a broker.
var spaces atomic.Int64

// newSpace returns a space that nobody has used.
func newSpace(t *testing.T) subjects.Space {
	t.Helper()
	space, err := subjects.In(fmt.Sprintf("space-%d", spaces.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return space
}

// settings are the defaults with few partitions.
func settings() ecsstore.Settings {
	s := ecsstore.DefaultSettings()
	s.Partitions = 4
	return s
}

func TestJetStreamConforms(t *testing.T) {
	for name, storage := range map[string]jetstream.StorageType{
		"file": jetstream.FileStorage, "memory": jetstream.MemoryStorage,
	} {
		t.Run(name, func(t *testing.T) {
			js := natstest.Start(t).JetStream(t)
			with := settings()
			with.Storage = storage
			storetest.Run(t, func(t *testing.T) storetest.Fixture {
				return storetest.OfJetStream(t, js, newSpace(t), with)
			})
		})
	}
}

func TestJetStreamConformsOnThreeServers(t *testing.T) {
	js := natstest.StartCluster(t, 3).JetStream(t)
	with := settings()
	with.Replicas = 3
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		return storetest.OfJetStream(t, js, newSpace(t), with)
	})
}
