package ecsstore_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// archive is a broker whose store is written message by message, as no worker would.
type archive struct {
	t      *testing.T
	broker *natstest.Server
	js     jetstream.JetStream
	space  subjects.Space
	read   *ecsstore.Reader
}

const archivePartitions = 4

func newArchive(t *testing.T) *archive {
	t.Helper()
	broker := natstest.Start(t)
	a := &archive{t: t, broker: broker, js: broker.JetStream(t)}
	a.read = ecsstore.NewReader(a.js, a.space)
	settings := ecsstore.DefaultSettings()
	settings.Partitions = archivePartitions
	if err := ecsstore.Init(t.Context(), a.js, a.space, settings); err != nil {
		t.Fatal(err)
	}
	return a
}

// put stores a value under a subject of the store.
func (a *archive) put(stored string, v any) {
	a.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.js.Publish(a.t.Context(), a.space.Write(stored), body); err != nil {
		a.t.Fatal(err)
	}
}

func TestGetReadsTheHead(t *testing.T) {
	a := newArchive(t)
	id := operation.EntityID("valve-7")
	if _, err := a.read.Get(t.Context(), id); !errors.Is(err, ecsstore.ErrNotFound) {
		t.Errorf("before it exists: %v, want ErrNotFound", err)
	}
	const large = "12345678901234567890"
	for revision := range uint64(2) {
		a.put(a.space.State(id), ecsstore.Entity{
			ID: id, Revision: revision + 1, Components: map[string]any{"n": json.Number(large)},
		})
	}
	head, err := a.read.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if head.Revision != 2 || head.Components["n"] != json.Number(large) {
		t.Errorf("got revision %d and n = %v, want 2 and %s", head.Revision, head.Components["n"], large)
	}
}

func TestReadingTellsWhatIsMissing(t *testing.T) {
	id := operation.EntityID("valve-7")
	for name, c := range map[string]struct {
		want error
		opt  natstest.Option
	}{
		"streams":   {ecsstore.ErrNotInitialized, func(*server.Options) {}},
		"JetStream": {ecsstore.ErrNoJetStream, func(o *server.Options) { o.JetStream = false }},
	} {
		t.Run(name, func(t *testing.T) {
			read := ecsstore.NewReader(natstest.Start(t, c.opt).JetStream(t), subjects.Space{})
			_, err := read.Get(t.Context(), id)
			if !errors.Is(err, c.want) {
				t.Errorf("Get: %v, want %v", err, c.want)
			}
			if _, err := read.Window(t.Context(), 0, 1); err == nil {
				t.Error("Window found something")
			}
		})
	}
}

// versioned stores an entity with versions, one at each of the hours.
func (a *archive) versioned(id uuid.UUID, day time.Time, hours ...int) {
	a.t.Helper()
	for i, hour := range hours {
		n := uint64(i + 1) //nolint:gosec // a small index
		a.put(a.space.Version(id, n), ecsstore.Version{
			Entity: id, Number: n, Time: day.Add(time.Duration(hour) * time.Hour), Head: &ecsstore.Entity{ID: id},
		})
	}
	a.put(a.space.State(id), ecsstore.Entity{ID: id, VersionCount: uint64(len(hours))})
}

func TestVersionsComeInOrder(t *testing.T) {
	a := newArchive(t)
	one, other := operation.EntityID("one"), operation.EntityID("other")
	a.versioned(one, time.Unix(0, 0), 1, 2, 3)
	a.versioned(other, time.Unix(0, 0), 1)
	var got []uint64
	for version, err := range a.read.Versions(t.Context(), one) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, version.Number)
	}
	if want := []uint64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("versions %v, want %v", got, want)
	}
	for version, err := range a.read.Versions(t.Context(), operation.EntityID("none")) {
		t.Errorf("an entity without versions has %v, %v", version, err)
	}
	if _, err := a.read.Version(t.Context(), one, 4); !errors.Is(err, ecsstore.ErrNotFound) {
		t.Errorf("version 4: %v, want ErrNotFound", err)
	}
}

