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
