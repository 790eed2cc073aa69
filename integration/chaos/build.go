package chaos

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Programs are the executables of a run.
type Programs struct{ Hierarchy, Server string }

// Build builds the command and the nats-server of the version that go.mod names.
// module is the folder of this module.
func Build(ctx context.Context, module, into string) (Programs, error) {
	p := Programs{Hierarchy: filepath.Join(into, "hierarchy"), Server: filepath.Join(into, "nats-server")}
	for out, pkg := range map[string]string{p.Hierarchy: "./cmd/hierarchy", p.Server: "github.com/nats-io/nats-server/v2"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
		cmd.Dir = module
		if text, err := cmd.CombinedOutput(); err != nil {
			return Programs{}, fmt.Errorf("building %s: %w\n%s", pkg, err, text)
		}
	}
	return p, nil
}
