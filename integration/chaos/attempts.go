package chaos

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// attempts is what workers tried to commit, stored or not: the fences as they were
// published, before the broker looked at their conditions. Attempts that are made while
// the run's own connection is away are missed, so that what follows from them is a lower
// bound.
type attempts struct {
	mu  sync.Mutex // guards all
	all []attempt
}

// attempt is one partition's part of a commit that somebody tried.
type attempt struct {
	partition int
	epoch     uint64
	owner     string
	batch     uuid.UUID
	at        time.Time
}

// batchCommit is the header of a batch's last message. A fence that carries it is
// alone in its batch: a claim.
const batchCommit = "Nats-Batch-Commit"

// watch notes every attempt from now on. Its subscription ends with the connection.
func (a *attempts) watch(nc *nats.Conn) error {
	_, err := nc.Subscribe(subjects.Space{}.Write(subjects.Space{}.Fences()), func(msg *nats.Msg) {
		var f operation.Fence
		if msg.Header.Get(batchCommit) != "" || json.Unmarshal(msg.Data, &f) != nil || f.Released {
			return // it commits nothing
		}
		batch, err := uuid.Parse(f.BatchID)
		if err != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all = append(a.all, attempt{partition: f.Partition, epoch: f.Epoch, owner: f.Owner, batch: batch, at: time.Now()})
	})
	if err != nil {
		return fmt.Errorf("watching commits: %w", err)
	}
	return nil
}

// fenced returns the attempts of owners who had lost their partition: they came after
// one of a later epoch that was stored. None of them may be among what is stored.
func (a *attempts) fenced(stored map[uuid.UUID]bool) (out []attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	epochs := map[int]uint64{}
	for _, try := range a.all {
		switch {
		case stored[try.batch]:
			epochs[try.partition] = max(epochs[try.partition], try.epoch)
		case try.epoch < epochs[try.partition]:
			out = append(out, try)
		}
	}
	return out
}

// count returns how many attempts were seen.
func (a *attempts) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}
