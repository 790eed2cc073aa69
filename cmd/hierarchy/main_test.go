package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/subjects"
)

var updateScripts = flag.Bool("update", false, "rewrite the expected output of the scripts")

// natsCLI is the standard nats command, or why it is not there.
var natsCLI, errNoNATSCLI = exec.LookPath("nats")

func TestMain(m *testing.M) {
	commands := map[string]func(){"hierarchy": main}
	if errNoNATSCLI != nil || filepath.Base(os.Args[0]) == "nats" {
		commands["nats"] = natsReply // this very process may be it
	}
	testscript.Main(m, commands)
}

// TestScripts runs the command as a user does. Each script has a free address in
// LISTEN and URL, and a home of its own.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	without := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *updateScripts, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			addresses, err := freeAddresses(3)
			if err != nil {
				return err
			}
			env.Setenv("LISTEN", addresses[0])
			env.Setenv("URL", "nats://"+addresses[0])
			env.Setenv("HTTP", addresses[1])
			env.Setenv("HTTP2", addresses[2])
			env.Setenv("WITHOUT_JETSTREAM", without.URL())
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("EXAMPLES", examples)
			env.Setenv("TZ", "UTC")
			env.Setenv("HIERARCHY_HTTP", "off") // scripts run side by side
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await, "code": code, "oneline": oneLine, "ready": ready, "until": until},
	})
}

func freeAddress() (string, error) {
	addresses, err := freeAddresses(1)
	return strings.Join(addresses, ""), err
}

// freeAddresses returns n addresses that nobody listens on.
func freeAddresses(n int) (found []string, err error) {
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it returns at once
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		found = append(found, listener.Addr().String())
	}
	return found, nil
}

// ready waits until a URL answers that all is well, or with ! until it does not.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	const patience = 30 * time.Second
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		response, err := http.Get(args[0]) //nolint:noctx,gosec // of the script's own worker
		if err == nil {
			_ = response.Body.Close()
		}
		if well := err == nil && response.StatusCode == http.StatusOK; well != neg {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("waited %v for %s", patience, args[0])
		}
	}
}

// await waits until a worker owns the partitions of the broker at a URL.
func await(ts *testscript.TestScript, _ bool, args []string) {
	const patience = 20 * time.Second
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for err := owned(args[0]); err != nil; err = owned(args[0]) {
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("waited %v for %s: %v", patience, args[0], err)
		}
	}
}

func owned(url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fences, err := ecsstore.NewReader(js, subjects.Space{}).Fences(ctx)
	if err != nil {
		return err
	}
	for _, fence := range fences {
		if fence.Released {
			return fmt.Errorf("partition %d is released", fence.Partition)
		}
	}
	if len(fences) < ecsstore.DefaultSettings().Partitions {
		return fmt.Errorf("%d partitions are owned", len(fences))
	}
	return nil
}

// code runs a command that must end with an exit code: code 3 hierarchy submit ...
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if failed, ok := errors.AsType[*exec.ExitError](ts.Exec(args[1], args[2:]...)); ok {
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// until runs a command until its output matches: until 'succeeded$' hierarchy status ...
// The last run's output can be looked at.
func until(ts *testscript.TestScript, _ bool, args []string) {
	const patience = time.Minute
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline, tick := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		_ = ts.Exec(args[1], args[2:]...) // it may fail at first
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("waited %v for %q", patience, args[0])
		}
	}
}

// oneLine checks that the last command wrote one line to a stream: oneline stderr.
func oneLine(ts *testscript.TestScript, _ bool, args []string) {
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); n != 1 {
		ts.Fatalf("%s has %d lines, want 1", args[0], n)
	}
}

// TestTheDemoDecidesWithinTwoSeconds starts the command as a newcomer does and waits
// for the first decision on the terminal; then it is told to end.
func TestTheDemoDecidesWithinTwoSeconds(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("hierarchy") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "run", "--demo", "--listen", address)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir(), "NATS_URL=", "HIERARCHY_HTTP=off")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	decided, conflict, lines := false, false, bufio.NewScanner(out)
	for !conflict && lines.Scan() {
		if took := time.Since(began); !decided && took > 2*time.Second {
			t.Errorf("the first decision took %v", took)
		}
		decided = true // the first line of all tells of one
		conflict = strings.Contains(lines.Text(), " contend: ")
	}
	if !conflict {
		t.Error("nobody contended")
	}
	told := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // until it is closed
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("told to end, it ended with %v", err)
	}
	if took := time.Since(told); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
}
