// Package client submits operations and follows what becomes of them.
//
// A [Client] speaks over a connection to NATS that its caller owns; [Connect] makes
// one with the settings that the guarantees need. A [Request] describes an
// operation as people write it, with entities by name or by id, and becomes an
// [operation.Operation]. An [Outcome] is how an operation ended.
//
// The rules:
//
//   - [Client.Submit] returns when the broker has stored the operation. From then on
//     it ends in exactly one terminal event, whether its publisher lives or not.
//   - Submitting the same operation again is harmless (rule R9): do so whenever an
//     error leaves open whether it was stored. Another content under an id that is
//     taken is refused with [ErrOpIDConflict].
//   - [Client.SubmitAndWait] and [Client.Cancel] subscribe before they publish, and
//     look into the stream after a reconnection: an answer is not missed.
//   - Losing a conflict is an outcome and no error. Operations of one publisher for
//     one entity contend like anybody's: whoever needs a sequence waits for each.
//
// What it does not do: decide anything, or retry a rejected operation.
package client
