package ecsstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// TestR25_AStreamThatIsGoneHalts deletes each stream under a store.
func TestR25_AStreamThatIsGoneHalts(t *testing.T) {
	space := subjects.Space{}
	for _, stream := range []string{space.OpsStream(), space.StoreStream()} {
		t.Run(stream, func(t *testing.T) {
			js := natstest.Start(t).JetStream(t)
			if err := ecsstore.Init(t.Context(), js, space, ecsstore.DefaultSettings()); err != nil {
				t.Fatal(err)
			}
			store, err := ecsstore.NewJetStream(t.Context(), js, space)
			if err != nil {
				t.Fatal(err)
			}
			if err := js.DeleteStream(t.Context(), stream); err != nil {
				t.Fatal(err)
			}
			_, err = store.Claim(t.Context(), 0, "worker", 0)
			want := "stream " + stream + " does not exist: restore it from a backup"
			if !errors.Is(err, ecsstore.ErrHalted) || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("claim: %v, want %s", err, want)
			}
		})
	}
}

// TestR25_InitMakesNoStreamUpThatWasLost deletes each stream after it was used, and each
// before: what was never used is made again.
func TestR25_InitMakesNoStreamUpThatWasLost(t *testing.T) {
	space := subjects.Space{}
	ops, store := space.OpsStream(), space.StoreStream()
	for _, c := range []struct {
		lost, used string
		want       error
	}{{ops, store, ecsstore.ErrStreamLost}, {store, ops, ecsstore.ErrStreamLost}, {ops, "", nil}, {store, "", nil}} {
		t.Run(c.lost+" beside "+c.used, func(t *testing.T) {
			js := natstest.Start(t).JetStream(t)
			if err := ecsstore.Init(t.Context(), js, space, ecsstore.DefaultSettings()); err != nil {
				t.Fatal(err)
			}
			subject := map[string]string{ops: "hierarchy.ops.low.x", store: space.Write("hierarchy.x")}[c.used]
			if _, err := js.Publish(t.Context(), subject, nil); c.used != "" && err != nil {
				t.Fatal(err)
			}
			if err := js.DeleteStream(t.Context(), c.lost); err != nil {
				t.Fatal(err)
			}
			if err := ecsstore.Init(t.Context(), js, space, ecsstore.DefaultSettings()); !errors.Is(err, c.want) {
				t.Errorf("init: %v, want %v", err, c.want)
			}
		})
	}
}

// TestR25_InitKeepsTheListOfWorkersAsSafeAsTheStore runs init again as somebody does who does not
// remember how many copies there are, and after the list was lost.
func TestR25_InitKeepsTheListOfWorkersAsSafeAsTheStore(t *testing.T) {
	js := natstest.StartCluster(t, 3).JetStream(t)
	space, with := subjects.Space{}, ecsstore.DefaultSettings()
	copies := func() int {
		t.Helper()
		bucket, err := js.Stream(t.Context(), "KV_"+space.MembersBucket())
		if err != nil {
			t.Fatal(err)
		}
		return bucket.CachedInfo().Config.Replicas
	}
	for _, with.Replicas = range []int{3, 1} {
		if err := ecsstore.Init(t.Context(), js, space, with); err != nil {
			t.Fatal(err)
		}
		if n := copies(); n != 3 {
			t.Errorf("init with %d replicas: the list of workers has %d copies, the store 3", with.Replicas, n)
		}
	}
	if err := js.DeleteKeyValue(t.Context(), space.MembersBucket()); err != nil {
		t.Fatal(err)
	}
	if err := ecsstore.Init(t.Context(), js, space, with); err != nil || copies() != 3 {
		t.Errorf("init after the list was lost: %v, it has %d copies", err, copies())
	}
}
