package main

import (
	"context"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

const demoLong = `Demo commands a plant of valves on behalf of four parties, and shows what is decided,
until it is interrupted. It works for nobody: the broker's own workers decide. To have
broker and worker as well, in one process, use: hierarchy run --demo`

func newDemo(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Command a small plant, and show what is decided",
		Long: demoLong, Example: "  hierarchy demo --server nats://broker:4222", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context()) },
	}
}

func (a *app) runDemo(ctx context.Context) error {
	l, err := a.connect("demo")
	if err != nil {
		return err
	}
	defer l.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.showEvents(ctx, l.client, demoFilter(), 0) })
	group.Go(func() error { return demo(ctx, l.client, a.logger()) })
	return group.Wait()
}
