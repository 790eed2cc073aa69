// Package operation defines the vocabulary every other package shares: the
// [Operation] that asks for one change of one entity, its [Priority] and
// [Status], the [Decision] a window takes about it, the [Event] that tells what
// became of it, and the records ([Fence], [Window], [Record]) that a commit
// leaves in the store.
//
// Everything here is a value with a wire form in JSON. The wire form is strict:
// [Decode] refuses what it does not know, a key given twice, and a document that
// is too large or too deep, and says which field is to blame. The JSON Schemas of
// the same forms are embedded and reachable through [Schemas].
//
// The package does no I/O, knows no broker and reads no clock.
package operation
