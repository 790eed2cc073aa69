package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
)

const getLong = `Get shows an entity, one of its versions, or one of its fields.

    valve-7                   the entity as it stands
    @valve-7                  the same
    @valve-7.position.x       a field of it, as JSON
    @valve-7~3                version 3
    @valve-7~3.position.x     a field of that

With --at it shows the version that was the latest at a time.`

const getExample = `  hierarchy get valve-7
  hierarchy get @valve-7.position
  hierarchy get valve-7 --at 2026-01-02T15:04:05Z
  hierarchy get valve-7 --json | jq .components`

func newGet(a *app) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use: "get ADDRESS", Short: "Show an entity, a version or a field",
		Long: getLong, Example: getExample, Args: exactly("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, when, err := parseGet(args[0], at)
			if err != nil {
				return usage(cmd, err)
			}
			return a.get(cmd.Context(), address, when)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "show the version of this time (RFC 3339, or a duration ago)")
	return cmd
}

// parseGet reads an address; what does not begin with @ is an entity as a whole.
func parseGet(text, at string) (operation.Address, time.Time, error) {
	address := operation.Address{Entity: text}
	var err error
	if strings.HasPrefix(text, "@") {
		if address, err = operation.ParseAddress(text); err != nil {
			return address, time.Time{}, err
		}
	}
	when, err := parseSince(at)
	if err != nil {
		return address, when, fmt.Errorf("--at: %w", err)
	}
	if !when.IsZero() && address.Version != 0 {
		return address, when, fmt.Errorf("--at and a version exclude each other")
	}
	return address, when, nil
}

func (a *app) get(ctx context.Context, address operation.Address, at time.Time) error {
	l, err := a.connect("get")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	head, err := addressed(ctx, l.client, address, at)
	if err != nil {
		return err
	}
	if len(address.Path) > 0 {
		return a.showField(address, head)
	}
	if a.global.json {
		return a.writeJSON(head)
	}
	return a.showEntity(head)
}

// addressed reads the head or the version that is meant.
func addressed(ctx context.Context, c *client.Client, address operation.Address, at time.Time) (*ecsstore.Entity, error) {
	var version *ecsstore.Version
	var err error
	switch {
	case !at.IsZero():
		version, err = c.At(ctx, address.Entity, at)
	case address.Version > 0:
		version, err = c.Version(ctx, address.Entity, address.Version)
	default:
		return c.Get(ctx, address.Entity)
	}
	if err != nil {
		return nil, err
	}
	return version.Head, nil
}

func (a *app) showField(address operation.Address, head *ecsstore.Entity) error {
	value, found := ecsstore.Get(head, address.Path)
	if !found {
		return &exit{code: exitNotFound, err: fmt.Errorf("%s: there is no such field", address)}
	}
	return a.writeJSON(value)
}

func (a *app) showEntity(e *ecsstore.Entity) error {
	t := a.table()
	row := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("id", e.ID)
	if e.Name != "" {
		row("name", e.Name)
	}
	row("type", e.Type)
	row("place", placeText(e))
	row("revision", e.Revision)
	row("versions", e.VersionCount)
	row("borrowed", e.BorrowCount)
	row("children", len(e.Children))
	row("changed", e.UpdatedAt.Local().Format(time.RFC3339))
	if err := t.Flush(); err != nil {
		return err
	}
	if len(e.Components) > 0 {
		a.printf("components")
	}
	return a.showComponents(e)
}

func placeText(e *ecsstore.Entity) string {
	if e.Parent != uuid.Nil {
		return fmt.Sprintf("%s of %s", e.Place, e.Parent)
	}
	return string(e.Place)
}

func (a *app) showComponents(e *ecsstore.Entity) error {
	t := a.table()
	for _, name := range slices.Sorted(maps.Keys(e.Components)) {
		value, err := json.Marshal(e.Components[name])
		if err != nil {
			return fmt.Errorf("component %s: %w", name, err)
		}
		from := ""
		if s, ok := e.Sources[name]; ok {
			from = fmt.Sprintf("\tfrom @%s.%s at revision %d", s.Entity, s.Field, s.Revision)
		}
		fmt.Fprintf(t, "  %s\t%s%s\n", name, compact(value, 100), from)
	}
	return t.Flush()
}
