package operation

import (
	"testing"

	"github.com/google/uuid"
)

// TestR5_LossesAreCounted reads records as a new owner finds them: each tells of the
// windows lost until it was written, and the latest by how many they have grown since.
func TestR5_LossesAreCounted(t *testing.T) {
	valve, pump := uuid.New(), uuid.New()
	record := func(target uuid.UUID, role Role, losses, contest int) *Record {
		return &Record{Operation: &Operation{Target: target}, Role: role, Losses: losses, Contest: contest, Window: WindowID(1, uint64(losses))}
	}
	records := []*Record{
		record(valve, CarriedRole, 1, 1), record(valve, CarriedRole, 5, 2), record(valve, CarriedRole, 4, 9),
		record(valve, NextRole, 3, 0), record(valve, HolderRole, 2, 0),
		record(pump, CarriedRole, 1, 4),
	}
	for range 2 { // what is up to date stays so
		UpdateCarried(records)
		for i, want := range []int{9, 12, 4, 3, 2, 1} {
			if got := records[i].Losses; got != want {
				t.Errorf("record %d has lost %d windows, want %d", i, got, want)
			}
		}
		for i, want := range []string{"1-4", "1-4", "1-4", "1-3", "1-2", "1-1"} {
			if got := records[i].Window; got != want {
				t.Errorf("window %s decided last over record %d, want %s", got, i, want)
			}
		}
	}
}
