// Package integration tests what users deploy: the images, the compose file and the
// shipped configuration, with real processes in real containers.
//
// The tests of containers are behind the build tag integration (make integration).
// They need a Docker engine and nothing that must be pulled: the images are built FROM
// scratch, by the project's own Dockerfile, out of static binaries of the command and
// of nats-server at the version that go.mod names. A machine without Docker is told
// what was skipped; with CI=true that is a failure.
//
// A [site] is one test's network with brokers and workers in it. A test does something
// to them while a load runs, and ends with the audit.
//
// The test process starts itself anew and only watches: whatever becomes of the tests,
// a time-out and a panic included, their containers, networks, volumes and images are
// removed by their label. What an earlier process left behind when it was killed goes
// when the next one starts.
//
// The tests without the tag hold what is shipped beside the code against the code:
// dashboard, alerts, compose file, versions.
package integration
