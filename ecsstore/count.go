package ecsstore

import (
	"context"
	"errors"
	"fmt"
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
	found := uint64(0)
	rest, err := s.direct(ctx, directRequest{Sequence: 1, NextFor: subject, Batch: 1}, func(stored) error {
		found++
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return found + rest, err
}
