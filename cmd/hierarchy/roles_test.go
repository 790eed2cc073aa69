package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/hierarchy-events/hierarchy/internal/natstest"
)

// users are those of docs/operating.md, each with its name as its password.
func users(t *testing.T) []*server.User {
	t.Helper()
	block := regexp.MustCompile(`(?ms)^    authorization \{$.*?^    \}$`).FindString(fileText(t, docs+"/operating.md"))
	block = regexp.MustCompile(`\$\w+_PASSWORD`).ReplaceAllStringFunc(block, func(name string) string {
		return strings.ToLower(strings.TrimSuffix(name[1:], "_PASSWORD"))
	})
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, block)
	}
	return options.Users
}

// roles are commands of users of a broker.
type roles struct {
	t      *testing.T
	broker *natstest.Server
}

func (r *roles) url(role string) string {
	return strings.Replace(r.broker.URL(), "://", "://"+role+":"+role+"@", 1)
}

// run runs a command and returns what it writes.
func (r *roles) run(role string, args ...string) (string, error) {
	cmd := command(r.t, append(args, "--server", r.url(role))...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// may runs a command that has to succeed.
func (r *roles) may(role string, args ...string) string {
	r.t.Helper()
	out, err := r.run(role, args...)
	if err != nil {
		r.t.Errorf("%s: hierarchy %s: %v\n%s", role, strings.Join(args, " "), err, out)
	}
	return out
}

// mayNot runs a command that the broker has to refuse.
func (r *roles) mayNot(role string, args ...string) {
	r.t.Helper()
	if out, err := r.run(role, args...); err == nil || !strings.Contains(strings.ToLower(out), "permission") {
		r.t.Errorf("%s: hierarchy %s: %v, want no permission\n%s", role, strings.Join(args, " "), err, out)
	}
}

// TestTheRolesOfTheDocs starts a broker with the users of docs/operating.md, and has each do
// what the table says that it may, and something that it may not.
func TestTheRolesOfTheDocs(t *testing.T) {
	found := users(t)
	r := &roles{t: t, broker: natstest.Start(t, func(o *server.Options) { o.Users = found })}
	r.may("admin", "init")
	listener, err := nats.Connect(r.url("listener"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	heard, err := listener.SubscribeSync("hierarchy.events.>")
	if err != nil {
		t.Fatal(err)
	}
	create := []string{"submit", "--type", "create_entity", "--target", "valve-7", "--param", "type=valve", "--op-id", "first", "--wait"}
	waited := make(chan string, 1)
	go func() { waited <- r.may("scheduler", create...) }()
	select {
	case out := <-waited:
		t.Fatalf("without a worker a wait ends with %s", out)
	case <-time.After(3 * time.Second): // it has heard nothing and looked into the stream
	}
	worker := command(t, "run", "--server", r.url("worker"))
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, worker)
	if out := <-waited; !strings.Contains(out, "succeeded") {
		t.Errorf("a wait that looked in vain says %s", out)
	}
	if event, err := heard.NextMsg(10 * time.Second); err != nil || !strings.HasPrefix(event.Subject, "hierarchy.events.") {
		t.Errorf("the listener hears %v, %v", event, err)
	}
	r.may("scheduler", create...)
	if out, _ := r.run("scheduler", "cancel", "first", "--target", "valve-7"); !strings.Contains(out, "is succeeded") {
		t.Errorf("cancelling what has ended says %s", out)
	}
	for _, args := range [][]string{
		{"status"},
		{"get", "valve-7"},
		{"history", "valve-7"},
		{"tree", "valve-7"},
		{"explain", "first", "--target", "valve-7"},
		{"replay"},
		{"audit"},
	} {
		r.may("auditor", args...)
	}
	modify := []string{"submit", "--type", "modify_field", "--target", "valve-7", "--field", "x", "--value", "1"}
	r.mayNot("scheduler", append(modify, "--priority", "critical")...)
	for _, role := range []string{"auditor", "worker", "listener"} {
		r.mayNot(role, modify...)
	}
}
