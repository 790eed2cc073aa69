package natstest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Cluster is a set of servers that replicate streams among themselves.
type Cluster struct{ Servers []*Server }

// StartCluster starts a cluster of size servers, waits until it can place streams,
// and stops it when the test ends.
func StartCluster(tb testing.TB, size int, opts ...Option) *Cluster {
	tb.Helper()
	ports := freePorts(tb, size)
	routes := make([]*url.URL, size)
	for i, port := range ports {
		routes[i] = &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	c := &Cluster{}
	for i, port := range ports {
		s := define(tb, opts)
		s.opts.ServerName = fmt.Sprintf("n%d", i)
		s.opts.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}
		s.opts.Routes = routes
		tb.Cleanup(s.shutdown)
		s.launch(tb)
		c.Servers = append(c.Servers, s)
	}
	for _, s := range c.Servers {
		s.awaitReady(tb)
	}
	c.AwaitReady(tb)
	return c
}

// freePorts returns ports nobody listens on. It looks below the range from which
// systems take ports for outgoing connections, so that none is taken before the
// servers listen.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	const low, high = 20000, 32000
	ports := make([]int, 0, n)
	var cfg net.ListenConfig
	for range 1000 {
		if len(ports) == n {
			return ports
		}
		port := low + rand.IntN(high-low)
		ln, err := cfg.Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer ln.Close() // held until all are chosen, so that they differ
		ports = append(ports, port)
	}
	tb.Fatalf("no %d free ports between %d and %d", n, low, high)
	return nil
}

// AwaitReady waits until the cluster has a leader that sees every server. A test
// that restarts servers calls it before it goes on.
func (c *Cluster) AwaitReady(tb testing.TB) {
	tb.Helper()
	Await(tb, "the cluster to have a leader and all its peers", func(context.Context) bool {
		for _, s := range c.Servers {
			srv := s.Embedded()
			if srv.JetStreamIsLeader() && len(srv.JetStreamClusterPeers()) == len(c.Servers) {
				return true
			}
		}
		return false
	})
}

// URL returns the addresses of all servers, separated by commas.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Connect connects to any of the servers until the test ends.
func (c *Cluster) Connect(tb testing.TB, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	return connect(tb, c.URL(), opts)
}

// JetStream connects to any of the servers and returns its JetStream.
func (c *Cluster) JetStream(tb testing.TB, opts ...nats.Option) jetstream.JetStream {
	tb.Helper()
	return jetStream(tb, c.Connect(tb, opts...))
}

// Leader waits until stream has a leader and returns that server.
func (c *Cluster) Leader(tb testing.TB, js jetstream.JetStream, stream string) *Server {
	tb.Helper()
	return c.awaitLeader(tb, js, stream, "")
}

// StepDown makes the leader of stream give way to another server and returns that.
func (c *Cluster) StepDown(tb testing.TB, js jetstream.JetStream, stream string) *Server {
	tb.Helper()
	old := c.Leader(tb, js, stream).Embedded().Name()
	reply, err := js.Conn().RequestWithContext(tb.Context(), "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
	if err != nil {
		tb.Fatalf("asking the leader of %s to step down: %v", stream, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.Error != nil {
		tb.Fatalf("asking the leader of %s to step down: %s (%v)", stream, reply.Data, err)
	}
	return c.awaitLeader(tb, js, stream, old)
}

// awaitLeader waits until stream has a leader whose name is not old.
func (c *Cluster) awaitLeader(tb testing.TB, js jetstream.JetStream, stream, old string) *Server {
	tb.Helper()
	var leader *Server
	Await(tb, "a leader of stream "+stream, func(ctx context.Context) bool {
		st, err := js.Stream(ctx, stream)
		if err != nil || st.CachedInfo().Cluster == nil {
			return false
		}
		name := st.CachedInfo().Cluster.Leader
		for _, s := range c.Servers {
			if name != old && s.Embedded().Name() == name {
				leader = s
			}
		}
		return leader != nil
	})
	return leader
}
