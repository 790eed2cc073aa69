package subjects_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// valve is an entity whose id is easy to read.
var valve = uuid.MustParse("00000000-0000-4000-8000-000000000007")

// in returns the space under a prefix.
func in(tb testing.TB, prefix string) subjects.Space {
	tb.Helper()
	space, err := subjects.In(prefix)
	if err != nil {
		tb.Fatal(err)
	}
	return space
}

// TestSpelling spells every subject out: they are what permissions, dashboards and other
// languages rely on.
func TestSpelling(t *testing.T) {
	var usual subjects.Space
	own := in(t, "my-plant")
	v := valve.String()
	for got, want := range map[string]string{
		usual.Prefix():                               "hierarchy",
		own.Prefix():                                 "my-plant",
		usual.OpsStream():                            "HIERARCHY_OPS",
		usual.StoreStream():                          "HIERARCHY",
		usual.MembersBucket():                        "HIERARCHY_MEMBERS",
		own.OpsStream():                              "MY_PLANT_OPS",
		own.StoreStream():                            "MY_PLANT",
		own.MembersBucket():                          "MY_PLANT_MEMBERS",
		usual.Submit(operation.Critical, valve):      "hierarchy.ops.critical." + v,
		own.Submit(operation.Low, valve):             "my-plant.ops.low." + v,
		usual.Cancel(valve):                          "hierarchy.ops.cancel." + v,
		usual.Submissions():                          "hierarchy.ops.*.*",
		usual.Sealed():                               "hierarchy.sealed",
		usual.Stored(16):                             "hierarchy.partition.{{partition(16,2)}}.{{wildcard(1)}}.{{wildcard(2)}}",
		usual.Submitted(3):                           "hierarchy.partition.3.*.*",
		usual.SubmittedTo(3, valve):                  "hierarchy.partition.3.*." + v,
		usual.Write(usual.Fence(3)):                  "hierarchy.tx.fence.3",
		own.Write(own.State(valve)):                  "my-plant.tx.state." + v,
		usual.Writes():                               "hierarchy.tx.>",
		usual.Kept():                                 "hierarchy.>",
		usual.Fence(3):                               "hierarchy.fence.3",
		usual.Fences():                               "hierarchy.fence.*",
		usual.Window(3):                              "hierarchy.window.3",
		usual.Windows():                              "hierarchy.window.*",
		usual.Ledger(3):                              "hierarchy.ledger.3",
		usual.Record(3, valve):                       "hierarchy.op.3." + v,
		usual.Records(3):                             "hierarchy.op.3.*",
		usual.AllRecords():                           "hierarchy.op.*.*",
		usual.State(valve):                           "hierarchy.state." + v,
		usual.States():                               "hierarchy.state.*",
		usual.Version(valve, 4):                      "hierarchy.version." + v + ".4",
		usual.Versions(valve):                        "hierarchy.version." + v + ".*",
		usual.AllVersions():                          "hierarchy.version.*.*",
		usual.Check(3):                               "hierarchy.check.3",
		usual.Dead(3):                                "hierarchy.dead.3",
		usual.DeadLetters():                          "hierarchy.dead.*",
		usual.Event(operation.CompletedEvent, valve): "hierarchy.events.completed." + v,
		usual.EventToken(operation.RejectedEvent, "v7"): "hierarchy.events.rejected.v7",
		usual.Events():                       "hierarchy.events.>",
		usual.EventsOf(operation.RetryEvent): "hierarchy.events.retry.*",
		usual.EventsAbout(valve):             "hierarchy.events.*." + v,
		usual.Ping("w1"):                     "hierarchy.worker.w1.ping",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTokens(t *testing.T) {
	long := strings.Repeat("x", subjects.MaxToken)
	for _, text := range []string{"a", "A-Z_09", "valve-7", "-", "_", "0", valve.String(), long} {
		if !subjects.Token(text) {
			t.Errorf("%q is refused", text)
		}
		if in(t, text).Prefix() != text {
			t.Errorf("%q is no prefix", text)
		}
	}
	for _, text := range []string{
		"", ".", "a.b", "*", ">", "a*", "a>", "$JS", " ", "a b", "a\tb", "a\r\nb", "a\x00", "a/b", "a:b", "é", "\xff", "@a", "[", "`", "{", "a" + long,
	} {
		if subjects.Token(text) {
			t.Errorf("%q may be a token", text)
		}
		if space, err := subjects.In(text); err == nil || space.Prefix() != subjects.DefaultPrefix {
			t.Errorf("%q may be a prefix: %v", text, err)
		}
	}
}

// TestEventsRoundTrip takes apart what was built, under each prefix and of each kind.
func TestEventsRoundTrip(t *testing.T) {
	for _, prefix := range []string{"hierarchy", "my-plant", "events", "x"} {
		space := in(t, prefix)
		for _, kind := range operation.Kinds() {
			for _, target := range []string{valve.String(), uuid.NewString(), "no-uuid"} {
				got, about, err := space.ParseEvent(space.EventToken(kind, target))
				if err != nil || got != kind || about != target {
					t.Errorf("%s of %s under %s comes back as %s of %s: %v", kind, target, prefix, got, about, err)
				}
			}
		}
	}
}

// TestNoEvent shows what is none: another family, another prefix, too few or too many
// tokens.
func TestNoEvent(t *testing.T) {
	var space subjects.Space
	for _, subject := range []string{
		"", "hierarchy", "hierarchy.events", "hierarchy.events.", "hierarchy.events.completed", "hierarchy.events.completed.a.b",
		"hierarchy.ops.low.a", "plant.events.completed.a", "my.hierarchy.events.completed.a", "hierarchy.tx.events.completed.a",
		"hierarchyevents.completed.a", "HIERARCHY.events.completed.a",
	} {
		if kind, target, err := space.ParseEvent(subject); err == nil {
			t.Errorf("%q is %s of %s", subject, kind, target)
		}
	}
}

// TestNoSubmission shows what the operations stream never stores.
func TestNoSubmission(t *testing.T) {
	var space subjects.Space
	for _, subject := range []string{
		"", "hierarchy", "hierarchy.partition", "hierarchy.partition.", "hierarchy.partition.3", "hierarchy.partition.3.low",
		"hierarchy.partition.3.low.a.b", "hierarchy.partition.x.low.a", "hierarchy.partition..low.a", "hierarchy.partition.1e1.low.a",
		"hierarchy.partition.-1.low.a", "hierarchy.partition.+1.low.a", "hierarchy.partition.03.low.a",
		"hierarchy.partition.99999999999999999999.low.a",
		"hierarchy.ops.low.a", "plant.partition.3.low.a", "my.hierarchy.partition.3.low.a", "hierarchy.tx.partition.3.low.a",
	} {
		if got, err := space.ParseSubmission(subject); err == nil {
			t.Errorf("%q is %+v", subject, got)
		}
	}
}
