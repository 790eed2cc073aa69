package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
)

// Exit codes, as the root's help lists them.
const (
	exitDone     = 0
	exitError    = 1
	exitUsage    = 2
	exitRejected = 3
	exitRetries  = 4
	exitTimeout  = 5
	exitNotFound = 6
)

// exit is an error that asks for a certain exit code. One without err says nothing:
// the command has said all.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage marks an error as one of the command line.
func usage(cmd *cobra.Command, err error) error {
	return &exit{code: exitUsage, err: fmt.Errorf("%w (see: %s --help)", err, cmd.CommandPath())}
}

// useless refuses flags that would be passed over, all of a set but those named, and says why.
func useless(cmd *cobra.Command, flags *pflag.FlagSet, why string, useful ...string) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		if err == nil && f.Changed && !slices.Contains(useful, f.Name) {
			err = usage(cmd, fmt.Errorf("--%s is %s", f.Name, why))
		}
	})
	return err
}

// report writes an error as one line and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	var asked *exit
	if !errors.As(err, &asked) || asked.err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", " ")
		fmt.Fprintf(a.err, "hierarchy: %s%s\n", text, a.remedy(err))
	}
	return codeOf(err)
}

func codeOf(err error) int {
	var asked *exit
	switch {
	case errors.As(err, &asked):
		return asked.code
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return exitTimeout
	case errors.Is(err, client.ErrNotFound):
		return exitNotFound
	}
	return exitError
}

// remedy says what to do about an error that does not say so itself.
func (*app) remedy(err error) string {
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return "; is a broker running there? start one with: hierarchy run"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return "; give credentials with --creds or --context"
	case errors.Is(err, client.ErrPermissionDenied):
		return "; this user may not do that"
	case errors.Is(err, client.ErrQueueFull):
		return "; is a worker running? see: hierarchy status"
	case errors.Is(err, ecsstore.ErrNotInitialized), errors.Is(err, ecsstore.ErrNoJetStream), errors.Is(err, ecsstore.ErrOldServer):
		return "" // they name it
	case errors.Is(err, client.ErrUnavailable):
		return "; make the streams with: hierarchy init"
	case errors.Is(err, context.DeadlineExceeded):
		return "; is a worker running? see: hierarchy status; wait longer with --timeout"
	}
	return ""
}
