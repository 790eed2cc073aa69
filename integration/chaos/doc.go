// Package chaos runs Hierarchy as it is deployed, on real processes, and breaks them
// while it works.
//
// A [Run] is three nats-servers with the shipped configuration, some workers, and a
// load of mixed operations of which every acknowledgement is written down. Meanwhile
// a driver that follows a [Plan] kills workers with SIGKILL, stops them with SIGSTOP
// for up to 20 seconds, adds and drains them, and kills or restarts the servers, one
// at a time. The plan follows from its seed; what the processes make of it does not,
// so that a seed repeats the faults and not the run.
//
// When the time is over everything is mended, and the run waits until nothing is left
// to do. Then it reads the streams itself: each acknowledged operation was taken once,
// with the content that was sent, and has exactly one terminal event; each cancellation
// has one answer; no owner that had lost a partition has written to it; what was read
// and written through the client is linearizable. The audit has the last word.
//
// A [Report] also says how much happened. A run in which too little did (commits,
// kills, broker faults, zombies turned away, acknowledgements lost) has shown nothing
// and fails.
//
// Everything is built and started from this module: it needs Go and nothing else. The
// processes die with the one that started them. Files of a run that failed are kept,
// and the report says where.
//
// The run itself is a test behind the build tag integration: make chaos.
package chaos
