package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// startRun starts hierarchy run as a process of its own, broker and worker in one.
func startRun(t *testing.T, listen, folder string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("hierarchy") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "run", "--listen", listen, "--store", folder, "--http", "off")
	cmd.Env = append(os.Environ(), "NATS_URL=")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// TestR16_RunKilledUnderStress kills the process that is broker and worker, without a
// warning and in the middle of a stress run, and starts it again. What the run says of
// itself is compared with the events that are in the stream afterwards.
func TestR16_RunKilledUnderStress(t *testing.T) {
	const targets = 20
	listen, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	url, folder := "nats://"+listen, t.TempDir()
	run := startRun(t, listen, folder)
	js := dialed(t, url)
	done := make(chan stressReport)
	go func() {
		_, out := stressed(t.Context(), t, "stress", "--server", url, "--for", "4s", "--rate", "1000",
			"--targets", "20", "--json")
		done <- decodeReport(t, out)
	}()
	for _, least := range []uint64{500, 1500, 2500} {
		awaitOperations(t, js, least)
		_ = run.Process.Kill()
		_ = run.Wait()
		run = startRun(t, listen, folder)
	}
	r := <-done
	if !r.OK || r.Submitted < 2000 || r.Workers != 0 {
		t.Errorf("report: %+v", r)
	}
	outcomes := terminalEvents(t, js)
	for id, n := range outcomes {
		if n != 1 {
			t.Errorf("operation %s has %d terminal events", id, n)
		}
	}
	if want := r.Submitted + targets; len(outcomes) != want { // the targets are created by operations
		t.Errorf("%d operations have an outcome, %d were accepted", len(outcomes), want)
	}
}

// dialed connects to the broker at a URL once its partitions are owned.
func dialed(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	natstest.Await(t, "a worker", func(context.Context) bool { return owned(url) == nil })
	nc, err := client.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// awaitOperations waits until so many operations have been stored.
func awaitOperations(t *testing.T, js jetstream.JetStream, least uint64) {
	t.Helper()
	natstest.Await(t, "load on the operations stream", func(ctx context.Context) bool {
		stream, err := js.Stream(ctx, subjects.Space{}.OpsStream())
		return err == nil && stream.CachedInfo().State.LastSeq > least
	})
}

// terminalEvents counts the terminal events that are stored, by operation.
func terminalEvents(t *testing.T, js jetstream.JetStream) map[uuid.UUID]int {
	t.Helper()
	reader, err := js.OrderedConsumer(t.Context(), subjects.Space{}.StoreStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"hierarchy.events.completed.*", "hierarchy.events.rejected.*", "hierarchy.events.cancelled.*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[uuid.UUID]int{}
	for pending := uint64(1); pending > 0; {
		message, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		meta, err := message.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		pending = meta.NumPending
		var event struct {
			Data struct {
				ID uuid.UUID `json:"op_id"`
			} `json:"data"`
		}
		if err := json.Unmarshal(message.Data(), &event); err != nil {
			t.Fatal(err)
		}
		counts[event.Data.ID]++
	}
	return counts
}
