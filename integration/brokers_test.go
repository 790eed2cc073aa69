//go:build integration

package integration

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/hierarchy-events/hierarchy/subjects"
)

// leader returns the broker that leads the store's stream, where it hurts most.
func (s *site) leader() *box {
	s.t.Helper()
	var found *box
	await(s.t, "a leader of the store", func(ctx context.Context) bool {
		stream, err := s.js.Stream(ctx, subjects.Space{}.StoreStream())
		if err != nil || stream.CachedInfo().Cluster == nil {
			return false
		}
		at := slices.IndexFunc(s.brokers, func(b *box) bool { return b.name == stream.CachedInfo().Cluster.Leader })
		if at >= 0 {
			found = s.brokers[at]
		}
		return at >= 0
	})
	return found
}

func TestR25_BrokerKilled(t *testing.T) {
	s := build(t, plan{brokers: 3, workers: 2})
	run := s.load()
	b, began := s.leader(), time.Now()
	b.do("kill", "-s", "KILL")
	s.flows(100)
	s.say("100 operations were decided within %v", time.Since(began).Round(time.Millisecond))
	if again := s.leader(); again == b {
		t.Errorf("%s still leads", b.name)
	}
	b.do("start")
	b.healthy("healthz")
	s.flows(100)
	run.end()
	s.audited()
}

func TestR25_RollingRestartOfBrokers(t *testing.T) {
	s := build(t, plan{brokers: 3, workers: 2})
	run := s.load()
	for _, b := range s.brokers {
		began := time.Now()
		b.do("restart", "-t", "30")
		b.healthy("healthz")
		s.flows(50)
		s.say("%s was restarted and 50 operations decided within %v", b.name, time.Since(began).Round(time.Millisecond))
	}
	run.end()
	s.audited()
}
