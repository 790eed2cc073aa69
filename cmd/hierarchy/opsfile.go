package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

// fileOp is one line of a file of operations.
type fileOp struct {
	line   int
	name   string // of the operation, where it has one
	target string
	op     *operation.Operation
}

// label names the operation for people.
func (f *fileOp) label() string {
	if f.name != "" {
		return f.name
	}
	return f.op.ID.String()
}

// lineForm is the wire form with names where ids go.
type lineForm struct {
	ID           string             `json:"op_id"`
	Type         operation.Type     `json:"op_type"`
	Target       string             `json:"target_entity_id"`
	Priority     operation.Priority `json:"priority"`
	Source       string             `json:"source_entity_id"`
	Params       json.RawMessage    `json:"params"`
	Parent       string             `json:"parent_op_id"`
	ParentTarget string             `json:"parent_target_entity_id"`
	CreatedAt    time.Time          `json:"created_at"`
	MaxRetries   *int               `json:"max_retries"`
	ExpiresAt    time.Time          `json:"expires_at"`
	OnLoss       operation.OnLoss   `json:"on_loss"`
}

var lineKeys = []string{
	"op_id", "op_type", "target_entity_id", "priority", "source_entity_id", "params", "parent_op_id",
	"parent_target_entity_id", "created_at", "max_retries", "expires_at", "on_loss",
}

// readOps reads a file of operations, - for in. Salt, if there is any, is added to
// the names of operations. It reads all before anything is sent, so that a mistake
// on the last line is found in time.
func readOps(path string, in io.Reader, salt string, check func(*operation.Operation) error) ([]fileOp, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	var out []fileOp
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 2*operation.MaxBytes)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		entry, err := parseLine(text, salt)
		if err == nil {
			err = check(entry.op)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		entry.line = n
		out = append(out, entry)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

func parseLine(text []byte, salt string) (fileOp, error) {
	var form lineForm
	if err := strictKeys(text); err != nil {
		return fileOp{}, err
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return fileOp{}, err
	}
	request := client.Request{
		ID: salted(form.ID, salt), Type: form.Type, Target: form.Target, Priority: form.Priority, Source: form.Source,
		Parent: salted(form.Parent, salt), ParentTarget: form.ParentTarget, CreatedAt: form.CreatedAt,
		MaxRetries: form.MaxRetries, ExpiresAt: form.ExpiresAt, OnLoss: form.OnLoss,
	}
	if form.Params != nil {
		request.Params = form.Params
	}
	op, err := request.Operation()
	if err != nil {
		return fileOp{}, err
	}
	out := fileOp{target: form.Target, op: op}
	if form.ID != "" && form.ID != op.ID.String() {
		out.name = form.ID
	}
	return out, nil
}

// salted makes another name of a name. Ids stay what they are.
func salted(text, salt string) string {
	if _, err := uuid.Parse(text); err == nil || text == "" || salt == "" {
		return text
	}
	return text + "/" + salt
}

// strictKeys refuses keys that the wire form does not know and keys given twice,
// which encoding/json would take in any case and any number.
func strictKeys(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return fmt.Errorf("want one JSON object a line")
	}
	var seen []string
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		switch {
		case !slices.Contains(lineKeys, key):
			return fmt.Errorf("unknown field %q: want %s", key, strings.Join(lineKeys, ", "))
		case slices.Contains(seen, key):
			return fmt.Errorf("field %q is given twice", key)
		}
		seen = append(seen, key)
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return err
		}
	}
	return nil
}

// order returns for each operation those before it that it must wait for: all with
// which it shares an entity that either of them changes, and its parent.
func order(ops []fileOp) [][]int {
	type use struct {
		writer  int   // that changed the entity last, -1 for none
		readers []int // that used it since
	}
	uses, byRef := map[uuid.UUID]*use{}, map[operation.Ref]int{}
	of := func(id uuid.UUID) *use {
		if uses[id] == nil {
			uses[id] = &use{writer: -1}
		}
		return uses[id]
	}
	out := make([][]int, len(ops))
	for i := range ops {
		op := ops[i].op
		if parent, ok := op.Parent(); ok {
			if before, known := byRef[parent]; known {
				out[i] = append(out[i], before)
			}
		}
		for _, id := range readEntities(op) {
			u := of(id)
			if u.writer >= 0 {
				out[i] = append(out[i], u.writer)
			}
			u.readers = append(u.readers, i)
		}
		u := of(op.Target)
		if u.writer >= 0 {
			out[i] = append(out[i], u.writer)
		}
		out[i] = append(out[i], u.readers...)
		u.writer, u.readers = i, nil
		byRef[op.Ref()] = i
	}
	return out
}

// readEntities lists the entities that an operation needs beside its target.
func readEntities(op *operation.Operation) []uuid.UUID {
	var params struct {
		Parent uuid.UUID `json:"parent_id"`
	}
	_ = json.Unmarshal(op.Params, &params) // whatever else it is, it names no entity
	var out []uuid.UUID
	for _, id := range []uuid.UUID{op.Source, params.Parent} {
		if id != uuid.Nil && id != op.Target {
			out = append(out, id)
		}
	}
	return out
}
