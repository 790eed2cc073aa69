package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

const initLong = `Init makes the two streams that everything is kept in, or checks that those which
exist can be trusted. It may be run any number of times.

It refuses a broker older than ` + ecsstore.MinServer + `, one without JetStream, and streams whose
settings could lose what the broker has acknowledged. To change the
number of partitions later, use hierarchy scale-partitions.`

const initExample = `  hierarchy init --server nats://broker:4222 --replicas 3
  hierarchy init --context production --partitions 64`

func newInit(a *app) *cobra.Command {
	settings := ecsstore.DefaultSettings()
	cmd := &cobra.Command{
		Use: "init", Short: "Make the streams, or check them",
		Long: initLong, Example: initExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.makeStreams(cmd, settings) },
	}
	cmd.Flags().IntVar(&settings.Replicas, "replicas", settings.Replicas, "servers that keep each stream")
	streamFlags(cmd.Flags(), &settings, "")
	return cmd
}

func streamFlags(flags *pflag.FlagSet, s *ecsstore.Settings, of string) {
	flags.IntVar(&s.Partitions, "partitions", s.Partitions, of+"shares of the entities")
	flags.Int64Var(&s.QueueSize, "queue-size", s.QueueSize, of+"operations that wait before publishers are refused")
	flags.DurationVar(&s.Retention, "retention", s.Retention, of+"how long events and decisions are kept")
	flags.DurationVar(&s.DuplicateWindow, "duplicate-window", s.DuplicateWindow, of+"how long the broker recognises a repeated message")
}

func (a *app) makeStreams(cmd *cobra.Command, settings ecsstore.Settings) error {
	l, err := a.connect("init")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(cmd.Context())
	defer cancel()
	if !cmd.Flags().Changed("partitions") {
		if n, err := ecsstore.Partitions(ctx, l.js, l.space); err == nil {
			settings.Partitions = n
		}
	}
	if err := ecsstore.Init(ctx, l.js, l.space, settings); err != nil {
		return err
	}
	if err := asGiven(ctx, l, cmd.Flags(), settings); err != nil {
		return err
	}
	if a.global.json {
		return a.writeJSON(map[string]any{
			"streams": []string{l.space.OpsStream(), l.space.StoreStream()}, "partitions": settings.Partitions,
		})
	}
	a.printf("streams %s and %s are ready: %d partitions", l.space.OpsStream(), l.space.StoreStream(), settings.Partitions)
	return nil
}

// asGiven refuses streams that were there before with other settings than the flags ask for.
func asGiven(ctx context.Context, l *link, flags *pflag.FlagSet, want ecsstore.Settings) error {
	have, err := ecsstore.Open(ctx, l.js, l.space)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		flag       string
		have, want any
	}{
		{"replicas", have.Replicas, want.Replicas},
		{"queue-size", have.QueueSize, want.QueueSize},
		{"retention", have.Retention, want.Retention},
		{"duplicate-window", have.DuplicateWindow, want.DuplicateWindow},
	} {
		if flags.Changed(c.flag) && c.have != c.want {
			return fmt.Errorf("the streams were made with --%s %v, not %v; leave it out, or change them with: nats stream edit", c.flag, c.have, c.want)
		}
	}
	return nil
}
