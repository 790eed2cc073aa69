//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// site is a network with brokers and workers in it, made for one test.
type site struct {
	t       *testing.T
	session session
	lan     *testcontainers.DockerNetwork
	began   time.Time

	brokers []*box
	urls    string // of the brokers, for this process
	inside  string // and for containers
	nc      *nats.Conn
	client  *client.Client
	js      jetstream.JetStream
	read    *ecsstore.Reader

	workers []*box
	args    []string // of every worker
}

// plan is how a site is made.
type plan struct {
	brokers int // 1 or 3
	workers int
	args    []string // of each worker
}

// newSite returns the site of a test with nothing in it, or skips the test.
func newSite(t *testing.T) *site {
	t.Helper()
	if why := os.Getenv(envNone); why != "" {
		t.Skip("no containers here: " + why)
	}
	return &site{t: t, session: session(os.Getenv(envSession)), began: time.Now()}
}

// build makes a site whose streams exist and whose workers are at work.
func build(t *testing.T, p plan) *site {
	t.Helper()
	s := newSite(t)
	s.args = p.args
	s.network()
	s.startBrokers(p.brokers)
	s.connect()
	s.command("init", "--replicas", fmt.Sprint(p.brokers))
	for range p.workers {
		s.hire()
	}
	s.settled()
	s.say("%d brokers and %d workers are ready", p.brokers, p.workers)
	return s
}

// say tells of the progress of a long test.
func (s *site) say(format string, args ...any) {
	say("%s +%.1fs: %s", s.t.Name(), time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *site) network() {
	s.t.Helper()
	lan, err := tcnetwork.New(s.t.Context(), tcnetwork.WithLabels(s.session.labels()))
	if err != nil {
		s.t.Fatalf("making a network: %v", err)
	}
	s.lan = lan
	s.t.Cleanup(func() {
		if err := lan.Remove(context.WithoutCancel(s.t.Context())); err != nil {
			s.t.Errorf("removing the network: %v", err)
		}
	})
}

func (s *site) startBrokers(n int) {
	s.t.Helper()
	config, ports := "/etc/nats/server.conf", freePorts(s.t, n)
	if n > 1 {
		config = "/etc/nats/cluster.conf"
	}
	var urls, inside []string
	for i, port := range ports {
		name := fmt.Sprintf("broker-%d", i+1)
		urls, inside = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", port)), append(inside, "nats://"+name+":4222")
		s.brokers = append(s.brokers, s.start(s.session.broker(), name,
			testcontainers.WithEnv(map[string]string{"BROKER_NAME": name}),
			testcontainers.WithCmd("-c", config),
			publish(map[string]int{"4222/tcp": port}),
		))
	}
	s.urls, s.inside = strings.Join(urls, ","), strings.Join(inside, ",")
	for _, b := range s.brokers {
		b.healthy("healthz")
	}
}

// connect connects this process to the brokers through their published ports.
func (s *site) connect(opts ...nats.Option) {
	s.t.Helper()
	nc, err := client.Connect(s.urls, append(opts, nats.Name(s.t.Name()), nats.DontRandomize())...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	s.nc = nc
	if s.client, err = client.New(nc, client.WithTypes(slowType)); err != nil {
		s.t.Fatal(err)
	}
	if s.js, err = jetstream.New(nc); err != nil {
		s.t.Fatal(err)
	}
	s.read = ecsstore.NewReader(s.js, subjects.Space{})
}

// flush returns when the broker knows of all that was subscribed to.
func (s *site) flush() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := s.nc.FlushWithContext(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// hire starts one more worker.
func (s *site) hire() {
	s.t.Helper()
	name, port := fmt.Sprintf("worker-%d", len(s.workers)+1), freePorts(s.t, 1)[0]
	b := s.start(s.session.image(), name,
		testcontainers.WithEnv(map[string]string{"NATS_URL": s.inside}),
		testcontainers.WithCmd(append([]string{"run", "--name", name}, s.args...)...),
		publish(map[string]int{"8222/tcp": port}),
	)
	b.http = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.workers = append(s.workers, b)
}

// command runs one command of the program to its end in a container of its own and
// returns what it wrote. A command that fails fails the test.
func (s *site) command(args ...string) string {
	s.t.Helper()
	return s.order(args...).result()
}

// order starts a command of the program in a container of its own.
func (s *site) order(args ...string) *box {
	s.t.Helper()
	return s.start(s.session.image(), args[0],
		testcontainers.WithEnv(map[string]string{"NATS_URL": s.inside}),
		testcontainers.WithCmd(args...),
	)
}

// settled waits until every worker is ready, every partition has an owner that is
// alive, and nothing waits.
func (s *site) settled() {
	s.t.Helper()
	for _, b := range s.workers {
		b.healthy("readyz")
	}
	await(s.t, "every partition to have an owner, and nothing to wait", func(ctx context.Context) bool {
		fences, err := s.read.Fences(ctx)
		if err != nil || len(fences) == 0 {
			return false
		}
		for _, f := range fences {
			if !f.Unclean() || !s.answers(ctx, f.Owner) {
				return false
			}
			if lag, err := s.read.Lag(ctx, f.Partition, f.Cursor); err != nil || lag > 0 || f.Counts.Live > 0 {
				return false
			}
		}
		return true
	})
}

func (s *site) answers(ctx context.Context, worker string) bool {
	_, err := s.nc.RequestWithContext(ctx, subjects.Space{}.Ping(worker), nil)
	return err == nil
}
