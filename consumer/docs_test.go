package consumer

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

// TestDefaultsAsDocumented compares the table of docs/rules.md with the code.
func TestDefaultsAsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9a-z]+) \\|").FindAllStringSubmatch(string(text), -1) {
		got[m[1]] = m[2]
	}
	cfg, settings := DefaultConfig(), ecsstore.DefaultSettings()
	want := map[string]string{
		"max_retries": strconv.Itoa(operation.DefaultRetries), "max_crashes": strconv.Itoa(MaxCrashes),
		"max_parent_depth": strconv.Itoa(operation.MaxParentDepth),
		"max_carries":      strconv.Itoa(cfg.Limits.MaxCarries), "max_carried": strconv.Itoa(cfg.Limits.MaxCarried),
		"max_concurrent":       strconv.Itoa(cfg.MaxConcurrent),
		"independent_children": strconv.FormatBool(cfg.IndependentChildren), "replicas": strconv.Itoa(settings.Replicas),
		"partitions": strconv.Itoa(settings.Partitions), "queue_size": strconv.FormatInt(settings.QueueSize, 10),
	}
	for name, d := range map[string]time.Duration{
		"window": cfg.Window, "grace_period": cfg.GracePeriod, "retry_base": cfg.RetryBase, "retry_max": cfg.RetryMax,
		"max_clock_skew": cfg.MaxClockSkew, "max_operation_age": cfg.MaxOperationAge, "slow_timeout": cfg.SlowTimeout,
		"retention": settings.Retention, "duplicate_window": settings.DuplicateWindow,
	} {
		want[name] = brief(d)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-code +docs/rules.md):\n%s", diff)
	}
}

// brief writes a duration without what is zero: 24h, not 24h0m0s.
func brief(d time.Duration) string {
	return regexp.MustCompile(`([a-z])0[ms].*$`).ReplaceAllString(d.String(), "$1")
}
