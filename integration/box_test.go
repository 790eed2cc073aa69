//go:build integration

package integration

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
)

// box is a container of a site.
type box struct {
	testcontainers.Container
	s    *site
	name string
	http string // address of health and metrics on the host, of a worker
}

// start starts a container as the compose file does: not as root, with nothing to
// write to but /data. It is removed at the end of the test, and its log shown if that
// failed.
func (s *site) start(image, name string, opts ...testcontainers.ContainerCustomizer) *box {
	s.t.Helper()
	all := append([]testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.NewNoopLogger()),
		testcontainers.WithLabels(s.session.labels()),
		testcontainers.WithHostConfigModifier(confine),
		tcnetwork.WithNetwork([]string{name}, s.lan),
	}, opts...)
	c, err := testcontainers.Run(s.t.Context(), image, all...)
	b := &box{Container: c, s: s, name: name}
	if c != nil {
		s.t.Cleanup(b.remove)
	}
	if err != nil {
		s.t.Fatalf("starting %s: %v", name, err)
	}
	return b
}

// confine is what the compose file does to every container.
func confine(host *container.HostConfig) {
	host.ReadonlyRootfs = true
	host.CapDrop = []string{"ALL"}
	host.SecurityOpt = []string{"no-new-privileges:true"}
}

// publish binds ports of a container to ports of the loopback address, which it then
// has for as long as it exists.
func publish(ports map[string]int) testcontainers.CustomizeRequestOption {
	return func(r *testcontainers.GenericContainerRequest) error {
		r.ExposedPorts = slices.Sorted(maps.Keys(ports))
		r.HostConfigModifier = func(host *container.HostConfig) {
			confine(host)
			host.PortBindings = network.PortMap{}
			for inner, outer := range ports {
				host.PortBindings[network.MustParsePort(inner)] = []network.PortBinding{{
					HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: fmt.Sprint(outer),
				}}
			}
		}
		return nil
	}
}

// logLines is how much of a container's log a failed test shows.
const logLines = 60

func (b *box) remove() {
	ctx := context.WithoutCancel(b.s.t.Context())
	if b.s.t.Failed() {
		lines := strings.Split(b.output(ctx), "\n")
		b.s.t.Logf("the last of %s:\n%s", b.name, strings.Join(lines[max(0, len(lines)-logLines):], "\n"))
	}
	if _, err := run(ctx, "docker", "rm", "-fv", b.GetContainerID()); err != nil {
		b.s.t.Errorf("removing %s: %v", b.name, err)
	}
}

// output returns all that a container has written.
func (b *box) output(ctx context.Context) string {
	logs, err := b.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// do has the engine do something to the container: kill, pause, start and the like.
func (b *box) do(command ...string) {
	b.s.t.Helper()
	b.s.say("%s %s", strings.Join(command, " "), b.name)
	if _, err := run(b.s.t.Context(), "docker", append(command, b.GetContainerID())...); err != nil {
		b.s.t.Fatal(err)
	}
}

// check asks a container how it is from inside, as the compose file's health checks do.
func (b *box) check(ctx context.Context, path string) error {
	_, err := run(ctx, "docker", "exec", b.GetContainerID(), "hierarchy", "healthcheck", "http://127.0.0.1:8222/"+path)
	return err
}

// healthy waits until a check succeeds.
func (b *box) healthy(path string) {
	b.s.t.Helper()
	awaitEvery(b.s.t, 300*time.Millisecond, b.name+" to answer well at /"+path, func(ctx context.Context) bool {
		return b.check(ctx, path) == nil
	})
}

// commandTimeout bounds a command; the loads are the longest of them.
const commandTimeout = 5 * time.Minute

// result waits for a command's end and returns what it wrote.
func (b *box) result() string {
	b.s.t.Helper()
	ctx, cancel := context.WithTimeout(b.s.t.Context(), commandTimeout)
	defer cancel()
	code, err := run(ctx, "docker", "wait", b.GetContainerID())
	out := b.output(ctx)
	if err != nil || code != "0" {
		b.s.t.Fatalf("hierarchy %s: exit code %s (%v): %s", b.name, code, err, out)
	}
	return out
}
