package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
)

const (
	deployed  = "../../deploy"
	docs      = "../../docs"
	dashboard = deployed + "/grafana/dashboards/hierarchy.json"
	alerts    = deployed + "/prometheus/alerts.yml"
)

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryAlertIsTestedAndExplained looks for each alert in the tests and in the docs.
func TestEveryAlertIsTestedAndExplained(t *testing.T) {
	tests, manual := fileText(t, deployed+"/prometheus/alerts_test.yml"), fileText(t, docs+"/operating.md")
	names := regexp.MustCompile(`(?m)^ *- alert: (\w+)$`).FindAllStringSubmatch(fileText(t, alerts), -1)
	if len(names) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, found := range names {
		name := found[1]
		if n := strings.Count(tests, "alertname: "+name+"}"); n == 0 {
			t.Errorf("%s: no test of when it does not fire", name)
		}
		if n := strings.Count(tests, "alertname: "+name+"\n"); n == 0 {
			t.Errorf("%s: no test of when it fires", name)
		}
		if !regexp.MustCompile(`(?m)^### .*\b` + name + `\b`).MatchString(manual) {
			t.Errorf("%s: docs/operating.md does not say what it means", name)
		}
		if !strings.Contains(fileText(t, alerts), "docs/operating.md#"+strings.ToLower(name)) {
			t.Errorf("%s: does not refer to the docs", name)
		}
	}
}

// queries returns what the dashboard asks Prometheus, in its panels and elsewhere.
func queries(t *testing.T) (found []string) {
	t.Helper()
	var board any
	if err := json.Unmarshal([]byte(fileText(t, dashboard)), &board); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				walk(child)
			}
		case map[string]any:
			for key, child := range node {
				if expr, ok := child.(string); ok && key == "expr" {
					found = append(found, expr)
				}
				walk(child)
			}
		}
	}
	walk(board)
	if len(found) == 0 {
		t.Fatal("the dashboard asks nothing")
	}
	return found
}

// families returns the names of the metrics at a URL, and those of a histogram's parts.
func families(t *testing.T, url string) []string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, family := range all {
		names = append(names, name)
		if family.GetType().String() == "HISTOGRAM" {
			names = append(names, name+"_bucket", name+"_sum", name+"_count")
		}
	}
	return names
}

// TestEveryMetricThatIsNamedExists lets a worker do everything that it counts, and looks
// for the metrics of dashboard, alerts and docs among those it has; and for each of its
// own in the docs.
func TestEveryMetricThatIsNamedExists(t *testing.T) {
	addresses, err := freeAddresses(2)
	if err != nil {
		t.Fatal(err)
	}
	broker := "nats://" + addresses[0]
	worker := command(t, "run", "--listen", addresses[0], "--http", addresses[1], "--window", "100ms", "--retry-base", "1m", "--retry-max", "1m")
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	natstest.Await(t, "the worker", func(context.Context) bool { return owned(broker) == nil })
	countEverything(t, broker)
	url := "http://" + addresses[1] + "/metrics"
	natstest.Await(t, "the gauges", func(context.Context) bool {
		return slices.Contains(families(t, url), "hierarchy_partition_lag")
	})
	exist := append(families(t, url), "up") // which Prometheus makes
	stop(t, worker)
	texts := map[string]string{alerts: fileText(t, alerts), dashboard: strings.Join(queries(t), "\n")}
	for _, path := range pages(t) {
		texts[path] = fileText(t, path)
	}
	metric := regexp.MustCompile(`\b(hierarchy|process|go)_[a-z0-9_]+\b`)
	for path, text := range texts {
		for _, name := range metric.FindAllString(text, -1) {
			if !slices.Contains(exist, name) {
				t.Errorf("%s: there is no metric %s", path, name)
			}
		}
	}
	for _, name := range exist {
		if strings.HasPrefix(name, "hierarchy_") && !strings.Contains(fileText(t, docs+"/observability.md"), strings.TrimSuffix(name, "_bucket")) {
			if part := regexp.MustCompile(`_(sum|count)$`); !part.MatchString(name) {
				t.Errorf("docs/observability.md does not tell of %s", name)
			}
		}
	}
}

// pages lists the pages of the documentation.
func pages(t *testing.T) (found []string) {
	t.Helper()
	err := filepath.WalkDir(docs, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatal("no documentation:", err)
	}
	return found
}

// countEverything has a worker complete, reject, retry and cancel.
func countEverything(t *testing.T, broker string) {
	t.Helper()
	nc, err := client.Connect(broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c, err := client.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]any{"field": "position", "value": 1}
	_, made := submitted(t, c, client.Request{Type: operation.CreateEntity, Target: "valve-7", Params: map[string]any{"type": "valve", "components": map[string]any{"position": 0}}})
	if _, err := made.Outcome(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, low := submitted(t, c, client.Request{Type: operation.ModifyField, Target: "valve-7", Priority: operation.Low, Params: set})
	_, high := submitted(t, c, client.Request{Type: operation.ModifyField, Target: "valve-7", Priority: operation.High, Params: set})
	for _, p := range []*client.Pending{low, high} {
		if _, err := p.Outcome(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waiting, _ := submitted(t, c, client.Request{Type: operation.ModifyField, Target: "nothing", Params: set})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := c.Cancel(ctx, waiting.Target, waiting.ID, ""); err != nil {
		t.Fatal(err)
	}
}

// TestWhatTheComposeFileMountsIsThere looks for each file and folder of the host.
func TestWhatTheComposeFileMountsIsThere(t *testing.T) {
	mounts := regexp.MustCompile(`"?(\./[\w./-]+):/`).FindAllStringSubmatch(fileText(t, "../../docker-compose.yml"), -1)
	if len(mounts) == 0 {
		t.Fatal("it mounts nothing")
	}
	for _, m := range mounts {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Error(err)
		}
	}
}
