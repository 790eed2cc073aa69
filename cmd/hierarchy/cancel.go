package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

const cancelLong = `Cancel asks that an operation be given up and waits for the answer. It works as long
as the operation waits: for its window, for the entity, for a retry. One that runs or
has ended stays as it is: then the exit code is 3, and 6 if the operation is unknown.`

const cancelExample = `  hierarchy cancel 0197c9a2-5d0e-7c1f-8a53-0b7f2f8f5c11 --target valve-7 --reason "changed my mind"`

func newCancel(a *app) *cobra.Command {
	var target, reason string
	cmd := &cobra.Command{
		Use: "cancel OP_ID --target ENTITY", Short: "Cancel an operation that waits",
		Long: cancelLong, Example: cancelExample, Args: exactly("OP_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if target == "" {
				return usage(cmd, errors.New("--target is missing"))
			}
			return a.cancel(cmd, args[0], target, reason)
		},
	}
	cmd.Flags().StringVar(&target, "target", "", "entity that the operation is to change")
	cmd.Flags().StringVar(&reason, "reason", "", "told in the event")
	return cmd
}

func (a *app) cancel(cmd *cobra.Command, op, target, reason string) error {
	l, err := a.connect("cancel")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(inherited(cmd.Context()))
	defer cancel()
	answer, err := l.client.Cancel(ctx, operation.EntityID(target), client.OperationID(op), reason)
	if err != nil {
		return err
	}
	switch {
	case a.global.json:
		err = a.writeJSON(answer)
	case answer.Cancelled:
		a.printf("cancelled: operation %s on %s", answer.OpID, target)
	default:
		a.printf("refused: operation %s on %s is %s", answer.OpID, target, cmp.Or(string(answer.Status), "unknown"))
	}
	switch {
	case err != nil || answer.Cancelled:
		return err
	case answer.Status == "":
		return &exit{code: exitNotFound}
	}
	return &exit{code: exitRejected}
}