func TestAtFindsTheVersionOfATime(t *testing.T) {
	a := newArchive(t)
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	id := operation.EntityID("valve-7")
	a.versioned(id, day, 1, 3, 3, 8, 9)
	for hour, want := range map[int]uint64{1: 1, 2: 1, 3: 3, 7: 3, 8: 4, 9: 5, 20: 5} {
		version, err := a.read.At(t.Context(), id, day.Add(time.Duration(hour)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if version.Number != want {
			t.Errorf("at hour %d: version %d, want %d", hour, version.Number, want)
		}
	}
	for _, missing := range []uuid.UUID{id, operation.EntityID("none")} {
		if _, err := a.read.At(t.Context(), missing, day); !errors.Is(err, ecsstore.ErrNotFound) {
			t.Errorf("at hour 0: %v, want ErrNotFound", err)
		}
	}
}

func TestTreeIsNested(t *testing.T) {
	a := newArchive(t)
	names := []string{"plant", "tank", "valve", "pump"}
	id := map[string]uuid.UUID{"gone": operation.EntityID("gone")}
	for _, name := range names {
		id[name] = operation.EntityID(name)
	}
	below := map[string][]uuid.UUID{"plant": {id["tank"], id["gone"], id["pump"]}, "tank": {id["valve"]}}
	for _, name := range names {
		a.put(a.space.State(id[name]), ecsstore.Entity{ID: id[name], Name: name, Children: below[name]})
	}
	node, err := a.read.Tree(t.Context(), id["plant"])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := shape(node), "plant(tank(valve) pump)"; got != want {
		t.Errorf("tree %s, want %s: a child that is gone is left out", got, want)
	}
	if _, err := a.read.Tree(t.Context(), id["gone"]); !errors.Is(err, ecsstore.ErrNotFound) {
		t.Errorf("tree of nothing: %v, want ErrNotFound", err)
	}
}

func shape(n *ecsstore.Node) string {
	text := n.Entity.Name
	for i, child := range n.Children {
		text += map[bool]string{true: "(", false: " "}[i == 0] + shape(child)
	}
	if len(n.Children) > 0 {
		text += ")"
	}
	return text
}

func TestFencesAreTheLatestOfEachPartition(t *testing.T) {
	a := newArchive(t)
	if fences, err := a.read.Fences(t.Context()); err != nil || len(fences) > 0 {
		t.Errorf("of an empty store: %v, %v", fences, err)
	}
	for _, f := range []operation.Fence{{Partition: 2, Cursor: 1}, {Partition: 0, Cursor: 5}, {Partition: 2, Cursor: 9}} {
		a.put(a.space.Fence(f.Partition), f)
	}
	fences, err := a.read.Fences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []operation.Fence{{Partition: 0, Cursor: 5}, {Partition: 2, Cursor: 9}}
	if diff := gocmp.Diff(want, fences); diff != "" {
		t.Errorf("fences (-want +got):\n%s", diff)
	}
}

// submit publishes operations for an entity and returns their digests.
func (a *archive) submit(target uuid.UUID, n int) (digests []string) {
	a.t.Helper()
	for range n {
		op := operation.Operation{
			ID: uuid.New(), Type: operation.VersionEntity, Target: target, Priority: operation.Normal,
		}
		body, err := op.Encode()
		if err != nil {
			a.t.Fatal(err)
		}
		if _, err := a.js.Publish(a.t.Context(), a.space.Submit(op.Priority, target), body); err != nil {
			a.t.Fatal(err)
		}
		digests = append(digests, op.Digest())
	}
	return digests
}

func TestLagCountsWhatLiesBeyondTheCursor(t *testing.T) {
	a := newArchive(t)
	target := operation.EntityID("valve-7")
	partition := subjects.Partition(target, archivePartitions)
	a.submit(target, 3)
	for cursor, want := range []uint64{3, 2, 1, 0, 0} {
		got, err := a.read.Lag(t.Context(), partition, uint64(cursor)) //nolint:gosec // a small index
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("beyond %d: %d, want %d", cursor, got, want)
		}
	}
	if got, err := a.read.Lag(t.Context(), (partition+1)%archivePartitions, 0); err != nil || got != 0 {
		t.Errorf("of another partition: %d, %v", got, err)
	}
}

func TestWindowIsFoundAmongMany(t *testing.T) {
	a := newArchive(t)
	const windows = 20
	for n := range uint64(windows) {
		for partition := range 3 {
			a.put(a.space.Window(partition), operation.Window{Partition: partition, Number: n + 1})
		}
	}
	for n := range uint64(windows) {
		record, err := a.read.Window(t.Context(), 1, n+1)
		if err != nil {
			t.Fatal(err)
		}
		if record.Partition != 1 || record.Number != n+1 {
			t.Errorf("window 1-%d: got %d-%d", n+1, record.Partition, record.Number)
		}
	}
	for _, missing := range []uint64{0, windows + 1} {
		if _, err := a.read.Window(t.Context(), 1, missing); !errors.Is(err, ecsstore.ErrNotFound) {
			t.Errorf("window 1-%d: %v, want ErrNotFound", missing, err)
		}
	}
	if _, err := a.read.Window(t.Context(), 3, 1); !errors.Is(err, ecsstore.ErrNotFound) {
		t.Errorf("of a partition without windows: %v, want ErrNotFound", err)
	}
}

func TestR9_SubmittedKnowsADigestAfterTheStreamForgotIt(t *testing.T) {
	a := newArchive(t)
	target := operation.EntityID("valve-7")
	partition := subjects.Partition(target, archivePartitions)
	digests := a.submit(target, 4)
	a.put(a.space.Fence(partition), operation.Fence{Partition: partition, Cursor: 3, Partitions: archivePartitions})
	a.put(a.space.Window(partition), operation.Window{Partition: partition, Number: 1, After: 0, Cursor: 1})
	a.put(a.space.Window(partition), operation.Window{
		Partition: partition, Number: 2, After: 1, Cursor: 3,
		Taken: []operation.Taken{{Sequence: 2, Digest: digests[1]}, {Sequence: 3, Digest: digests[2]}},
	})
	stream, err := a.js.Stream(t.Context(), a.space.OpsStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(2); sequence <= 4; sequence++ {
		got, err := a.read.Submitted(t.Context(), target, sequence, nil)
		if err != nil || got != digests[sequence-1] {
			t.Errorf("sequence %d: %q, %v; want %q", sequence, got, err, digests[sequence-1])
		}
	}
	for _, missing := range []uint64{1, 9} {
		if _, err := a.read.Submitted(t.Context(), target, missing, nil); !errors.Is(err, ecsstore.ErrNotFound) {
			t.Errorf("sequence %d: %v, want ErrNotFound", missing, err)
		}
	}
}

func TestR9_SubmittedIsEmptyForWhatIsNoOperation(t *testing.T) {
	a := newArchive(t)
	target := operation.EntityID("valve-7")
	if _, err := a.js.Publish(t.Context(), a.space.Submit(operation.Low, target), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if got, err := a.read.Submitted(t.Context(), target, 1, nil); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestFencesAreAllThereWhileTheyChange reads fences that are replaced all the time: one that
// goes before it was read must not be missing.
func TestFencesAreAllThereWhileTheyChange(t *testing.T) {
	a := newArchive(t)
	store, err := ecsstore.NewJetStream(t.Context(), a.js, a.space)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(p int) {
		if _, err := store.Claim(t.Context(), p, "w", 0); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	}
	for p := range archivePartitions {
		claim(p)
		go func() { // ends with the test
			for t.Context().Err() == nil {
				claim(p)
			}
		}()
	}
	for range 40 {
		fences, err := a.read.Fences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(fences) != archivePartitions {
			t.Fatalf("%d fences, want %d", len(fences), archivePartitions)
		}
	}
}

// TestClaimFindsMoreRecordsThanOneRequest has a partition with more records than a replica
// answers at once.
func TestClaimFindsMoreRecordsThanOneRequest(t *testing.T) {
	a := newArchive(t)
	const count = 1100
	for i := range uint64(count) {
		r := operation.Record{OpID: uuid.New(), Status: operation.Succeeded, Sequence: i, EffectivePriority: operation.Normal}
		a.put(a.space.Record(2, r.OpID), r)
	}
	store, err := ecsstore.NewJetStream(t.Context(), a.js, a.space)
	if err != nil {
		t.Fatal(err)
	}
	claim, err := store.Claim(t.Context(), 2, "w", 0)
	if err != nil || len(claim.Records) != count {
		t.Errorf("%d records, %v, want %d", len(claim.Records), err, count)
	}
}
