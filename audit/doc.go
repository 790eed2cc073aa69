// Package audit proves over the recorded streams that the system kept its promises.
//
// [Run] reads the operations stream and the store's stream side by side, once, and
// holds what it reads to a list of invariants (docs/audit.md says what each means
// and what it cannot see). What is wrong is a [Violation] in the [Report]; what could
// not be checked, because retention has removed it, is told as well.
//
// The nouns: a commit is one atomic batch; a part is what one partition has in it; a
// life is an operation that was taken and has not ended; a lane is what holds an
// entity and what waits for it. Commits are judged in the order of the stream. Events
// drive the lives and lanes of a model, and everything else that was recorded
// (decision records, operation records, versions, heads, fences) has to agree with
// the model.
//
// What it holds in memory grows with what is unfinished, with the number of entities,
// and with the last 65,536 operations of each partition; not with what was read.
//
// It shares no rule with what it checks: it stands beside packages resolver and
// ecsstore and imports neither, so that a mistake in them cannot hide in it. What it
// knows of the rules is written a second time, plainly. What operations are it knows
// from package operation, as workers do: a mistake in its decoder hides in both. It
// only reads, decides nothing and repairs nothing.
package audit
