package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/nats-io/nats.go"
)

// natsReply stands in for the nats CLI where that is not installed, as far as
//
//	nats reply SUBJECT --command COMMAND
//
// goes: it answers each request with what the command prints, which finds the request
// in its environment.
func natsReply() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := reply(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}

func reply(ctx context.Context, args []string) error {
	if len(args) != 4 || args[0] != "reply" || args[2] != "--command" {
		return fmt.Errorf("%q is not understood here", args)
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	command := strings.Fields(args[3])
	_, err = nc.QueueSubscribe(args[1], "NATS-RPLY-22", func(msg *nats.Msg) {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "NATS_REQUEST_SUBJECT="+msg.Subject, "NATS_REQUEST_BODY="+string(msg.Data))
		out, err := cmd.CombinedOutput() // of a command that failed, too
		if err != nil {
			fmt.Fprintln(os.Stderr, "nats:", err)
		}
		_ = msg.Respond(out)
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err() // like the original, which ends with 1 when it is interrupted
}
