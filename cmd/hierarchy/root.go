package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// app is what the subcommands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	global   globals
}

// globals are the flags that every subcommand has.
type globals struct {
	server, context, creds, prefix string
	json, verbose                  bool
	timeout                        time.Duration
}

const rootLong = `Hierarchy lets many publishers command the same entities. Operations that reach
an entity at about the same time contend: the one of highest priority is executed,
the others are rejected and told why. Everything is kept in NATS JetStream.

Start a broker and a worker, with a small plant that commands itself:

    hierarchy run --demo

Entities and operations may be given by UUID or by name: valve-7 is the same entity
wherever it is written.

Exit codes:
    0  done
    1  error
    2  usage: a flag or an argument is wrong
    3  the operation was rejected or cancelled
    4  the operation failed at its last attempt, or killed its workers
    5  time-out: the outcome is not known yet
    6  not found`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "hierarchy",
		Short:         "Arbitration of operations on shared entities, over NATS JetStream",
		Long:          rootLong,
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       knownCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE:          func(cmd *cobra.Command, _ []string) error { return a.global.choose(cmd) },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(usage)
	root.CompletionOptions.HiddenDefaultCmd = true
	a.addGlobals(root)
	for _, command := range []func(*app) *cobra.Command{
		newRun, newInit, newSubmit, newCancel, newWatch, newGet, newHistory, newTree, newStatus, newExplain, newReplay,
		newAudit, newScale, newStress, newBench, newDemo, newHealthcheck,
	} {
		root.AddCommand(command(a))
	}
	return root
}

func (a *app) addGlobals(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVarP(&a.global.server, "server", "s", os.Getenv("NATS_URL"), "URL of the broker (environment: NATS_URL)")
	flags.Lookup("server").DefValue = ""
	flags.StringVar(&a.global.context, "context", os.Getenv("NATS_CONTEXT"), "context of the nats CLI to connect with (environment: NATS_CONTEXT)")
	flags.Lookup("context").DefValue = ""
	flags.StringVar(&a.global.creds, "creds", os.Getenv("NATS_CREDS"), "credentials file (environment: NATS_CREDS)")
	flags.Lookup("creds").DefValue = ""
	flags.StringVar(&a.global.prefix, "prefix", "hierarchy", "first token of all subjects")
	flags.BoolVar(&a.global.json, "json", false, "write JSON, one document a line where there are several")
	flags.DurationVar(&a.global.timeout, "timeout", defaultTimeout, "how long to wait for the broker, or for an outcome")
	flags.BoolVarP(&a.global.verbose, "verbose", "v", false, "say more")
}

// choose makes one broker of what names any: a flag counts for more than the environment.
func (g *globals) choose(cmd *cobra.Command) error {
	server, named := cmd.Flags().Changed("server"), cmd.Flags().Changed("context")
	switch {
	case server && named:
		return usage(cmd, errors.New("--server and --context exclude each other"))
	case server:
		g.context = ""
	}
	return nil
}

const defaultTimeout = 30 * time.Second

// knownCommand refuses arguments of the root, which are misspelt subcommands.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(cmd, fmt.Errorf("%s", text))
}

// atMost is cobra.MaximumNArgs with an error of the command line.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage(cmd, fmt.Errorf("too many arguments: %q", args[n:]))
		}
		return nil
	}
}

// exactly is cobra.ExactArgs with names for what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usage(cmd, fmt.Errorf("%s is missing", names[len(args)]))
		}
		return atMost(len(names))(cmd, args)
	}
}
