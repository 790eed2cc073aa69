package ecsstore

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// TestR16_AClaimTakesTheLatestRecords reads as a replica that lags is read: records
// that have been replaced since, and then those that replace them.
func TestR16_AClaimTakesTheLatestRecords(t *testing.T) {
	a, b, c := uuid.New(), uuid.New(), uuid.New()
	read := []operation.Record{
		{OpID: a, Status: operation.Pending, Losses: 1},
		{OpID: b, Status: operation.Executing},
		{OpID: a, Status: operation.Pending, Losses: 2},
		{OpID: c, Status: operation.Executing},
		{OpID: a, Status: operation.Succeeded, Losses: 2},
		{OpID: b, Status: operation.Rejected},
	}
	want := []operation.Record{read[3], read[4], read[5]}
	if diff := cmp.Diff(want, latest(slices.Clone(read))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := latest(nil); len(got) != 0 {
		t.Errorf("of no records: %v", got)
	}
}
