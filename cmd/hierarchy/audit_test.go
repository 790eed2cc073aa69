package main

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// TestR20_AuditNamesWhatIsForged writes an event past the workers, which audit has
// to name, with exit code 1.
func TestR20_AuditNamesWhatIsForged(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	var space subjects.Space
	settings := ecsstore.DefaultSettings()
	settings.Storage = jetstream.MemoryStorage
	if err := ecsstore.Init(t.Context(), js, space, settings); err != nil {
		t.Fatal(err)
	}
	url := js.Conn().ConnectedUrl()
	if code, out := stressed(t.Context(), t, "audit", "--server", url); code != exitDone {
		t.Errorf("of empty streams: exit code %d:\n%s", code, out)
	}
	forged := space.Write(space.Event(operation.CompletedEvent, operation.EntityID("valve-7")))
	if _, err := js.Publish(t.Context(), forged, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	code, out := stressed(t.Context(), t, "audit", "--server", url, "--json")
	var r auditReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != exitError || r.OK || len(r.Violations) != 2 || r.Violations[1].Sequences[0] != 1 {
		t.Errorf("exit code %d, report:\n%s", code, out)
	}
}

// TestR23_AuditComparesTheReplicas audits a cluster of three servers while it works,
// and when it is done.
func TestR23_AuditComparesTheReplicas(t *testing.T) {
	c := natstest.StartCluster(t, 3)
	settings := ecsstore.DefaultSettings()
	settings.Replicas = 3
	if err := ecsstore.Init(t.Context(), c.JetStream(t), subjects.Space{}, settings); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_URL", c.Servers[0].URL())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if code, out := stressed(t.Context(), t, "stress", "--for", "3s", "--rate", "300", "--targets", "20", "--workers", "2"); code != exitDone {
			t.Errorf("stress: exit code %d:\n%s", code, out)
		}
	}()
	for working := true; working; {
		select {
		case <-done:
			working = false
		default:
		}
		code, out := stressed(t.Context(), t, "audit", "--per-replica", "--json")
		var r auditReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		// While it works a node may be behind: then it is named as not compared.
		if code != exitDone || len(r.Nodes)+len(r.Incomplete) != 6 || !working && len(r.Incomplete) > 0 {
			t.Fatalf("working: %t, exit code %d, report:\n%s", working, code, out)
		}
	}
}
