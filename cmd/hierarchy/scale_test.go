package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// fleet is a broker, three workers that are processes of their own, and load on them.
type fleet struct {
	t       *testing.T
	url     string
	js      jetstream.JetStream
	program string
	started int // workers
	workers map[string]*exec.Cmd

	stop   func()
	report chan stressReport
}

func newFleet(t *testing.T, partitions int) *fleet {
	t.Helper()
	program, err := exec.LookPath("hierarchy") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	broker := natstest.Start(t)
	f := &fleet{t: t, url: broker.URL(), js: broker.JetStream(t), program: program, workers: map[string]*exec.Cmd{}}
	settings := ecsstore.DefaultSettings()
	settings.Partitions = partitions
	if err := ecsstore.Init(t.Context(), f.js, subjects.Space{}, settings); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.hire()
	}
	f.owned(partitions)
	return f
}

// hire starts a worker.
func (f *fleet) hire() {
	f.t.Helper()
	f.started++
	name := fmt.Sprint("w", f.started)
	cmd := exec.CommandContext(f.t.Context(), f.program, "run", "--server", f.url, "--name", name, "--http", "off")
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.workers[name] = cmd
	f.t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
}

// kill ends a worker without a warning.
func (f *fleet) kill(name string) {
	f.t.Helper()
	if err := f.workers[name].Process.Kill(); err != nil {
		f.t.Fatal(err)
	}
	_ = f.workers[name].Wait()
	delete(f.workers, name)
}

// owned waits until the workers that are there own all partitions between them.
func (f *fleet) owned(partitions int) {
	f.t.Helper()
	natstest.Await(f.t, fmt.Sprintf("%d partitions to be owned by %d workers", partitions, len(f.workers)), func(ctx context.Context) bool {
		fences, err := ecsstore.NewReader(f.js, subjects.Space{}).Fences(ctx)
		if err != nil {
			return false
		}
		owned := 0
		for _, fence := range fences {
			if fence.Unclean() && fence.Partitions == partitions && f.workers[fence.Owner] != nil {
				owned++
			}
		}
		return owned == partitions
	})
}

// load puts load on the system until the fleet rests.
func (f *fleet) load(rate string) {
	ctx, stop := context.WithCancel(f.t.Context())
	f.stop, f.report = stop, make(chan stressReport, 1)
	go func() { // ends with stop
		_, out := stressed(ctx, f.t, "stress", "--server", f.url, "--for", "1h", "--rate", rate,
			"--targets", "30", "--settle", "2m", "--timeout", "1m", "--json")
		f.report <- decodeReport(f.t, out)
	}()
	awaitOperations(f.t, f.js, 200)
}

// rest ends the load and checks what the run says: that every operation ended once,
// that versions and counters are what they should be, and that the audit is clean.
func (f *fleet) rest(least int) {
	f.t.Helper()
	f.stop()
	r := <-f.report
	f.t.Logf("%d operations in %.0f s, published again %d, p99 %.0f ms", r.Submitted, r.DurationS, r.Repeated, r.Latency.P99)
	if !r.OK || r.Submitted < least || r.Submitted != r.Completed+r.Rejected || r.Versions != r.VersionsExpected ||
		r.Counters != r.CountersExpected || r.Audit == nil || !r.Audit.OK {
		f.t.Errorf("report: %+v", r)
	}
}

// scale changes the number of partitions with the command, and returns what it says.
func (f *fleet) scale(to int) scaled {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(f.t.Context(), f.program, "scale-partitions", fmt.Sprint(to), "--server", f.url, "--json", "--timeout", "2m")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		f.t.Fatalf("scaling to %d: %v: %s", to, err, stderr.String())
	}
	var got scaled
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		f.t.Fatalf("%v in %s", err, stdout.String())
	}
	if got.To != to {
		f.t.Errorf("it is said to have been changed to %d, want %d", got.To, to)
	}
	f.t.Logf("from %d to %d: resumed %t, closed for %.2f s, %d remembered", got.From, got.To, got.Resumed, got.ClosedSeconds, got.Recalled)
	return got
}

// publisher submits operations one after the other, each with a minute of patience.
// None of them may fail.
func (f *fleet) publisher(name string) (stop func() int) {
	f.t.Helper()
	nc, err := client.Connect(f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	c, err := client.New(nc)
	if err != nil {
		f.t.Fatal(err)
	}
	done, n, wait := make(chan struct{}), 0, sync.WaitGroup{}
	wait.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
			r := client.Request{Type: operation.CreateEntity, Target: fmt.Sprint(name, n), Params: map[string]any{"type": "valve", "components": map[string]any{}}}
			op, err := r.Operation()
			if err == nil {
				_, err = c.Submit(ctx, op)
			}
			cancel()
			if err != nil {
				f.t.Errorf("submitting: %v", err)
				return
			}
			n++
		}
	})
	return func() int { close(done); wait.Wait(); return n }
}

// TestR23_ScaleWithThreeWorkers changes the number of partitions up and down under load.
// A worker is killed in the middle of a change, and a program that uses the client
// package notices nothing but a pause.
func TestR23_ScaleWithThreeWorkers(t *testing.T) {
	f := newFleet(t, 16)
	f.load("150")
	stop := f.publisher("tank-")
	f.scale(32)
	f.owned(32)
	killed := make(chan struct{})
	go func() { // ends with the change
		defer close(killed)
		natstest.Await(t, "the operations stream to be closed", func(ctx context.Context) bool {
			return ecsstore.Intake(ctx, f.js, subjects.Space{}) != nil
		})
		f.kill("w2")
	}()
	f.scale(8)
	<-killed
	f.hire()
	f.owned(8)
	if n := stop(); n < 20 {
		t.Errorf("%d operations were submitted by the client: that was no load", n)
	}
	f.rest(300)
	if g := f.scale(8).Generation; g != 2 {
		t.Errorf("this is generation %d, want 2", g)
	}
}

// killAt runs the command until it is at a step, and kills it there.
func (f *fleet) killAt(to int, step string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.program, "scale-partitions", fmt.Sprint(to), "--server", f.url, "--json", "-v", "--timeout", "2m")
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	reached := false
	for lines := bufio.NewScanner(out); !reached && lines.Scan(); {
		reached = strings.HasPrefix(lines.Text(), fmt.Sprintf(`{"step":%q,`, step))
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !reached {
		f.t.Errorf("it never came to %q", step)
	}
}

// TestR23_ScaleKilledAtEachStep kills the command at each of its steps, under load, and
// runs it again: it takes up what was begun. Every other time that is undone first.
func TestR23_ScaleKilledAtEachStep(t *testing.T) {
	f := newFleet(t, 4)
	f.load("50")
	to, from := 6, 4
	for i, step := range []string{"survey", "seal", "drain", "claim 0", "claim 3", "check", "remember", "commit", "confirm", "mark the store", "open"} {
		f.killAt(to, step)
		if i%2 == 1 && ecsstore.Intake(t.Context(), f.js, subjects.Space{}) != nil {
			out, err := exec.CommandContext(t.Context(), f.program, "scale-partitions", "--abort", "--server", f.url).CombinedOutput()
			if want := fmt.Sprintf("there are %d partitions as before, and operations are taken again\n", from); err != nil || string(out) != want {
				t.Errorf("undoing it after %q: %v: %s", step, err, out)
			}
		}
		f.scale(to)
		f.owned(to)
		to, from = from, to
	}
	f.rest(200)
}
