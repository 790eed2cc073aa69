package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// commits counts what the workers of a fleet have committed, as their metrics say.
type commits struct {
	stored, messages float64
	refused          float64 // of which a condition did not hold: others were first
}

func (c commits) minus(before commits) commits {
	return commits{stored: c.stored - before.stored, messages: c.messages - before.messages, refused: c.refused - before.refused}
}

// commits reads the metrics of all workers.
func (f *fleet) commits(ctx context.Context) (sum commits, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.members {
		families, err := metricsOf(ctx, filepath.Join(f.logs, w.name+".log"))
		if err != nil {
			return sum, fmt.Errorf("reading the metrics of %s: %w", w.name, err)
		}
		for _, m := range families["hierarchy_commit_messages"].GetMetric() {
			sum.stored += float64(m.GetHistogram().GetSampleCount())
			sum.messages += m.GetHistogram().GetSampleSum()
		}
		for _, m := range families["hierarchy_commits_refused_total"].GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "refusal" && label.GetValue() == "refused" {
					sum.refused += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum, nil
}

// address is where a worker says in its log that its metrics are.
var address = regexp.MustCompile(`"url":"(http://[^"]+)"`)

// metricsOf reads the metrics of the worker that writes a log.
func metricsOf(ctx context.Context, log string) (map[string]*dto.MetricFamily, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	url := address.FindSubmatch(text)
	if url == nil {
		return nil, fmt.Errorf("%s does not say where they are", log)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(url[1])+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}
