package ecsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// What the broker answers to a direct get.
const (
	headerStatus  = "Status"
	headerPending = "Nats-Num-Pending"
	statusMissing = "404"
)

// Entities counts the entities there are, deleted ones included. Any replica may
// answer, so that the count may be a moment old.
func (s *JetStream) Entities(ctx context.Context) (uint64, error) {
	n, err := s.count(ctx, s.space.States())
	if err != nil {
		return 0, fmt.Errorf("counting entities: %w", err)
	}
	return n, nil
}

// count counts the messages of the store under a subject: those that follow the
// first, which the broker tells with it, and that one.
func (s *JetStream) count(ctx context.Context, subject string) (uint64, error) {
	body, err := json.Marshal(struct {
		From  uint64 `json:"seq"`
		Next  string `json:"next_by_subj"`
		Batch int    `json:"batch"`
	}{1, subject, 1})
	if err != nil {
		return 0, err
	}
	reply, err := s.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+s.space.StoreStream(), body)
	if err != nil {
		return 0, err
	}
	if reply.Header.Get(headerStatus) == statusMissing {
		return 0, nil
	}
	rest, err := strconv.ParseUint(reply.Header.Get(headerPending), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the broker's answer: %w", err)
	}
	return rest + 1, nil
}
