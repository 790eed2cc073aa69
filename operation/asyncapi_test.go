package operation

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func asyncAPI(t *testing.T) document {
	t.Helper()
	var doc document
	if err := yaml.Unmarshal([]byte(readDoc(t, "asyncapi.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// dig follows keys into a document.
func dig(doc any, keys ...string) any {
	for _, key := range keys {
		members, _ := doc.(document)
		doc = members[key]
	}
	return doc
}

// TestAsyncAPIHasEveryChannel compares the channels with the families of subjects.
func TestAsyncAPIHasEveryChannel(t *testing.T) {
	doc := asyncAPI(t)
	if doc["asyncapi"] != "3.0.0" {
		t.Errorf("the document is of AsyncAPI %v", doc["asyncapi"])
	}
	want := []string{"hierarchy.ops.{priority}.{entity}", "hierarchy.ops.cancel.{entity}", "hierarchy.dead.{partition}"}
	for _, kind := range Kinds() {
		want = append(want, "hierarchy.events."+string(kind)+".{entity}")
	}
	var got []string
	for name, channel := range dig(doc, "channels").(document) {
		address := dig(channel, "address").(string)
		got = append(got, address)
		for token := range strings.SplitSeq(address, ".") {
			if param, ok := strings.CutPrefix(token, "{"); ok && dig(channel, "parameters", strings.TrimSuffix(param, "}")) == nil {
				t.Errorf("channel %s does not describe parameter %s", name, token)
			}
		}
		if messages, _ := dig(channel, "messages").(document); len(messages) != 1 {
			t.Errorf("channel %s has %d messages, want 1", name, len(messages))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
	var priorities []any
	for _, p := range Priorities() {
		priorities = append(priorities, p.String())
	}
	if diff := cmp.Diff(priorities, dig(doc, "channels", "operations", "parameters", "priority", "enum")); diff != "" {
		t.Errorf("priorities (-code +asyncapi.yaml):\n%s", diff)
	}
}

// TestAsyncAPIHasEveryKind follows each kind from its channel to the schema of its
// data, and each channel to an operation.
func TestAsyncAPIHasEveryKind(t *testing.T) {
	doc := asyncAPI(t)
	for _, kind := range Kinds() {
		name := string(kind)
		for _, step := range []struct{ want, got any }{
			{"#/components/messages/" + name, dig(doc, "channels", name, "messages", name, "$ref")},
			{"#/components/schemas/" + name, dig(doc, "components", "messages", name, "payload", "$ref")},
		} {
			if step.want != step.got {
				t.Errorf("%s leads to %v, want %v", kind, step.got, step.want)
			}
		}
		parts, _ := dig(doc, "components", "schemas", name, "allOf").([]any)
		if len(parts) != 2 {
			t.Fatalf("the payload of %s has %d parts, want envelope and data", kind, len(parts))
		}
		want := "../operation/schemas/event-" + strings.ReplaceAll(name, "_", "-") + ".json"
		if got := dig(parts[1], "properties", "data", "$ref"); got != want {
			t.Errorf("the data of %s is %v, want %v", kind, got, want)
		}
	}
	used := map[any]bool{}
	for _, op := range dig(doc, "operations").(document) {
		used[dig(op, "channel", "$ref")] = true
	}
	for name := range dig(doc, "channels").(document) {
		if !used["#/channels/"+name] {
			t.Errorf("no operation uses channel %s", name)
		}
	}
}

// TestAsyncAPIRefersToWhatIsThere resolves every $ref of the document.
func TestAsyncAPIRefersToWhatIsThere(t *testing.T) {
	doc := asyncAPI(t)
	seen := 0
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case document:
			if ref, ok := node["$ref"].(string); ok {
				seen++
				resolve(t, doc, ref)
			}
			for _, member := range node {
				walk(member)
			}
		case []any:
			for _, element := range node {
				walk(element)
			}
		}
	}
	walk(doc)
	if seen < 40 {
		t.Errorf("the document has only %d references", seen)
	}
}

func resolve(t *testing.T, doc document, ref string) {
	t.Helper()
	if pointer, ok := strings.CutPrefix(ref, "#/"); ok {
		if dig(doc, strings.Split(pointer, "/")...) == nil {
			t.Errorf("nothing is at %s", ref)
		}
		return
	}
	if _, err := os.Stat(path.Join("../docs", ref)); err != nil {
		t.Errorf("reference %s: %v", ref, err)
	}
}
