// Package consumer turns each partition of the operations stream into windows, has
// them resolved, and commits what was decided.
//
// A [Worker] owns partitions. For each it reads the operations from the fence's
// cursor on, in order and without acknowledging anything: progress is the cursor,
// and the cursor moves in the very commit that stores the decisions.
//
// One goroutine, the engine, does all the deciding. It stages operations, and when
// windows are closed or attempts are due it plans a round: every ready partition's
// windows, one after another, against one transaction over the entities' heads. A
// round becomes one atomic batch. While the batch is under way the engine only
// stages. A round that is refused left nothing behind; it is planned again from
// fresh heads, and after the third time in a row one partition at a time.
//
// What an entity is held by, and what waits for it, is its lane: the holder, the
// next, and what is carried. Lanes live in memory over durable records, and a
// partition's next owner finds them there.
//
// What it does not do: rank contenders (package resolver) or know how anything is
// stored (package ecsstore).
package consumer
