package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	prometheusbridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// telemetry is the OpenTelemetry SDK of a worker's process. The environment says
// where it sends what (OTEL_*); /metrics is always there.
type telemetry struct {
	metrics prometheus.Gatherer // everything, for /metrics
	process prometheus.Gatherer // what the system says of this process
	meters  *sdkmetric.MeterProvider
	tracers trace.TracerProvider // nil where nobody asked for traces
	ends    []func(context.Context) error
}

// startTelemetry starts the SDK for a worker of that name.
func startTelemetry(ctx context.Context, worker string, log *slog.Logger) (*telemetry, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.WarnContext(ctx, "telemetry", slog.Any("error", err))
	}))
	about, err := aboutProcess(ctx, worker)
	if err != nil {
		return nil, err
	}
	t := &telemetry{}
	if err := errors.Join(t.startMeters(ctx, about), t.startTracers(ctx, about)); err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	return t, nil
}

// aboutProcess says who the process is, unless the environment says otherwise.
func aboutProcess(ctx context.Context, worker string) (*resource.Resource, error) {
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		semconv.ServiceName("hierarchy"), semconv.ServiceInstanceID(worker), semconv.ServiceVersion(version()),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing the process to OpenTelemetry: %w", err)
	}
	return about, nil
}

// version is that of the module, as far as the build knows it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

func (t *telemetry) startMeters(ctx context.Context, about *resource.Resource) error {
	own, process := prometheus.NewRegistry(), prometheus.NewRegistry()
	if err := process.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
		return fmt.Errorf("observing the process: %w", err)
	}
	t.process, t.metrics = process, prometheus.Gatherers{own, process}
	exporter, err := promexporter.New(promexporter.WithRegisterer(own), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("exporting to /metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(exporter)}
	if asked("METRICS") {
		autoexport.WithFallbackMetricProducer(func(context.Context) (sdkmetric.Producer, error) {
			return prometheusbridge.NewMetricProducer(prometheusbridge.WithGatherer(process)), nil
		})
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return fmt.Errorf("exporting metrics as OTEL_* says: %w", err)
		}
		if !autoexport.IsNoneMetricReader(reader) {
			options = append(options, sdkmetric.WithReader(reader))
		}
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	t.ends = append(t.ends, t.meters.Shutdown)
	if err := runtime.Start(runtime.WithMeterProvider(t.meters)); err != nil {
		return fmt.Errorf("observing the Go runtime: %w", err)
	}
	return nil
}

// asked reports whether the environment asks for a signal (METRICS, TRACES) to be
// exported. Without a word of it nothing is: OpenTelemetry's own default would be to
// send everything to this machine's port 4318, where usually nobody listens.
func asked(signal string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range []string{
		"OTEL_" + signal + "_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT",
	} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// flushTimeout bounds how long the end of a process waits for its telemetry to be
// taken.
const flushTimeout = 2 * time.Second

// Close sends what has not been sent, and ends the SDK. It does so after ctx is done.
func (t *telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	var errs []error
	for _, end := range t.ends {
		errs = append(errs, end(ctx))
	}
	return errors.Join(errs...)
}
