package natstest

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

var (
	prepared atomic.Bool // Main has run
	bubble   sync.Mutex  // held while a bubble exists: two at once would share pooled timers
)

// Main runs a package's tests with what a [Bubble] needs:
//
//	func TestMain(m *testing.M) { natstest.Main(m) }
func Main(m *testing.M) {
	ats.Register()
	defer ats.Unregister()
	prepared.Store(true)
	m.Run()
}

// Bubble runs f in a bubble of virtual time with a server in it. The package's
// TestMain must be [Main], and the test must not be parallel to others that talk
// to a server.
func Bubble(t *testing.T, f func(t *testing.T, s *Server), opts ...Option) {
	t.Helper()
	if !prepared.Load() {
		t.Fatal("a bubble needs natstest.Main as the package's TestMain")
	}
	bubble.Lock()
	defer bubble.Unlock()
	emptyPools()
	defer emptyPools()
	synctest.Test(t, func(t *testing.T) {
		f(t, Start(t, append(opts, InProcess())...))
	})
}

// Advance lets d of virtual time pass and whatever is due in it happen. It works in
// a bubble only.
func Advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// emptyPools makes the client library forget its pooled timers: one made outside
// must not be used in a bubble, nor one made in a bubble outside, as a connection
// does that reconnects. It takes two collections to empty a sync.Pool.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
