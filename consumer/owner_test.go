package consumer_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hierarchy-events/hierarchy/consumer"
)

// TestR23_AWorkerMovesItsOwnShareOnly has workers come and go: what the newcomer does
// not get stays where it was, and what one that leaves did not have as well.
func TestR23_AWorkerMovesItsOwnShareOnly(t *testing.T) {
	const partitions = 256
	var workers []string
	for n := range 12 {
		name := fmt.Sprintf("worker-%d", n)
		more := append(slices.Clone(workers), name)
		moved := 0
		for p := range partitions {
			before, after := consumer.Owner(p, workers), consumer.Owner(p, more)
			if after == name {
				moved++
			} else if after != before {
				t.Errorf("%d workers and one more: partition %d went from %s to %s", len(workers), p, before, after)
			}
			backwards := slices.Clone(more)
			slices.Reverse(backwards)
			if got := consumer.Owner(p, backwards); got != after {
				t.Errorf("partition %d is %s's, told in another order %s's", p, after, got)
			}
		}
		if share := partitions / len(more); moved < share/2 || moved > 2*share {
			t.Errorf("%s got %d of %d partitions, of which its share is %d", name, moved, partitions, share)
		}
		workers = more
	}
}
