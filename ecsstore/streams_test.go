package ecsstore

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

func TestOldServers(t *testing.T) {
	for version, old := range map[string]bool{
		"2.14.3": true, "2.14.0": true, "2.13.9": true, "2.9.25": true, "1.99.99": true, "2.14": true, "2": true, "": true,
		"v2.14.3": true, "2.14.3-RC.1": true, "2.14.3+build": true, "dev": true, "2.2.400": true,
		"2.14.4": false, "2.14.5": false, "2.14.10": false, "2.14.40": false, "2.15.0": false, "2.100.0": false, "3.0.0": false, "10.0.0": false,
		"v2.14.4": false, "2.14.4-RC.3": false, "2.14.4+dirty": false, "2.15.0-preview.1": false, "2.14.4.1": false,
	} {
		if older(version, MinServer) != old {
			t.Errorf("version %q is too old: %t, want %t", version, !old, old)
		}
	}
}

// ancient says that it is a broker of some version, answers pings and nothing else.
type ancient string

// InProcessConn implements [nats.InProcessConnProvider].
func (version ancient) InProcessConn() (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() { // ends when the client hangs up
		defer ours.Close()
		fmt.Fprintf(ours, "INFO {\"version\":%q,\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n", string(version))
		for lines := bufio.NewScanner(ours); lines.Scan(); {
			if lines.Text() == "PING" {
				fmt.Fprint(ours, "PONG\r\n")
			}
		}
	}()
	return theirs, nil
}

// TestAnOldServerIsRefused asks a broker that is one release too old.
func TestAnOldServerIsRefused(t *testing.T) {
	nc, err := nats.Connect("", nats.InProcessServer(ancient("2.14.3")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range openers(t, js, subjects.Space{}) {
		if !errors.Is(err, ErrOldServer) || !strings.Contains(err.Error(), "2.14.4 or newer") || !strings.HasSuffix(err.Error(), " is 2.14.3") {
			t.Errorf("%s: %v, want ErrOldServer with both versions", what, err)
		}
	}
}

// openers calls everything that begins to work with streams, and returns what it says.
func openers(t *testing.T, js jetstream.JetStream, space subjects.Space) map[string]error {
	t.Helper()
	out := map[string]error{"Init": Init(t.Context(), js, space, DefaultSettings())}
	_, out["Open"] = Open(t.Context(), js, space)
	_, out["Partitions"] = Partitions(t.Context(), js, space)
	_, out["NewJetStream"] = NewJetStream(t.Context(), js, space)
	return out
}

// spoiled is a setting of a stream that is not as it must be.
type spoiled struct {
	setting string // as the error calls it
	spoil   func(*jetstream.StreamConfig)
}

// both are spoiled in either stream.
var both = []spoiled{
	{"metadata hierarchy.role", func(c *jetstream.StreamConfig) { c.Metadata[metaRole] = "backup" }},
	{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "more.of."+c.Name) }},
	{"subject transform", func(c *jetstream.StreamConfig) { c.SubjectTransform = nil }},
	{"subject transform", func(c *jetstream.StreamConfig) {
		c.SubjectTransform.Destination = "elsewhere.>"
		c.SubjectTransform.Source = ">"
	}},
	{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }},
	{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }},
	{"discard", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
	{"max age", func(c *jetstream.StreamConfig) { c.MaxAge = 365 * 24 * time.Hour }},
	{"max messages per subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
	{"deny delete", func(c *jetstream.StreamConfig) { c.DenyDelete = false }},
	{"no ack", func(c *jetstream.StreamConfig) { c.NoAck = true }},
	{"deny purge", func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = true, false }},
	{"max message size", func(c *jetstream.StreamConfig) { c.MaxMsgSize = maxOpsMessage - 1 }},
	{"sources or mirror", func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "ELSEWHERE"}} }},
	{"allow rollup", func(c *jetstream.StreamConfig) { c.AllowRollup = !c.AllowRollup }},
	{"allow message TTL", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = !c.AllowMsgTTL }},
	{"allow atomic publish", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = !c.AllowAtomicPublish }},
}

var opsOnly = []spoiled{
	{"persist mode", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }},
}

