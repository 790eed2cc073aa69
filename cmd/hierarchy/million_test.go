//go:build integration && linux

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

var operations = flag.Int("operations", 20_000, "how many operations are audited, or wait for a worker")

// What an audit may take, however many operations there are up to a million.
const (
	mostSeconds = 60
	mostMiB     = 512
)

// TestAuditOfManyOperations records operations with a broker and a worker in one
// process, and audits them with another. It measures how long that takes and how much
// memory; see make audit-million.
func TestAuditOfManyOperations(t *testing.T) {
	listen, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("hierarchy") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://" + listen
	run := exec.CommandContext(t.Context(), program, "run", "--listen", listen, "--store", t.TempDir(), "--sync", "interval", "--http", "off")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = run.Process.Kill(), run.Wait() }()
	dialed(t, url)
	code, out := stressed(t.Context(), t, "stress", "--server", url, "--for", "2h", "--settle", "10m", "--rate", "0", "--targets", "100",
		"--count", fmt.Sprint(*operations), "--audit=false", "--json")
	if r := decodeReport(t, out); code != exitDone || r.Submitted < *operations {
		t.Fatalf("exit code %d, report:\n%s", code, out)
	}
	began := time.Now()
	audit := exec.CommandContext(t.Context(), program, "audit", "--server", url, "--json")
	found, err := audit.Output()
	took := time.Since(began)
	var r auditReport
	if bad := json.Unmarshal(found, &r); err != nil || bad != nil || !r.OK || r.Counts.Operations < uint64(*operations) { //nolint:gosec // a flag
		t.Fatalf("the audit: %v, %v:\n%s", err, bad, found)
	}
	usage, ok := audit.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("nobody knows how much memory it took")
	}
	mib := float64(usage.Maxrss) / 1024
	t.Logf("%d operations, %d messages: %.1f s, %.0f MiB", r.Counts.Operations, r.Counts.Messages, took.Seconds(), mib)
	if took.Seconds() > mostSeconds || mib > mostMiB {
		t.Errorf("it took %.1f s and %.0f MiB, and may take %d s and %d MiB", took.Seconds(), mib, mostSeconds, mostMiB)
	}
}
