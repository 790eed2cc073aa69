package audit

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// TestReplicas compares the replicas of three servers, then has one of them lose a bit
// of what it holds.
func TestReplicas(t *testing.T) {
	c := natstest.StartCluster(t, 3)
	js := c.JetStream(t)
	var space subjects.Space
	for name, subject := range map[string]string{space.OpsStream(): "hierarchy.partition.>", space.StoreStream(): "hierarchy.version.>"} {
		cfg := jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, Replicas: 3,
			Metadata: map[string]string{metaRetention: "1h"},
		}
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if _, err := js.Publish(t.Context(), strings.TrimSuffix(subject, ">")+"9.9", []byte("something to remember")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found, nodes := differences(t, js); len(found) > 0 || nodes != 6 {
		t.Errorf("of %d nodes that hold the same: %q", nodes, found)
	}
	odd := c.Servers[0]
	if odd == c.Leader(t, js, space.StoreStream()) {
		odd = c.Servers[1]
	}
	flip(t, odd, space.StoreStream())
	c.AwaitReady(t)
	name := odd.Embedded().Name()
	var found []Violation
	natstest.Await(t, "all nodes to be compared", func(context.Context) (all bool) { // one that has just started gets no consumer yet
		var nodes int
		found, nodes = differences(t, js)
		return nodes == 6
	})
	if len(found) == 0 || slices.ContainsFunc(found, func(v Violation) bool { return !strings.HasSuffix(v.Message, "node "+name+" does not have it") }) {
		t.Errorf("node %s has lost something, found: %q", name, found)
	}
	remedy(t, odd)
	c.AwaitReady(t)
	natstest.Await(t, "the node that was made anew to hold the same", func(context.Context) bool {
		found, nodes := differences(t, js)
		return len(found) == 0 && nodes == 6
	})
}

// remedy makes the store of a server anew, as docs/audit.md says.
func remedy(t *testing.T, s *natstest.Server) {
	t.Helper()
	dir := s.Embedded().StoreDir()
	s.Stop(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
}

// differences audits the replicas and returns what differs, and the number of nodes
// of both streams.
func differences(t *testing.T, js jetstream.JetStream) (found []Violation, nodes int) {
	t.Helper()
	r, err := Run(t.Context(), Options{JS: js, PerReplica: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range r.Violations {
		if v.Invariant == Replicas {
			found = append(found, v)
		}
	}
	if len(r.Incomplete) > 0 {
		t.Logf("incomplete: %q", r.Incomplete)
	}
	return found, len(r.Nodes)
}

// flip stops a server whose log is short, flips a bit of a message of a stream, and
// starts it again.
func flip(t *testing.T, s *natstest.Server, stream string) {
	t.Helper()
	if err := s.Embedded().JetStreamSnapshotStream(server.DEFAULT_GLOBAL_ACCOUNT, stream); err != nil {
		t.Fatal(err)
	}
	dir := s.Embedded().StoreDir()
	s.Stop(t)
	blocks, err := filepath.Glob(filepath.Join(dir, "*", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no blocks below %s: %v", dir, err)
	}
	data, err := os.ReadFile(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(data, []byte("something"))
	if i < 0 {
		t.Fatal("the block holds no message")
	}
	data[i] ^= 1
	if err := os.WriteFile(blocks[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
}