var storeOnly = []spoiled{
	{"republish", func(c *jetstream.StreamConfig) { c.RePublish = nil }},
	{"republish", func(c *jetstream.StreamConfig) { c.RePublish.HeadersOnly = true }},
	{"republish", func(c *jetstream.StreamConfig) { c.RePublish.Destination = "elsewhere.>"; c.RePublish.Source = ">" }},
	{"max message size", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 8 << 20 }},
	{"allow direct", func(c *jetstream.StreamConfig) { c.AllowDirect = false }},
}

// TestUnsafeStreams makes the two streams as Init does, but for one setting of one of them.
// Nobody works with them then, and everybody is told which setting of which stream it is.
func TestUnsafeStreams(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	n := 0
	try := func(role string, cases []spoiled) {
		for _, c := range cases {
			n++
			space, err := subjects.In(fmt.Sprintf("space-%d", n))
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s/%s", role, c.setting), func(t *testing.T) {
				stream := spoil(t, js, space, role, c.spoil)
				for what, err := range openers(t, js, space) {
					want := fmt.Sprintf("stream %s: %v: %s is ", stream, ErrUnsafeStream, c.setting)
					if !errors.Is(err, ErrUnsafeStream) || !strings.HasPrefix(err.Error(), want) {
						t.Errorf("%s: %v, want %q", what, err, want)
					}
				}
			})
		}
	}
	try("operations", both)
	try("operations", opsOnly)
	try("store", both)
	try("store", storeOnly)
}

// spoil makes the streams of a space, one of them spoiled, and returns its name.
func spoil(t *testing.T, js jetstream.JetStream, space subjects.Space, role string, change func(*jetstream.StreamConfig)) string {
	t.Helper()
	name := ""
	for _, config := range []jetstream.StreamConfig{DefaultSettings().opsConfig(space), DefaultSettings().storeConfig(space)} {
		if config.Metadata[metaRole] == role {
			name = config.Name
			change(&config)
		}
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatalf("making the stream: %v", err)
		}
	}
	return name
}

// TestSchedulesAreRefused asks without a broker: ours makes no stream that has message
// schedules and discards what is new, but another might.
func TestSchedulesAreRefused(t *testing.T) {
	want := DefaultSettings().storeConfig(subjects.Space{})
	if err := checkStream(want, want); err != nil {
		t.Errorf("a sound stream: %v", err)
	}
	have := want
	have.AllowMsgSchedules = true
	if err := checkStream(have, want); !errors.Is(err, ErrUnsafeStream) || !strings.HasSuffix(err.Error(), ": allow message schedules is true, need false") {
		t.Errorf("got %v", err)
	}
}

// TestStreamsCarryTheirSettings opens streams whose metadata do not say what they were made
// with, or say what cannot be.
func TestStreamsCarryTheirSettings(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	for i, c := range []struct{ role, key, value, want string }{
		{"operations", metaPartitions, "", "it carries no number of partitions"},
		{"store", metaPartitions, "many", "it carries no number of partitions"},
		{"store", metaPartitions, "257", "partitions is 257: want 1 to 256"},
		{"operations", metaPartitions, "0", "partitions is 0: want 1 to 256"},
		{"operations", metaRetention, "", "it carries no retention"},
		{"store", metaRetention, "1s", "retention is 1s: want at least 1m"},
		{"operations", metaResizing, "more", `its partitions are being changed to "more"`},
		{"operations", metaResizing, "257", `its partitions are being changed to "257"`},
		{"store", metaPartitions, "8", "it has 8 partitions"},
	} {
		space, err := subjects.In(fmt.Sprintf("space-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		stream := spoil(t, js, space, c.role, func(config *jetstream.StreamConfig) { config.Metadata[c.key] = c.value })
		_, err = Open(t.Context(), js, space)
		if want := fmt.Sprintf("stream %s: %v: %s", stream, ErrUnsafeStream, c.want); !errors.Is(err, ErrUnsafeStream) || !strings.HasPrefix(fmt.Sprint(err), want) {
			t.Errorf("%s of %s is %q: %v, want %s", c.key, c.role, c.value, err, want)
		}
	}
}
