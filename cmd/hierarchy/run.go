package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lmittmann/tint"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/consumer"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/subjects"
)

const runLong = `Run works: it takes operations, resolves those that contend, executes the winners
and tells everybody with events.

Without --server it starts a broker of its own on 127.0.0.1:4222 with its store in
the user's state folder, so that one command is a whole system. The nats CLI can talk
to it: nats sub 'hierarchy.events.>' shows the events.

With --server (or NATS_URL) it works for that broker, whose streams hierarchy init
makes.

With --system it has operations of other types executed by programs in any language
that answer requests on a NATS subject; docs/systems.md says how. All workers of one
store must be given the same.

SIGINT and SIGTERM end it in good order: it finishes the commit under way and exits 0.
What it has not decided stays in the stream. A second signal ends it at once.`

const runExample = `  hierarchy run --demo
  hierarchy run --listen 127.0.0.1:4300 --store ./store
  hierarchy run --server nats://broker:4222 --name worker-1
  hierarchy run --system charge=bank.charge --system scan=lab.scan,5m`

// runConfig is what run's flags say.
type runConfig struct {
	broker   brokerConfig
	worker   consumer.Config
	settings ecsstore.Settings
	demo     bool
	http     string // where health and metrics are told, or off
	web      *web
	systems  systems
}

// embeddedRetention is how long the embedded broker keeps events.
const embeddedRetention = time.Hour

func newRun(a *app) *cobra.Command {
	cfg := runConfig{worker: consumer.DefaultConfig(), settings: ecsstore.DefaultSettings()}
	cfg.settings.Retention = embeddedRetention
	cfg.worker.Name = ""
	embedded := pflag.NewFlagSet("embedded", pflag.ContinueOnError) // flags of the embedded broker
	cmd := &cobra.Command{
		Use: "run", Short: "Run a worker, and a broker if there is none",
		Long: runLong, Example: runExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s := cfg.broker.sync; s != syncAlways && s != syncInterval {
				return usage(cmd, fmt.Errorf("--sync is %q: want %s or %s", s, syncAlways, syncInterval))
			}
			if a.global.named() {
				if err := useless(cmd, embedded, "for a broker of its own: leave --server, --context, NATS_URL and NATS_CONTEXT out"); err != nil {
					return err
				}
			}
			return inGoodOrder(cmd.Context(), a.run(cmd.Context(), cfg, cmd.Flags()))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&cfg.demo, "demo", false, "add a plant that commands itself, and show its events")
	brokerFlags(embedded, &cfg.broker)
	streamFlags(embedded, &cfg.settings, "of a new embedded store: ")
	flags.AddFlagSet(embedded)
	httpFlag(flags, &cfg.http)
	workerFlags(flags, &cfg.worker)
	systemFlags(flags, &cfg.systems)
	return cmd
}

// httpFlag's default comes from the environment, so that a machine or an image can
// set it for every worker.
func httpFlag(flags *pflag.FlagSet, address *string) {
	preset := os.Getenv("HIERARCHY_HTTP")
	if preset == "" {
		preset = defaultHTTP
	}
	flags.StringVar(address, "http", preset, "where /livez, /readyz, /healthz and /metrics are: host:port, port 0 for a free one, or off (environment: HIERARCHY_HTTP)")
	flags.Lookup("http").DefValue = defaultHTTP
}

func brokerFlags(flags *pflag.FlagSet, cfg *brokerConfig) {
	flags.StringVar(&cfg.listen, "listen", defaultListen, "where the embedded broker listens")
	flags.StringVar(&cfg.store, "store", "", "folder of the embedded broker (default $XDG_STATE_HOME/hierarchy or ~/.local/state/hierarchy)")
	flags.StringVar(&cfg.sync, "sync", syncAlways, "when the embedded broker writes to disk: always, before it acknowledges, or interval, which is faster and loses data when the power fails")
}

func workerFlags(flags *pflag.FlagSet, cfg *consumer.Config) {
	flags.StringVar(&cfg.Name, "name", "", "name of this worker, unique in the system (default a random one)")
	flags.DurationVar(&cfg.Window, "window", cfg.Window, "how long a window gathers contenders; 0 takes what is queued")
	flags.DurationVar(&cfg.GracePeriod, "grace-period", cfg.GracePeriod, "how long after an attempt nobody displaces an operation that waits for its retry")
	flags.DurationVar(&cfg.RetryBase, "retry-base", cfg.RetryBase, "delay before the first retry, doubled with each")
	flags.DurationVar(&cfg.RetryMax, "retry-max", cfg.RetryMax, "longest delay before a retry")
	flags.DurationVar(&cfg.MaxClockSkew, "max-clock-skew", cfg.MaxClockSkew, "how far back created_at counts")
	flags.DurationVar(&cfg.MaxOperationAge, "max-operation-age", cfg.MaxOperationAge, "age at which an operation expires")
	flags.IntVar(&cfg.MaxConcurrent, "max-concurrent", cfg.MaxConcurrent, "slow systems that run at a time")
	flags.DurationVar(&cfg.SlowTimeout, "slow-timeout", cfg.SlowTimeout, "time-out of one attempt of a slow system")
	flags.IntVar(&cfg.Limits.MaxCarries, "max-carries", cfg.Limits.MaxCarries, "windows that an operation with on_loss carry may lose")
	flags.IntVar(&cfg.Limits.MaxCarried, "max-carried", cfg.Limits.MaxCarried, "operations carried for an entity at a time, at most 1023")
	flags.BoolVar(&cfg.IndependentChildren, "independent-children", false, "execute operations whose parent has failed")
}

