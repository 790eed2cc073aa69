package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// brokers is a cluster of three nats-servers with the shipped configuration.
type brokers struct {
	launch  *launcher
	program string
	logs    string
	all     []*broker
}

// broker is one of them. One goroutine at a time uses it.
type broker struct {
	name                  string
	folder                string
	client, route, health int // ports
	process               *process
}

// clusterSize is how many servers there are, and how many copies of each stream.
const clusterSize = 3

// How the servers write to disk: always is what the shipped configuration says.
const shippedSync = "always"

// startBrokers starts a cluster whose stores are below folder. shipped is the folder
// with the configuration that it runs with, but for sync_interval, which is sync.
func startBrokers(ctx context.Context, l *launcher, program, shipped, sync, folder, logs string) (*brokers, error) {
	ports, err := freePorts(ctx, 3*clusterSize)
	if err != nil {
		return nil, err
	}
	c := &brokers{launch: l, program: program, logs: logs}
	for i := range clusterSize {
		name := fmt.Sprintf("broker-%d", i+1)
		c.all = append(c.all, &broker{
			name: name, folder: filepath.Join(folder, name),
			client: ports[3*i], route: ports[3*i+1], health: ports[3*i+2],
		})
	}
	for _, b := range c.all {
		if err := c.configure(b, shipped, sync); err != nil {
			return nil, err
		}
		if err := c.start(ctx, b); err != nil {
			return nil, err
		}
	}
	for _, b := range c.all {
		if err := b.awaitHealthy(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// configure writes the shipped configuration with this server's addresses and folder.
func (c *brokers) configure(b *broker, shipped, sync string) error {
	local := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	changes := map[string][]string{
		"server.conf": {
			"0.0.0.0:4222", local(b.client), "0.0.0.0:8222", local(b.health), "store_dir: /data", "store_dir: " + filepath.Join(b.folder, "data"),
			"sync_interval: " + shippedSync, "sync_interval: " + sync,
		},
		"cluster.conf": {"0.0.0.0:6222", local(b.route)},
	}
	for _, other := range c.all {
		changes["cluster.conf"] = append(changes["cluster.conf"], other.name+":6222", local(other.route))
	}
	if err := os.MkdirAll(b.folder, 0o700); err != nil {
		return fmt.Errorf("configuring %s: %w", b.name, err)
	}
	for file, pairs := range changes {
		text, err := os.ReadFile(filepath.Join(shipped, file))
		if err != nil {
			return fmt.Errorf("configuring %s: %w", b.name, err)
		}
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(string(text), pairs[i]) {
				return fmt.Errorf("configuring %s: %s does not say %s", b.name, file, pairs[i])
			}
		}
		written := strings.NewReplacer(pairs...).Replace(string(text))
		if err := os.WriteFile(filepath.Join(b.folder, file), []byte(written), 0o600); err != nil {
			return fmt.Errorf("configuring %s: %w", b.name, err)
		}
	}
	return nil
}

func (c *brokers) start(ctx context.Context, b *broker) (err error) {
	b.process, err = c.launch.start(ctx, b.name, filepath.Join(c.logs, b.name+".log"), []string{"BROKER_NAME=" + b.name},
		c.program, "-c", filepath.Join(b.folder, "cluster.conf"))
	return err
}

// url returns the addresses of all servers, separated by commas.
func (c *brokers) url() string {
	urls := make([]string, len(c.all))
	for i, b := range c.all {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", b.client)
	}
	return strings.Join(urls, ",")
}

// healthTimeout is how long a server has until it is in step with the others.
const healthTimeout = 2 * time.Minute

// awaitHealthy waits until the server says that all it keeps is up to date.
func (b *broker) awaitHealthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	last := "no answer"
	err := poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		if b.process.ended() {
			return false, fmt.Errorf("it has ended: %w", b.process.err)
		}
		var ok bool
		ok, last = b.healthy(ctx)
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w (%s)", b.name, err, last)
	}
	return nil
}

func (b *broker) healthy(ctx context.Context) (ok bool, status string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/healthz", b.health), nil)
	if err != nil {
		return false, err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err.Error()
	}
	defer response.Body.Close() // nothing was written
	return response.StatusCode == http.StatusOK, response.Status
}

// poll calls done every so often until it returns true or an error, or ctx is done.
func poll(ctx context.Context, every time.Duration, done func(context.Context) (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// freePorts returns ports nobody listens on, below the range from which systems take
// ports for outgoing connections.
func freePorts(ctx context.Context, n int) ([]int, error) {
	const low, high = 20000, 32000
	ports := make([]int, 0, n)
	var cfg net.ListenConfig
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := low + rand.IntN(high-low) //nolint:gosec // any free one will do
		ln, err := cfg.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer ln.Close() // held until all are chosen, so that they differ
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, low, high)
}
