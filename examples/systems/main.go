// Command systems runs a worker with two systems of its own: a pure one that fills
// tanks, and a slow one that asks a scale what they weigh.
//
// It works for the broker at NATS_URL, whose streams "hierarchy init" makes. All
// workers of one store must have the same systems: an operation whose type its worker
// does not know is rejected.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

func main() {
	broker := flag.String("server", os.Getenv("NATS_URL"), "URL of the broker")
	scales := flag.String("scales", "http://127.0.0.1:8080", "URL of the scales")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *broker, *scales, log); err != nil {
		log.ErrorContext(ctx, "working", slog.Any("error", err))
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}

// run connects and works until ctx is done.
func run(ctx context.Context, broker, scales string, log *slog.Logger) error {
	nc, err := client.Connect(broker)
	if err != nil {
		return err
	}
	defer nc.Close()
	worker, err := newWorker(nc, scales, log)
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}

// newWorker returns a worker that knows the operation types fill and weigh beside the
// built-in ones.
func newWorker(nc *nats.Conn, scales string, log *slog.Logger) (*consumer.Worker, error) {
	scale := &scale{url: scales, http: http.DefaultClient}
	cfg := consumer.DefaultConfig()
	cfg.Logger = log
	cfg.Systems = map[operation.Type]ecsstore.System{
		"fill": ecsstore.SystemFunc(fill),
	}
	cfg.Slow = map[operation.Type]ecsstore.SlowSystem{
		"weigh": ecsstore.Within(2*time.Second, ecsstore.SlowFunc(scale.weigh)),
	}
	return consumer.New(nc, cfg)
}
