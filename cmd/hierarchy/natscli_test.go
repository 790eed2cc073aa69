package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

// natsRun runs the standard nats command and returns what it prints.
func natsRun(t *testing.T, url string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), natsCLI, append([]string{"--server", url}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nats %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestTheStandardCommandIsEnough has the nats command publish operations, asking for the
// acknowledgement or not, and subscribe to the events, as README says.
func TestTheStandardCommandIsEnough(t *testing.T) {
	if errNoNATSCLI != nil && os.Getenv("CI") != "true" {
		t.Skip("the nats command is not installed: go install github.com/nats-io/natscli/nats@latest")
	}
	if errNoNATSCLI != nil {
		t.Fatal(errNoNATSCLI)
	}
	listen, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://" + listen
	worker := command(t, "run", "--listen", listen)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	natstest.Await(t, "the worker", func(context.Context) bool { return owned(url) == nil })
	defer stop(t, worker)
	target := operation.EntityID("valve-7")
	publish := func(how, kind, params string) string {
		return natsRun(t, url, how, fmt.Sprintf("hierarchy.ops.normal.%s", target),
			fmt.Sprintf(`{"op_id":"%s","op_type":"%s","target_entity_id":"%s","params":%s}`, uuid.New(), kind, target, params))
	}
	if ack := publish("req", "create_entity", `{"type":"valve","components":{"position":0}}`); !strings.Contains(ack, `"stream":"HIERARCHY_OPS"`) {
		t.Errorf("the broker answers %s", ack)
	}
	var seen bytes.Buffer
	subscriber := exec.CommandContext(t.Context(), natsCLI, "--server", url, "sub", "hierarchy.events.>", "--raw", "--count=2")
	subscriber.Stdout = &seen
	if err := subscriber.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- subscriber.Wait() }()
	natstest.Await(t, "two events", func(context.Context) bool {
		publish("pub", "modify_field", `{"field":"position","value":75}`)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("nats sub: %v", err)
			}
			return true
		default:
			return false
		}
	})
	var kinds []string
	for line := range strings.Lines(seen.String()) {
		var e operation.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kinds = append(kinds, e.Type)
	}
	if want := []string{"hierarchy.operation.started.v1", "hierarchy.operation.completed.v1"}; !slices.Equal(kinds, want) {
		t.Errorf("the events are %q, want %q", kinds, want)
	}
}
