//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// composeMissing returns why the compose file cannot be brought up here.
func composeMissing(ctx context.Context) error {
	if len(composeCommand(ctx)) == 0 {
		return errors.New("neither docker-compose nor docker compose is installed")
	}
	return nil
}

// composeCommand returns how compose is called here: as its version 1 or 2.
func composeCommand(ctx context.Context) []string {
	if _, err := exec.LookPath("docker-compose"); err == nil {
		return []string{"docker-compose"}
	}
	if _, err := run(ctx, "docker", "compose", "version"); err == nil {
		return []string{"docker", "compose"}
	}
	return nil
}

// TestR23_Compose does what a user does: brings the compose file up with its demo, uses
// it from the host, scales the workers under load, and takes it down.
func TestR23_Compose(t *testing.T) {
	s := newStack(t)
	s.up()
	s.used()
	run := s.load()
	for _, workers := range []int{4, 2} {
		began := time.Now()
		s.scale(workers)
		s.flows(100)
		s.say("%d workers share the partitions, and 100 operations were decided, within %v", workers, time.Since(began).Round(time.Millisecond))
	}
	run.end()
	s.compose("stop", "demo")
	s.audited()
	s.stopped()
}

// up brings the stack up and waits for the demo's first decision and for all services
// to be healthy.
func (s *stack) up() {
	s.t.Helper()
	began := time.Now()
	done := make(chan error, 1)
	go func() { // ends with the command
		_, err := s.try("up", "-d", "--no-build")
		done <- err
	}()
	s.connect(nats.RetryOnFailedConnect(true))
	first := make(chan *nats.Msg, 1024)
	sub, err := s.nc.ChanSubscribe(subjects.Space{}.Events(), first)
	if err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-first:
	case <-time.After(patience):
		s.t.Errorf("waited %v for the demo's first decision", patience)
	}
	s.say("the first decision of the demo came %.1f s after the start of up", time.Since(began).Seconds())
	_ = sub.Unsubscribe()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
	for _, broker := range []string{"broker-1", "broker-2", "broker-3"} {
		s.healthy(broker, 1)
	}
	s.scaled(2)
}

// used submits an operation through each of the published ports.
func (s *stack) used() {
	s.t.Helper()
	for i, url := range strings.Split(s.urls, ",") {
		nc, err := client.Connect(url)
		if err != nil {
			s.t.Fatalf("using %s: %v", url, err)
		}
		defer nc.Close()
		c, err := client.New(nc)
		if err != nil {
			s.t.Fatal(err)
		}
		r := client.Request{Type: operation.CreateEntity, Target: fmt.Sprintf("user-%d", i), Params: map[string]any{
			"type": "valve", "components": map[string]any{},
		}}
		op, err := r.Operation()
		if err != nil {
			s.t.Fatal(err)
		}
		if outcome, err := c.SubmitAndWait(s.t.Context(), op); err != nil || outcome.Status != succeeded {
			s.t.Errorf("%s through %s ended with %+v (%v)", op.Type, url, outcome, err)
		}
	}
}

// scale has compose run so many workers, and waits until they share the partitions.
func (s *stack) scale(workers int) {
	s.t.Helper()
	s.say("scale worker=%d", workers)
	s.compose("up", "-d", "--no-build", "--scale", fmt.Sprint("worker=", workers))
	s.scaled(workers)
}

func (s *stack) scaled(workers int) {
	s.t.Helper()
	s.healthy("worker", workers)
	await(s.t, fmt.Sprintf("%d owners of partitions", workers), func(ctx context.Context) bool {
		owned, err := s.owners(ctx)
		return err == nil && len(owned) == workers
	})
	s.noteVolumes()
}

// stopped stops everything in good order: what had to be killed has not ended with 0.
func (s *stack) stopped() {
	s.t.Helper()
	s.compose("stop")
	const format = `{{index .Config.Labels "com.docker.compose.service"}} {{.State.ExitCode}}`
	for _, id := range s.containers("-a") {
		got, err := run(s.t.Context(), "docker", "inspect", "-f", format, id)
		if err != nil || !strings.HasSuffix(got, " 0") {
			s.t.Errorf("stopped %s (%v), want 0", got, err)
		}
	}
}
