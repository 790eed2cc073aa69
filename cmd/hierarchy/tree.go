package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

const treeLong = `Tree shows an entity and all below it: name or id, type, latest version, revision.`

const treeExample = `  hierarchy tree plant-1
  hierarchy tree plant-1 --json`

func newTree(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "tree ENTITY", Short: "Show an entity and all below it",
		Long: treeLong, Example: treeExample, Args: exactly("ENTITY"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.tree(cmd.Context(), args[0]) },
	}
}

func (a *app) tree(ctx context.Context, entity string) error {
	l, err := a.connect("tree")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	node, err := l.client.Tree(ctx, entity)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.writeJSON(node)
	}
	a.printf("%s", nodeText(node.Entity))
	a.showBranches(node, "")
	return nil
}

// showBranches draws what is below a node; indent stands before each line.
func (a *app) showBranches(node *ecsstore.Node, indent string) {
	slices.SortFunc(node.Children, func(a, b *ecsstore.Node) int { return cmp.Compare(a.Entity.Name, b.Entity.Name) })
	for i, child := range node.Children {
		branch, below := "|-- ", "|   "
		if i == len(node.Children)-1 {
			branch, below = "`-- ", "    "
		}
		a.printf("%s%s%s", indent, branch, nodeText(child.Entity))
		a.showBranches(child, indent+below)
	}
}

func nodeText(e *ecsstore.Entity) string {
	place := ""
	if e.Place != ecsstore.Child && e.Place != ecsstore.Root {
		place = ", " + string(e.Place)
	}
	return fmt.Sprintf("%s  %s v%d r%d%s", cmp.Or(e.Name, e.ID.String()), e.Type, e.VersionCount, e.Revision, place)
}
