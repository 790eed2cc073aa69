//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// stack is the compose file brought up: a site whose containers compose rules. Its
// brokers are reached through the ports they publish.
type stack struct {
	*site
	command []string // compose, up to its subcommand
	volumes []string // all that were seen
}

// newStack returns a stack that is not up yet. At the end of the test nothing is left.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{site: newSite(t)}
	s.command = append(composeCommand(t.Context()), "-f", "../docker-compose.yml", "--profile", "demo")
	var urls, inside []string
	for i, port := range freePorts(t, 3) {
		t.Setenv(fmt.Sprint("HIERARCHY_PORT_", i+1), fmt.Sprint(port))
		urls, inside = append(urls, fmt.Sprint("nats://127.0.0.1:", port)), append(inside, fmt.Sprintf("nats://broker-%d:4222", i+1))
	}
	s.urls, s.inside = strings.Join(urls, ","), strings.Join(inside, ",")
	t.Setenv("HIERARCHY_IMAGE", s.session.image())
	t.Setenv("HIERARCHY_BROKER_IMAGE", s.session.broker())
	t.Setenv("COMPOSE_PROJECT_NAME", s.session.project())
	s.lan = &testcontainers.DockerNetwork{Name: s.session.project() + "_default"}
	t.Cleanup(s.remove)
	return s
}

// try has compose do something and returns what it writes.
func (s *stack) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), commandTimeout)
	defer cancel()
	all := append(slices.Clip(s.command), args...)
	return run(ctx, all[0], all[1:]...)
}

func (s *stack) compose(args ...string) {
	s.t.Helper()
	if _, err := s.try(args...); err != nil {
		s.t.Fatal(err)
	}
}

// containers lists those of the stack that match flags of docker ps.
func (s *stack) containers(flags ...string) []string {
	s.t.Helper()
	out, err := run(s.t.Context(), "docker", append([]string{"ps", "-q", "--filter", s.session.filters()[1]}, flags...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Fields(out)
}

// healthy waits until a service has so many containers, all of them healthy by its own
// health check.
func (s *stack) healthy(service string, n int) {
	s.t.Helper()
	of := "label=com.docker.compose.service=" + service
	await(s.t, fmt.Sprintf("%d healthy containers of %s", n, service), func(context.Context) bool {
		return len(s.containers("--filter", of)) == n && len(s.containers("--filter", of, "--filter", "health=healthy")) == n
	})
}

// noteVolumes keeps the volumes of all containers in mind. Those without a name of
// their own do not tell whose they are.
func (s *stack) noteVolumes() {
	s.t.Helper()
	for _, id := range s.containers("-a") {
		out, err := run(s.t.Context(), "docker", "inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}", id)
		if err != nil {
			s.t.Fatal(err)
		}
		s.volumes = append(s.volumes, strings.Fields(out)...)
	}
}

// remove takes the stack down and checks that nothing is left.
func (s *stack) remove() {
	ctx := context.WithoutCancel(s.t.Context())
	compose := func(args ...string) string {
		all := append(slices.Clip(s.command), args...)
		out, err := run(ctx, all[0], all[1:]...)
		if err != nil {
			s.t.Error(err)
		}
		return out
	}
	if s.t.Failed() {
		s.t.Logf("the last of the stack:\n%s", compose("logs", "--no-color", "--tail", fmt.Sprint(logLines)))
	}
	compose("down", "-v", "--remove-orphans")
	for _, thing := range things[:3] {
		out, err := run(ctx, "docker", append(slices.Clip(thing.list), "--filter", s.session.filters()[1])...)
		if err != nil || out != "" {
			s.t.Errorf("%s left: %s (%v)", thing.what, out, err)
		}
	}
	for _, volume := range s.volumes {
		if _, err := run(ctx, "docker", "volume", "inspect", volume); err == nil {
			s.t.Errorf("volume %s is left", volume)
		}
	}
}
