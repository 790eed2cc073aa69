package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hierarchy-events/hierarchy/audit"
)

// Verdict is what the audit says.
type Verdict struct {
	OK         bool              `json:"ok"`
	Counts     audit.Counts      `json:"counts"`
	Violations []json.RawMessage `json:"violations"`
	Further    uint64            `json:"further_violations"` // beyond those listed
	Incomplete []string          `json:"incomplete"`
}

// audited has the audit look at everything there is, and keeps what it says.
func (s *scenario) audited(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, s.Programs.Hierarchy, "audit", "--json", "--server", s.brokers.url()).Output()
	if failed := new(exec.ExitError); err != nil && !errors.As(err, &failed) {
		return fmt.Errorf("auditing: %w", err)
	} else if len(out) == 0 {
		return fmt.Errorf("the audit says nothing: %s", failed.Stderr)
	}
	if err := os.WriteFile(filepath.Join(s.Folder, "logs", "audit.json"), out, 0o600); err != nil {
		return fmt.Errorf("keeping what the audit says: %w", err)
	}
	v := &s.report.Audit
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("reading what the audit says: %w", err)
	}
	for _, violation := range v.Violations[:min(len(v.Violations), maxProblems)] {
		s.report.problem("audit: %s", violation)
	}
	if !v.OK && len(v.Violations) == 0 {
		s.report.problem("the audit is not clean and does not say why")
	}
	if c := v.Counts; c.Commits < uint64(s.report.Commits) || c.Live > 0 {
		s.report.problem("the audit saw %d commits of %d, and %d operations that had not ended", c.Commits, s.report.Commits, c.Live)
	}
	return nil
}
