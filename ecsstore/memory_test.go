package ecsstore_test

import (
	"testing"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/ecsstore/storetest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Fixture {
		return storetest.OfMemory(ecsstore.NewMemory(subjects.Space{}, 4), subjects.Space{})
	})
}
