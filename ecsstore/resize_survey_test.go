package ecsstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// members returns the bucket of members.
func (a *archive) members() jetstream.KeyValue {
	a.t.Helper()
	kv, err := a.js.KeyValue(a.t.Context(), a.space.MembersBucket())
	if err != nil {
		a.t.Fatal(err)
	}
	return kv
}

// join makes a worker a member.
func (a *archive) join(name, entry string) {
	a.t.Helper()
	if _, err := a.members().PutString(a.t.Context(), name, entry); err != nil {
		a.t.Fatal(err)
	}
}

func (a *archive) resizing(to int) *ecsstore.Resizing {
	a.t.Helper()
	z, err := ecsstore.NewResizing(a.t.Context(), a.js, a.space, ecsstore.Resize{To: to, Owner: "scale", Patience: time.Second})
	if err != nil {
		a.t.Fatal(err)
	}
	return z
}

// TestR23_ScaleIsRefusedWhileItIsNotSafe looks at systems in which a change would not
// come to an end, or would not be understood.
func TestR23_ScaleIsRefusedWhileItIsNotSafe(t *testing.T) {
	target := operation.EntityID("valve-7")
	partition := subjects.Partition(target, archivePartitions)
	fence := operation.Fence{Partition: partition, Owner: "w1", Epoch: 1, Partitions: archivePartitions}
	for name, c := range map[string]struct {
		set  func(a *archive)
		want string
	}{
		"nothing is in the way": {func(a *archive) { a.join("w1", `{"name":"w1","partitions":4}`) }, ""},
		"an older worker":       {func(a *archive) { a.join("w1", `{"name":"w1"}`) }, "worker w1 is of a build that cannot follow"},
		"nobody claimed it":     {func(a *archive) { a.submit(target, 1) }, "has work to do and no worker owns it"},
		"its owner is gone": {func(a *archive) {
			a.submit(target, 1)
			a.put(a.space.Fence(partition), fence)
		}, "has work to do and no worker owns it"},
		"its owner works": {func(a *archive) {
			a.submit(target, 1)
			a.put(a.space.Fence(partition), fence)
			a.join("w1", `{"name":"w1","partitions":4}`)
		}, ""},
		"it is halted": {func(a *archive) {
			f := fence
			f.Cursor = 10
			a.put(a.space.Fence(partition), f)
		}, "it has rewound"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchive(t)
			c.set(a)
			got, err := a.resizing(8).Survey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(got.Unsafe, "; "); all != "" != (c.want != "") || !strings.Contains(all, c.want) {
				t.Errorf("not safe because of %q, want %q", all, c.want)
			}
			if c.want == "" {
				return
			}
			if _, err := a.resizing(8).Run(t.Context()); !errors.Is(err, ecsstore.ErrUnsafe) || !strings.HasSuffix(err.Error(), "; nothing was changed") {
				t.Errorf("changing it: %v, want %v", err, ecsstore.ErrUnsafe)
			}
			if err := ecsstore.Intake(t.Context(), a.js, a.space); err != nil {
				t.Errorf("operations are not taken any more: %v", err)
			}
		})
	}
}
