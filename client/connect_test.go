package client

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestR25_LookingUpABrokerTakesNoLongerThanTheTimeout is about a machine that was cut
// off from its network, names included: it has to try the next broker soon.
func TestR25_LookingUpABrokerTakesNoLongerThanTheTimeout(t *testing.T) {
	usual := net.DefaultResolver
	defer func() { net.DefaultResolver = usual }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	began := time.Now()
	if nc, err := Connect("nats://broker.invalid:4222", nats.Timeout(100*time.Millisecond)); err == nil {
		nc.Close()
		t.Error("connected to nobody")
	}
	if took := time.Since(began); took > 4*time.Second { // the resolver itself gives up after 5 s at the earliest
		t.Errorf("it took %v to give up", took)
	}
}
