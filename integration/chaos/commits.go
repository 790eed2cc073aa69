package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// commits counts what workers have committed, as their metrics say.
type commits struct {
	stored, messages float64
	refused          float64 // of which a condition did not hold: others were first
}

func (c *commits) minus(before commits) commits {
	return commits{stored: c.stored - before.stored, messages: c.messages - before.messages, refused: c.refused - before.refused}
}

// commits reads the metrics of all workers.
func (f *fleet) commits(ctx context.Context) (sum commits, err error) {
	for _, name := range f.names() {
		url, err := metricsOf(filepath.Join(f.logs, name+".log"))
		if err == nil {
			err = sum.add(ctx, url)
		}
		if err != nil {
			return sum, fmt.Errorf("reading the metrics of %s: %w", name, err)
		}
	}
	return sum, nil
}

// address is where a worker says in its log that its metrics are.
var address = regexp.MustCompile(`"url":"(http://[^"]+)"`)

// metricsOf returns where the metrics of the worker are that writes a log.
func metricsOf(log string) (string, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return "", err
	}
	found := address.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s does not say where they are", log)
	}
	return string(found[1]) + "/metrics", nil
}

// add adds what the metrics of one worker say.
func (c *commits) add(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return err
	}
	for _, m := range families["hierarchy_commit_messages"].GetMetric() {
		c.stored += float64(m.GetHistogram().GetSampleCount())
		c.messages += m.GetHistogram().GetSampleSum()
	}
	for _, m := range families["hierarchy_commits_refused_total"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "refusal" && label.GetValue() == "refused" {
				c.refused += m.GetCounter().GetValue()
			}
		}
	}
	return nil
}
