//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds what a test waits for: a broker's election and a worker's take-over
// together, on a machine that does much else.
const patience = 90 * time.Second

// await waits until done returns true, asking every 50 ms.
func await(t *testing.T, what string, done func(context.Context) bool) {
	t.Helper()
	awaitEvery(t, 50*time.Millisecond, what, done)
}

func awaitEvery(t *testing.T, every time.Duration, what string, done func(context.Context) bool) {
	t.Helper()
	all, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ctx, stop := context.WithTimeout(all, 2*time.Second)
		ok := done(ctx)
		stop()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-all.Done():
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// Ports for containers are taken from below those that the system gives to outgoing
// connections, so that none is lost while its container is down.
const firstPort, lastPort = 20000, 32000

// freePorts returns ports of the loopback address that nobody listens on. A container
// whose port the engine had chosen would get another one when it starts again.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for len(ports) < n {
		port := firstPort + rand.IntN(lastPort-firstPort)
		var cfg net.ListenConfig
		ln, err := cfg.Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		if err != nil {
			continue
		}
		defer ln.Close() // held until all are chosen, so that they differ
		ports = append(ports, port)
	}
	return ports
}

// lastJSON reads the last line that is a JSON document.
func lastJSON(t *testing.T, text string, out any) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range slices.Backward(lines) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), out); err != nil {
				t.Fatalf("reading %s: %v", line, err)
			}
			return
		}
	}
	t.Fatalf("no document in %s", text)
}