func (a *app) run(ctx context.Context, cfg runConfig, flags *pflag.FlagSet) error {
	log := a.logger()
	cfg.worker.Logger, cfg.broker.log = log, log
	space, err := subjects.In(a.global.prefix)
	if err != nil {
		return &exit{code: exitUsage, err: err}
	}
	cfg.worker.Space = space
	if cfg.worker.Name == "" {
		cfg.worker.Name = consumer.DefaultConfig().Name
	}
	sdk, err := startTelemetry(ctx, cfg.worker.Name, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := sdk.Close(ctx); err != nil {
			log.WarnContext(ctx, "ending telemetry", slog.Any("error", err))
		}
	}()
	if cfg.web, err = startWeb(ctx, cfg.http, sdk, log); err != nil {
		return err
	}
	defer cfg.web.Close()
	cfg.worker.Meter, cfg.worker.Tracer = sdk.meters, sdk.tracers
	if a.global.named() {
		return a.runThere(ctx, cfg)
	}
	return a.runHere(ctx, cfg, flags.Changed("partitions"))
}

// inGoodOrder forgives what was not finished because ctx had ended, which is how a
// worker is told to stop, also while it starts.
func inGoodOrder(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// runThere works for a broker that is there already.
func (a *app) runThere(ctx context.Context, cfg runConfig) error {
	l, err := a.connect("worker/" + cfg.worker.Name)
	if err != nil {
		return err
	}
	defer l.Close()
	return a.work(ctx, l.nc, cfg)
}

// runHere starts the embedded broker and works for it.
func (a *app) runHere(ctx context.Context, cfg runConfig, partitionsGiven bool) error {
	if cfg.broker.store == "" {
		cfg.broker.store = stateDir()
	}
	if cfg.broker.sync == syncInterval {
		cfg.worker.Logger.WarnContext(ctx, "acknowledged operations can be lost when the power fails: --sync interval")
	}
	b, err := startBroker(cfg.broker)
	if err != nil {
		return err
	}
	defer b.Stop()
	nc, err := b.Connect("hierarchy/worker/" + cfg.worker.Name)
	if err != nil {
		return err
	}
	defer nc.Close()
	bounded, cancel := a.bounded(ctx)
	defer cancel()
	if err := openStore(bounded, nc, cfg, partitionsGiven); err != nil {
		return err
	}
	cfg.worker.Logger.InfoContext(ctx, "broker listens", slog.String("url", b.URL()), slog.String("store", b.store))
	return a.work(ctx, nc, cfg)
}

// openStore makes the streams of a new store and checks those of another. A store
// that was complete once and lacks a stream has lost data: that is never mended in
// silence.
func openStore(ctx context.Context, nc *nats.Conn, cfg runConfig, partitionsGiven bool) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	mark := filepath.Join(cfg.broker.store, "streams-made-"+cfg.worker.Space.Prefix())
	opened, err := ecsstore.Open(ctx, js, cfg.worker.Space)
	_, unmarked := os.Stat(mark)
	switch {
	case errors.Is(err, ecsstore.ErrNotInitialized) && unmarked == nil:
		return fmt.Errorf("the store %s is damaged (%w); restore it from a backup, or remove the folder to start empty", cfg.broker.store, err)
	case errors.Is(err, ecsstore.ErrNotInitialized):
		if err := ecsstore.Init(ctx, js, cfg.worker.Space, cfg.settings); err != nil {
			return err
		}
	case err != nil:
		return err
	case partitionsGiven && opened.Partitions != cfg.settings.Partitions:
		return fmt.Errorf("the store %s has %d partitions; leave --partitions out, change it with hierarchy scale-partitions, or start another with --store",
			cfg.broker.store, opened.Partitions)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("marking the store as complete: %w", err)
	}
	return nil
}

// work runs the worker until ctx is done, and the demo beside it.
func (a *app) work(ctx context.Context, nc *nats.Conn, cfg runConfig) error {
	cfg.worker.Slow = cfg.systems.over(nc)
	worker, err := consumer.New(nc, cfg.worker)
	if err != nil {
		return err
	}
	cfg.web.watch(worker)
	if !cfg.demo {
		return worker.Run(ctx)
	}
	c, err := client.New(nc, client.InSpace(cfg.worker.Space))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return worker.Run(ctx) })
	group.Go(func() error { return a.showEvents(ctx, c, demoFilter(), 0) })
	group.Go(func() error { return demo(ctx, c, cfg.worker.Logger) })
	return group.Wait()
}

// logger logs to the error output: text on a terminal, JSON elsewhere.
func (a *app) logger() *slog.Logger {
	level := slog.LevelInfo
	if a.global.verbose {
		level = slog.LevelDebug
	}
	if !terminal(a.err) {
		return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(a.err, &tint.Options{
		Level: level, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != "",
	}))
}
