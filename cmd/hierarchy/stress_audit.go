package main

import (
	"context"
	"fmt"

	"github.com/hierarchy-events/hierarchy/audit"
)

// end returns the place behind what the store's stream holds, or its beginning if that
// is the same.
func (s *stressor) end(ctx context.Context) (audit.Start, error) {
	if s.rig.broker != nil {
		return audit.Start{}, nil // there is nothing in it
	}
	ctx, cancel := s.rig.app.bounded(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.rig.space.StoreStream())
	if err != nil {
		return audit.Start{}, fmt.Errorf("looking up stream %s: %w", s.rig.space.StoreStream(), err)
	}
	return audit.Start{Sequence: stream.CachedInfo().State.LastSeq + 1}, nil
}

// audit proves from the recorded streams that the system has kept its promises during
// the run, and adds what it finds to the report.
func (s *stressor) audit(ctx context.Context, r *stressReport, begin audit.Start) error {
	found, err := audit.Run(ctx, audit.Options{JS: s.js, Space: s.rig.space, Since: begin})
	if err != nil {
		return err
	}
	r.Audit = &auditReport{OK: found.Clean(), Report: found}
	for i := range found.Violations {
		r.problem("audit: %s", found.Violations[i])
	}
	return nil
}
