//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// session is one run of the tests, named after the process that watches it. All that
// it makes bears its label.
type session string

// label is the key of the label.
const label = "org.hierarchy-events.integration"

func (s session) image() string   { return "hierarchy-integration:" + string(s) }
func (s session) broker() string  { return "hierarchy-integration-broker:" + string(s) }
func (s session) project() string { return "hierarchy-integration-" + string(s) }

// build makes both images as the Dockerfile says for a place without a registry.
func (s session) build(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "hierarchy-integration-")
	if err != nil {
		return fmt.Errorf("building the images: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS("../deploy/nats")); err != nil {
		return fmt.Errorf("building the images: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		return fmt.Errorf("building the images: %w", err)
	}
	image := []string{"docker", "build", "-q", "--label", label + "=" + string(s), "-f", "../Dockerfile"}
	for _, c := range [][]string{
		{"go", "build", "-C", "..", "-trimpath", "-o", filepath.Join(dir, "hierarchy"), "./cmd/hierarchy"},
		{"go", "build", "-C", "..", "-trimpath", "-o", filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2"},
		append(slices.Clip(image), "-t", s.image(), "--target", "prebuilt", dir),
		append(slices.Clip(image), "-t", s.broker(), "--target", "prebuilt-broker", dir),
	} {
		say("%s", strings.Join(c, " "))
		if _, err := run(ctx, c[0], c[1:]...); err != nil {
			return fmt.Errorf("building the images: %w", err)
		}
	}
	return nil
}

// things are what a session may leave, the containers first since they use the rest.
var things = []struct {
	what         string
	list, remove []string
}{
	{"container", []string{"ps", "-aq"}, []string{"rm", "-fv"}},
	{"network", []string{"network", "ls", "-q"}, []string{"network", "rm"}},
	{"volume", []string{"volume", "ls", "-q"}, []string{"volume", "rm", "-f"}},
	{"image", []string{"images", "-aq"}, []string{"rmi", "-f"}},
}

// filters match what is the session's: by its own label, or by the one that compose
// puts on what it makes.
func (s session) filters() []string {
	return []string{"label=" + label + "=" + string(s), "label=com.docker.compose.project=" + s.project()}
}

// left lists what tests should have removed: all but the images.
func (s session) left(ctx context.Context) ([]string, error) {
	var found []string
	for _, thing := range things[:3] {
		ids, err := s.list(ctx, thing.list)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			found = append(found, thing.what+" "+id)
		}
	}
	return found, nil
}

func (s session) list(ctx context.Context, command []string) ([]string, error) {
	var ids []string
	for _, filter := range s.filters() {
		out, err := run(ctx, "docker", append(slices.Clip(command), "--filter", filter)...)
		if err != nil {
			return nil, err
		}
		ids = append(ids, strings.Fields(out)...)
	}
	return ids, nil
}

// sweep removes all that is the session's.
func (s session) sweep(ctx context.Context) error {
	var all error
	for _, thing := range things {
		ids, err := s.list(ctx, thing.list)
		if err == nil && len(ids) > 0 {
			_, err = run(ctx, "docker", append(slices.Clip(thing.remove), ids...)...)
		}
		all = errors.Join(all, err)
	}
	return all
}

// sweepDead removes what sessions left whose process was killed. A session has its
// images for as long as it lives, and they tell of it.
func sweepDead(ctx context.Context) {
	out, err := run(ctx, "docker", "images", "--filter", "label="+label, "--format", "{{.Tag}}")
	if err != nil {
		return // what cannot be listed cannot be removed; the run itself will say why
	}
	for tag := range strings.FieldsSeq(out) {
		if _, err := os.Stat("/proc/" + tag); os.IsNotExist(err) {
			say("removing what session %s left", tag)
			if err := session(tag).sweep(ctx); err != nil {
				say("%v", err)
			}
		}
	}
}

func (s session) labels() map[string]string { return map[string]string{label: string(s)} }
