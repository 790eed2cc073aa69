package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hierarchy-events/hierarchy/consumer"
)

// Where a worker tells how it is.
const (
	defaultHTTP = "127.0.0.1:8222"
	freeHTTP    = "127.0.0.1:0"
	httpOff     = "off"
)

// web answers /livez, /readyz, /healthz and /metrics.
type web struct {
	listener  net.Listener
	server    *http.Server
	telemetry *telemetry
	worker    atomic.Pointer[consumer.Worker] // nil until there is one
}

// startWeb listens on an address, and nowhere if that is "off".
func startWeb(ctx context.Context, address string, t *telemetry, log *slog.Logger) (*web, error) {
	w := &web{telemetry: t}
	if address == httpOff {
		return w, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if address == defaultHTTP && errors.Is(err, syscall.EADDRINUSE) { // several workers on one machine need no flag
		log.WarnContext(ctx, "the port for health and metrics is in use, perhaps by another worker: taking a free one",
			slog.String("address", address))
		listener, err = config.Listen(ctx, "tcp", freeHTTP)
	}
	if err != nil {
		return nil, adviseHTTP(address, err)
	}
	w.listener = listener
	w.server = &http.Server{Handler: w.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() { // ends with Close
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.ErrorContext(ctx, "serving health and metrics", slog.Any("error", err))
		}
	}()
	log.InfoContext(ctx, "health and metrics", slog.String("url", "http://"+listener.Addr().String()))
	return w, nil
}

// adviseHTTP says what to do where listening fails.
func adviseHTTP(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listening on %s for health and metrics: the port is in use, perhaps by another worker; "+
			"choose another address with --http, a free port with --http %s, or none with --http off", address, freeHTTP)
	}
	return fmt.Errorf("listening on %s for health and metrics: %w; choose another address with --http", address, err)
}

func (w *web) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", w.livez)
	mux.HandleFunc("GET /readyz", w.readyz)
	mux.HandleFunc("GET /readyz/{check}", w.readyz)
	mux.HandleFunc("GET /healthz", w.healthz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.telemetry.metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	return mux
}

// watch has the answers be those of a worker from now on.
func (w *web) watch(worker *consumer.Worker) { w.worker.Store(worker) }

// Close stops answering.
func (w *web) Close() {
	if w.server != nil {
		_ = w.server.Close()
	}
}
