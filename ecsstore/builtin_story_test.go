package ecsstore

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

var updateStories = flag.Bool("update", false, "rewrite the stories in testdata with what happens now")

// TestStories runs the scripts in testdata/stories. A line that starts with ">" is
// a command; what follows it, down to the next command or comment, is what came of
// it. Commands are
//
//	> <op_type> <target> [from <source>] [<params>]
//	> show <entity>
//	> version <entity> <number>
//
// and @name in params is the id of the entity of that name.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runStory(t, file) })
	}
}

func runStory(t *testing.T, file string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	teller := &teller{world: newWorld(t), names: map[uuid.UUID]string{}}
	for line := range strings.Lines(string(want)) {
		teller.line(strings.TrimSuffix(line, "\n"))
	}
	teller.world.check()
	got := teller.out.String()
	if *updateStories {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the story ends otherwise (-update rewrites it):\n%s", diff)
	}
}

// teller runs a script and writes it again with what happens.
type teller struct {
	world *world
	names map[uuid.UUID]string
	out   strings.Builder
}

// line takes one line of a script: commands run, comments stay, results are dropped
// because they are written anew.
func (s *teller) line(text string) {
	if strings.HasPrefix(text, "#") || text == "" {
		s.say("%s", text)
	}
	command, ok := strings.CutPrefix(text, "> ")
	if !ok {
		return
	}
	s.say("%s", text)
	fields := strings.SplitN(command, " ", 3)
	s.name(fields[1])
	rest := strings.Join(fields[2:], "")
	switch fields[0] {
	case "show":
		s.head(s.world.head(fields[1]))
	case "version":
		s.version(fields[1], rest)
	default:
		s.operation(operation.Type(fields[0]), fields[1], rest)
	}
}

func (s *teller) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for id, name := range s.names {
		text = strings.ReplaceAll(text, id.String(), name)
	}
	s.out.WriteString(text + "\n")
}

func (s *teller) name(name string) string {
	id := operation.EntityID(name)
	s.names[id] = name
	return id.String()
}

var reference = regexp.MustCompile(`@[a-z0-9-]+`)

func (s *teller) operation(kind operation.Type, target, rest string) {
	source := ""
	if after, ok := strings.CutPrefix(rest, "from "); ok {
		source, rest, _ = strings.Cut(after, " ")
	}
	params := reference.ReplaceAllStringFunc(rest, func(ref string) string { return s.name(ref[1:]) })
	o := s.world.operation(kind, target, params)
	s.names[o.ID] = fmt.Sprintf("op-%d", s.world.ops)
	if source != "" {
		o.Source = uuid.MustParse(s.name(source))
	}
	result, err := s.world.run(o)
	if err != nil {
		s.failure(err)
		return
	}
	s.say("done: version %d, revision %d", result.Version, result.Revision)
	for _, c := range result.Changes {
		s.change(c)
	}
}

func (s *teller) failure(err error) {
	f, ok := errors.AsType[*operation.Failure](err)
	switch {
	case !ok:
		s.say("error: %v", err)
	case f.Permanent:
		s.say("refused: %s", f)
	default:
		s.say("failed: %s", f)
	}
}

func (s *teller) change(c operation.Change) {
	parts := []string{"  " + c.Entity.String(), string(c.Action)}
	if c.Path != "" {
		parts = append(parts, c.Path)
	}
	if c.Value != nil {
		parts = append(parts, string(c.Value))
	}
	if c.Version != 0 {
		parts = append(parts, fmt.Sprintf("(version %d)", c.Version))
	}
	s.say("%s", strings.Join(parts, " "))
}

func (s *teller) head(e *Entity) {
	s.say("%s %s, a %s: revision %d, %d versions, %d borrows", e.Place, e.ID, e.Type, e.Revision, e.VersionCount, e.BorrowCount)
	if e.Parent != uuid.Nil {
		s.say("  below %s", e.Parent)
	}
	for _, child := range e.Children {
		s.say("  above %s", child)
	}
	text, err := json.Marshal(e.Components)
	if err != nil {
		s.world.tb.Fatal(err)
	}
	s.say("  %s", text)
	for _, field := range sortedKeys(e.Sources) {
		from := e.Sources[field]
		s.say("  %s from %s of %s (version %d, revision %d) by %s", field, from.Field, from.Entity, from.Version, from.Revision, from.OpID)
	}
	for _, m := range e.History {
		s.say("  %d %s %s %s", m.Revision, m.Time.Format("15:04:05"), m.OpID, m.OpType)
	}
}

func (s *teller) version(name, number string) {
	for _, v := range s.world.versions[operation.EntityID(name)] {
		if fmt.Sprint(v.Number) == number {
			s.say("version %d by %s at %s %q", v.Number, v.OpID, v.Time.Format("15:04:05"), v.Note)
			s.head(v.Head)
			return
		}
	}
	s.say("no version %s", number)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
