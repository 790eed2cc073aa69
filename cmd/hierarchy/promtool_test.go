package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promtool runs Prometheus' own checks. It is part of Debian's package prometheus.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestAlertsFireWhenTheyShould has Prometheus check and test what it is given.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool(t, "check", "config", deployed+"/prometheus/prometheus.yml")
	promtool(t, "check", "rules", alerts)
	promtool(t, "test", "rules", deployed+"/prometheus/alerts_test.yml")
}

// TestTheDashboardAsksWhatPrometheusUnderstands has promtool read the queries as rules.
func TestTheDashboardAsksWhatPrometheusUnderstands(t *testing.T) {
	var rules []map[string]string
	for _, expr := range queries(t) {
		expr = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(expr)
		rules = append(rules, map[string]string{"record": "panel", "expr": expr})
	}
	body, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yml") // JSON is YAML
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--lint=none", path)
}
