//go:build integration && linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// What a worker may take, however many operations wait for it.
const (
	mostBacklogMiB = 384
	backlogTargets = 1000
)

// TestR24_ABacklogStaysOutOfMemory publishes operations while no worker is there, starts
// one, and measures how much memory it takes until all of them have ended. See make
// backlog.
func TestR24_ABacklogStaysOutOfMemory(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	settings := ecsstore.DefaultSettings()
	settings.QueueSize = int64(2 * *operations)
	if err := ecsstore.Init(t.Context(), js, subjects.Space{}, settings); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	flood(t, js, *operations)
	t.Logf("%d operations published in %.1f s", *operations, time.Since(began).Seconds())

	url := js.Conn().ConnectedUrl()
	worker := command(t, "run", "--server", url)
	began = time.Now()
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = worker.Process.Kill(), worker.Wait() }()
	early, most := drained(t, js, worker.Process.Pid, uint64(*operations))
	took := time.Since(began)
	t.Logf("decided in %.1f s, %.0f/s; the worker took %d MiB when a tenth was decided and %d MiB at most",
		took.Seconds(), float64(*operations)/took.Seconds(), early, most)
	if most > mostBacklogMiB {
		t.Errorf("the worker took %d MiB, and may take %d MiB", most, mostBacklogMiB)
	}

	found, err := command(t, "audit", "--server", url, "--json").Output()
	var r auditReport
	if bad := json.Unmarshal(found, &r); err != nil || bad != nil || !r.OK || r.Counts.Operations != uint64(*operations) { //nolint:gosec // a flag
		t.Fatalf("the audit: %v:\n%s", errors.Join(err, bad), found)
	}
}

// flood publishes operations for many targets, which it creates first.
func flood(t *testing.T, js jetstream.JetStream, count int) {
	t.Helper()
	c, err := client.New(js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	fast, err := jetstream.New(js.Conn(), jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		t.Fatal(err)
	}
	for n := range count {
		target := operation.EntityID("target-" + strconv.Itoa(n%backlogTargets))
		op := &operation.Operation{ID: uuid.New(), Target: target, Type: operation.ModifyField, Params: json.RawMessage(`{"field":"n","create":true,"value":` + strconv.Itoa(n) + `}`)}
		if n < backlogTargets {
			op.Type, op.Params = operation.CreateEntity, json.RawMessage(`{"type":"tank","components":{}}`)
		}
		msg, err := c.Message(t.Context(), op)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fast.PublishMsgAsync(msg); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-fast.PublishAsyncComplete():
	case <-t.Context().Done():
	}
}

// drained waits until so many operations have ended. It returns how much memory a
// process had taken when a tenth of them had, and at the end, in MiB.
func drained(t *testing.T, js jetstream.JetStream, pid int, count uint64) (early, most int) {
	t.Helper()
	reader := ecsstore.NewReader(js, subjects.Space{})
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		fences, err := reader.Fences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ended uint64
		for _, f := range fences {
			ended += f.Counts.Succeeded + f.Counts.Rejected
		}
		if most, err = peak(pid); err != nil {
			t.Fatal(err)
		}
		if early == 0 && ended >= count/10 {
			early = most
		}
		if ended >= count {
			return early, most
		}
	}
}

// peak returns the most memory that a process ever had, in MiB: see proc(5).
func peak(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	return kib / 1024, err
}
