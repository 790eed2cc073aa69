package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hierarchy-events/hierarchy/audit"
	"github.com/hierarchy-events/hierarchy/ecsstore"
	"github.com/hierarchy-events/hierarchy/internal/natstest"
	"github.com/hierarchy-events/hierarchy/operation"
	"github.com/hierarchy-events/hierarchy/subjects"
)

// forgery is a system into which events are written past the workers.
func forgery(t *testing.T) (js jetstream.JetStream, forge func()) {
	t.Helper()
	js = natstest.Start(t).JetStream(t)
	settings := ecsstore.DefaultSettings()
	settings.Storage = jetstream.MemoryStorage
	if err := ecsstore.Init(t.Context(), js, subjects.Space{}, settings); err != nil {
		t.Fatal(err)
	}
	var space subjects.Space
	subject := space.Write(space.Event(operation.CompletedEvent, operation.EntityID("valve-7")))
	return js, func() {
		t.Helper()
		if _, err := js.Publish(t.Context(), subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestR20_AuditFollows forges one event after the other. Audit names each when it is
// there, and ends with exit code 1 when it is interrupted.
func TestR20_AuditFollows(t *testing.T) {
	js, forge := forgery(t)
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	a := &app{in: strings.NewReader(""), out: in, err: t.Output()}
	root := newRoot(a)
	root.SetArgs([]string{"audit", "--follow", "--server", js.Conn().ConnectedUrl()})
	code := make(chan int, 1)
	go func() {
		code <- a.report(root.ExecuteContext(ctx))
		_ = in.Close()
	}()
	lines := bufio.NewScanner(out)
	for _, sequence := range []string{"1", "2", "3"} {
		forge()
		for lines.Scan() && strings.TrimSpace(lines.Text()) != "nats stream get HIERARCHY "+sequence {
		}
	}
	interrupt()
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if got := <-code; got != exitError || !strings.HasPrefix(last, "NOT CLEAN: ") {
		t.Errorf("interrupted, it ended with exit code %d and %q", got, last)
	}
}

// TestR20_AuditTellsHowFarItIs counts messages up to the last one, also of those that
// come while it follows.
func TestR20_AuditTellsHowFarItIs(t *testing.T) {
	js, forge := forgery(t)
	for range 5 {
		forge()
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	last, more := uint64(0), false
	_, err := audit.Run(ctx, audit.Options{JS: js, Rules: audit.DefaultRules(), Limit: 100, Follow: true, Progress: func(done, total uint64) {
		if done < last || total < done {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		switch last = done; {
		case done == 5 && !more:
			more = true
			forge()
		case done == 6:
			interrupt()
		}
	}})
	if err != nil || last != 6 {
		t.Errorf("it ended at %d: %v", last, err)
	}
}
