package subjects_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// sorted makes a stream in memory that stores what takes matches under the subject that
// the broker computes.
func sorted(t *testing.T, js jetstream.JetStream, name, takes, keeps string) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: name, Subjects: []string{takes}, Storage: jetstream.MemoryStorage,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: takes, Destination: keeps},
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// publish publishes to each of the subjects and waits until all is stored.
func publish(t *testing.T, js jetstream.JetStream, to []string) {
	t.Helper()
	for _, subject := range to {
		if _, err := js.PublishAsync(subject, nil, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	natstest.Await(t, "what was published to be stored", func(ctx context.Context) bool {
		select {
		case <-js.PublishAsyncComplete():
			return true
		case <-ctx.Done():
			return false
		}
	})
}

// stored returns the subjects of a stream that match a filter.
func stored(t *testing.T, stream jetstream.Stream, filter string) []string {
	t.Helper()
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(info.State.Subjects))
}

// TestPartitionIsTheBrokers has a broker sort many random entities into partitions, and
// compares where it has stored their operations with what is computed here.
func TestPartitionIsTheBrokers(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	random := rand.NewChaCha8([32]byte{2})
	for _, n := range []int{1, 2, 3, 16, 100, 256} {
		space := in(t, fmt.Sprintf("of-%d", n))
		stream := sorted(t, js, space.OpsStream(), space.Submissions(), space.Stored(n))
		var to, want []string
		for i := range 2000 {
			entity, err := uuid.NewRandomFromReader(random)
			if err != nil {
				t.Fatal(err)
			}
			p := operation.Priorities()[i%4]
			to = append(to, space.Submit(p, entity))
			want = append(want, fmt.Sprintf("%d %s %s", subjects.Partition(entity, n), p, entity))
		}
		for _, target := range []string{"valve-7", "V", "x_1"} { // as only rejected ones have
			to = append(to, space.Prefix()+".ops.low."+target)
			want = append(want, fmt.Sprintf("%d low %s", subjects.PartitionOf(target, n), target))
		}
		to = append(to, space.Cancel(valve))
		want = append(want, fmt.Sprintf("%d cancel %s", subjects.Partition(valve, n), valve))
		publish(t, js, to)
		var got []string
		for _, subject := range stored(t, stream, ">") {
			sub, err := space.ParseSubmission(subject)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d %s %s", sub.Partition, sub.Class, sub.Target))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d partitions (-computed +broker):\n%s", n, diff)
		}
	}
}

// TestSubmittedMatches asks a broker what the filters of the operations stream match.
func TestSubmittedMatches(t *testing.T) {
	const n = 4
	js := natstest.Start(t).JetStream(t)
	var space subjects.Space
	stream := sorted(t, js, space.OpsStream(), space.Submissions(), space.Stored(n))
	home := subjects.Partition(valve, n)
	neighbour := uuid.New()
	for subjects.Partition(neighbour, n) != home {
		neighbour = uuid.New()
	}
	stranger := uuid.New()
	for subjects.Partition(stranger, n) == home {
		stranger = uuid.New()
	}
	publish(t, js, []string{
		space.Submit(operation.Low, valve), space.Cancel(valve), space.Submit(operation.High, neighbour), space.Submit(operation.High, stranger),
	})
	for filter, want := range map[string]int{
		space.Submitted(home):              3,
		space.SubmittedTo(home, valve):     2,
		space.SubmittedTo(home, neighbour): 1,
		space.SubmittedTo(home, stranger):  0,
	} {
		if got := stored(t, stream, filter); len(got) != want {
			t.Errorf("%s matches %q, want %d", filter, got, want)
		}
	}
}

// TestTheStoreKeepsWhatIsMeant writes to every subject of the store as workers do, and
// finds it stored under the very subject, and matched by the filters that are meant to.
func TestTheStoreKeepsWhatIsMeant(t *testing.T) {
	js := natstest.Start(t).JetStream(t)
	for _, space := range []subjects.Space{{}, in(t, "my-plant"), in(t, "tx")} {
		stream := sorted(t, js, space.StoreStream(), space.Writes(), space.Kept())
		other := uuid.New()
		filters := map[string][]string{
			space.Fences():           {space.Fence(3), space.Fence(30)},
			space.Windows():          {space.Window(3), space.Window(30)},
			space.Records(3):         {space.Record(3, valve)},
			space.AllRecords():       {space.Record(3, valve), space.Record(30, other)},
			space.States():           {space.State(valve), space.State(other)},
			space.Versions(valve):    {space.Version(valve, 1), space.Version(valve, 1<<63)},
			space.AllVersions():      {space.Version(valve, 1), space.Version(valve, 1<<63), space.Version(other, 1)},
			space.DeadLetters():      {space.Dead(3)},
			space.Ledger(3):          {space.Ledger(3)},
			space.Check(3):           {space.Check(3)},
			space.EventsAbout(valve): {space.Event(operation.StartedEvent, valve), space.Event(operation.CompletedEvent, valve)},
			space.EventsOf(operation.RejectedEvent): {
				space.Event(operation.RejectedEvent, other), space.EventToken(operation.RejectedEvent, "no-uuid"),
			},
		}
		filters[space.Events()] = slices.Concat(filters[space.EventsAbout(valve)], filters[space.EventsOf(operation.RejectedEvent)])
		all := map[string]bool{}
		for _, matched := range filters {
			for _, subject := range matched {
				all[subject] = true
			}
		}
		filters[space.Kept()] = slices.Collect(maps.Keys(all))
		var to []string
		for subject := range all {
			to = append(to, space.Write(subject))
		}
		publish(t, js, to)
		for filter, want := range filters {
			slices.Sort(want)
			if diff := cmp.Diff(want, stored(t, stream, filter)); diff != "" {
				t.Errorf("%s matches (-meant +matched):\n%s", filter, diff)
			}
		}
	}
}
