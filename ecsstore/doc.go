// Package ecsstore keeps entities in a JetStream stream and commits changes to
// them atomically.
//
// An [Entity] is the head of one entity: its components, its place in the tree,
// its revision and its counters. A [System] computes what an operation does to
// entities; the built-in systems are pure. A [Txn] is where systems run: it reads
// heads that were loaded before, collects what changes, and is thrown away if
// anything fails.
//
// The commit point is [JetStream.Commit]: one atomic batch that holds the fence of
// each partition it speaks for, the heads that changed (each under
// compare-and-swap), the versions, the operation records, the events and the
// decision record. Before it nothing has happened; after it everything has.
//
// What it does not do: decide which operation goes ahead (package resolver), take
// operations from the broker or hold timers (package consumer).
package ecsstore
