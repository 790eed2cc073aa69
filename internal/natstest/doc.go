// Package natstest starts NATS servers inside the test's own process.
//
// A [Server] is one server with JetStream and file storage in the test's
// temporary directory. A [Cluster] is three of them joined by routes on loopback:
// a store must be tested on both, because a single replica hides what consensus
// does to writes in flight. Both can be stopped and restarted on the same store
// and the same address, and both end with the test that started them.
//
// A [Line] is the way between a client and a server, which a test can cut and hold.
//
// [Bubble] runs a test with a server in a testing/synctest bubble, where time is
// virtual: an hour of retries, grace periods and time-outs passes in the blink of
// an eye and in the same order each time. What makes that work is easy to miss:
//
//   - [Main] must be the package's TestMain. It starts the server's clock goroutine
//     outside any bubble; started inside one, it would keep time from advancing.
//   - No socket may be open: the server does not listen, connections are pipes.
//   - Requests take a ctx (RequestWithContext, FlushWithContext); the forms with a
//     time-out take timers from a pool that outlives the bubble.
//   - What is started inside ends inside: connections and server are closed by
//     clean-ups of the bubble's own t, so use that t and not the outer one.
//
// In a bubble [Advance] lets time pass; [Await] waits for a condition anywhere.
//
// The package does not set up streams and knows no subject of ours.
package natstest
