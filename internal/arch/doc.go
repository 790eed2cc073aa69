// Package arch keeps the tree in the shape that docs/architecture.md describes.
//
// It has tests only. They read the source of every package, whatever its build
// tags, and compare it with the floors and the lists at the head of rules_test.go:
// who may import whom, which packages stay pure, what may not appear at all. Each
// rule is also tried on a small made-up tree that breaks it. golangci-lint says
// part of the same earlier, in the editor; this test is what counts.
package arch
