// Package resolver decides which of the operations contending for an entity goes
// ahead.
//
// A [Contest] is what one window staged for one entity: the contenders and, where
// the entity is held, its holder. [Resolve] ranks the contenders and returns the
// decision. It is a pure function: no clock, no I/O, no randomness; the same
// contest gives the same decision whatever the order of its contenders.
//
// The rule book, by the numbers of the behaviour it implements:
//
//   - R1: [Inherit] gives an operation the highest priority of its chain of parents.
//   - R3: the highest effective priority wins; a tie goes to the earliest
//     creation, a further tie to the earlier in the stream.
//   - R4: each contest has exactly one first contender, which wins or waits.
//   - R5: the others lose; a loser that asked for it is carried instead.
//   - R6: a child whose parent contends beside it at the same effective priority
//     ranks behind it: it counts as created no earlier than its parent.
//   - R7: while the entity is held the first contender waits, unless
//   - R8: the holder is between two attempts, out of its grace period and of lower
//     effective priority: then the first contender wins and preempts it.
package resolver
