//go:build integration

package integration

import (
	"context"
	"errors"
	"os/exec"
)

// composeMissing returns why the compose file cannot be brought up here.
func composeMissing(ctx context.Context) error {
	if len(composeCommand(ctx)) == 0 {
		return errors.New("neither docker-compose nor docker compose is installed")
	}
	return nil
}

// composeCommand returns how compose is called here: as its version 1 or 2.
func composeCommand(ctx context.Context) []string {
	if _, err := exec.LookPath("docker-compose"); err == nil {
		return []string{"docker-compose"}
	}
	if _, err := run(ctx, "docker", "compose", "version"); err == nil {
		return []string{"docker", "compose"}
	}
	return nil
}
