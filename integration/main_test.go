//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go/log"
)

// What the watching process tells the testing one.
const (
	envSession = "HIERARCHY_INTEGRATION_SESSION"
	envNone    = "HIERARCHY_INTEGRATION_SKIPPED" // why there is no engine
)

// TestMain watches a second process of the same program, which runs the tests.
func TestMain(m *testing.M) {
	if os.Getenv(envSession) != "" || os.Getenv(envNone) != "" {
		log.SetDefault(log.NewNoopLogger())
		os.Exit(m.Run())
	}
	os.Exit(watch())
}

// watch builds the images, has the tests run, and removes what they made. It returns
// the exit code.
func watch() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if why := engineMissing(ctx); why != nil {
		say("every test of containers is skipped: %v", why)
		if os.Getenv("CI") == "true" {
			say("and none may be where CI is true")
			return 1
		}
		return child(ctx, envNone+"="+why.Error())
	}
	sweepDead(ctx)
	s := session(fmt.Sprint(os.Getpid()))
	began := time.Now()
	code := s.run(ctx)
	if err := s.sweep(context.WithoutCancel(ctx)); err != nil {
		say("cleaning up: %v", err)
		code = max(code, 1)
	}
	say("done in %v", time.Since(began).Round(time.Second))
	return code
}

// run builds the images and has the tests run with them. Tests that passed must have
// cleaned up after themselves.
func (s session) run(ctx context.Context) int {
	began := time.Now()
	if err := s.build(ctx); err != nil {
		say("%v", err)
		return 1
	}
	say("images built in %v", time.Since(began).Round(time.Second))
	code := child(ctx, envSession+"="+string(s), "TESTCONTAINERS_RYUK_DISABLED=true")
	left, err := s.left(context.WithoutCancel(ctx))
	if err != nil || code == 0 && len(left) > 0 {
		say("the tests left behind: %v (%v)", left, err)
		return max(code, 1)
	}
	return code
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "integration: "+format+"\n", args...)
}

// child runs the tests in a process of their own. It gets the same signals from the
// terminal as this one.
func child(ctx context.Context, env ...string) int {
	cmd := exec.CommandContext(ctx, os.Args[0], os.Args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdout, os.Stderr, append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	}
	say("running the tests: %v", err)
	return 1
}

// engineMissing returns why containers cannot be run here.
func engineMissing(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("docker is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := run(ctx, "docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		return fmt.Errorf("the Docker engine does not answer: %w", err)
	}
	return composeMissing(ctx)
}

// run runs a command and returns what it writes to its standard output; an error
// carries the rest.
func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0", "CGO_ENABLED=0")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
