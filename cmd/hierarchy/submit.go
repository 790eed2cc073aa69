package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hierarchy-events/hierarchy/client"
	"github.com/hierarchy-events/hierarchy/operation"
)

const submitLong = `Submit publishes an operation and returns when the broker has stored it. From then on
it ends in exactly one of: completed, rejected, cancelled. With --wait the command
waits for that end and its exit code tells it.

Types: create_entity, version_entity, complex_update, modify_field, borrow_attribute,
promote_to_root, detach_entity, attach_entity, delete_entity, and those that workers
have systems for (hierarchy run --system). One that its worker does not know is
rejected as invalid: use --wait to see it.

Values are JSON; what is no JSON is taken as a string: --value 7, --value open.
Paths are dotted: position.x, tags.0.

With --file the operations stand in a file, one JSON document a line, as on the wire;
ids may be names. Operations that share an entity or that are each other's parent are
sent one after the other, each when the one before has its outcome; all others at the
same time. With --contend the operations are sent all at once, so that they contend;
with --contend=pace at the distances of their created_at. At the end each outcome is
counted. Exit code 0 says that every operation has an outcome.`

const submitExample = `  hierarchy submit --type create_entity --target valve-7 --param type=valve \
      --param 'components={"position": 0}' --wait
  hierarchy submit --type modify_field --target valve-7 --field position --value 40 --wait
  hierarchy submit --type complex_update --target valve-7 --priority critical \
      --set position=0 --add closings=1 --wait
  hierarchy submit --type borrow_attribute --target valve-7 --source valve-8 \
      --param source_field=position --param target_field=position
  hierarchy submit --type attach_entity --target valve-7 --param parent_id=plant-1
  hierarchy submit --file examples/plant.ndjson
  hierarchy submit --file - --contend < ops.ndjson`

// submitFlags are submit's flags.
type submitFlags struct {
	kind, priority, onLoss string
	request                client.Request
	retries                int
	expiresIn              time.Duration
	wait                   bool

	params, set, add   []string
	remove             []string
	field, value       string
	fieldSet, valueSet bool
	retype, create     bool
	file, contend      string
	fresh              bool
}

func newSubmit(a *app) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use: "submit", Short: "Submit an operation, or a file of them",
		Long: submitLong, Example: submitExample, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.file != "" {
				return a.submitFile(cmd, &f)
			}
			if f.contend != "" || f.fresh {
				return usage(cmd, errors.New("--contend and --fresh are of use with --file only"))
			}
			return a.submit(cmd, &f)
		},
	}
	f.define(cmd.Flags())
	return cmd
}

func (f *submitFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.kind, "type", "", "operation type")
	flags.StringVar(&f.request.Target, "target", "", "entity to change")
	flags.StringVar(&f.priority, "priority", operation.Normal.String(), "low, normal, high or critical")
	flags.StringVar(&f.request.ID, "op-id", "", "op_id or a name for it (default a new one)")
	flags.StringVar(&f.request.Source, "source", "", "entity to borrow from")
	flags.StringArrayVar(&f.params, "param", nil, "a param as name=JSON; may be repeated")
	flags.StringVar(&f.field, "field", "", "modify_field: path of the field")
	flags.StringVar(&f.value, "value", "", "modify_field: its new value")
	flags.StringArrayVar(&f.set, "set", nil, "complex_update: path=value; may be repeated")
	flags.StringArrayVar(&f.add, "add", nil, "complex_update: path=number to add; may be repeated")
	flags.StringArrayVar(&f.remove, "remove", nil, "complex_update: path to remove; may be repeated")
	flags.BoolVar(&f.create, "create", false, "let the operation make fields that do not exist")
	flags.BoolVar(&f.retype, "retype", false, "let a value be of another type than the one before")
	flags.StringVar(&f.request.Parent, "parent", "", "op_id of the parent operation")
	flags.StringVar(&f.request.ParentTarget, "parent-target", "", "entity of the parent operation (default the target)")
	flags.IntVar(&f.retries, "max-retries", operation.DefaultRetries, "how often a failed attempt is repeated")
	flags.DurationVar(&f.expiresIn, "expires-in", 0, "time after which it is given up")
	flags.StringVar(&f.onLoss, "on-loss", "", "what becomes of it if it loses: reject or carry (default reject)")
	flags.BoolVar(&f.wait, "wait", false, "wait for the outcome")
	flags.StringVar(&f.file, "file", "", "file of operations, - for the standard input")
	flags.StringVar(&f.contend, "contend", "", "with --file: send all at once, or at the file's own pace")
	flags.Lookup("contend").NoOptDefVal = contendAll
	flags.BoolVar(&f.fresh, "fresh", false, "with --file: give named operations new ids, to send a file again")
}

// operation turns the flags into an operation.
func (f *submitFlags) operation(flags *pflag.FlagSet) (*operation.Operation, error) {
	switch {
	case f.kind == "":
		return nil, errors.New("--type is missing")
	case f.request.Target == "":
		return nil, errors.New("--target is missing")
	}
	var err error
	r := f.request
	r.Type, r.OnLoss = operation.Type(f.kind), operation.OnLoss(f.onLoss)
	if r.Priority, err = operation.ParsePriority(f.priority); err != nil {
		return nil, fmt.Errorf("--priority: %w", err)
	}
	if flags.Changed("max-retries") {
		r.MaxRetries = &f.retries
	}
	if f.expiresIn > 0 {
		r.ExpiresAt = time.Now().Add(f.expiresIn).UTC()
	}
	f.fieldSet, f.valueSet = flags.Changed("field"), flags.Changed("value")
	params, err := f.allParams()
	if err != nil {
		return nil, err
	}
	if r.Type == operation.CreateEntity && params["components"] == nil {
		params["components"] = map[string]any{}
	}
	if len(params) > 0 {
		r.Params = params
	}
	return r.Operation()
}

// allParams gathers the params that stand in several flags.
func (f *submitFlags) allParams() (map[string]any, error) {
	params := map[string]any{}
	if f.fieldSet {
		params["field"] = f.field
	}
	if f.valueSet {
		params["value"] = jsonValue(f.value)
	}
	if f.create {
		params["create"] = true
	}
	if f.retype {
		params["retype"] = true
	}
	if len(f.remove) > 0 {
		params["remove"] = f.remove
	}
	for name, list := range map[string][]string{"set": f.set, "add": f.add} {
		values, err := assignments("--"+name, list)
		if err != nil {
			return nil, err
		}
		if len(values) > 0 {
			params[name] = values
		}
	}
	others, err := assignments("--param", f.params)
	maps.Copy(params, others)
	return params, err
}

// assignments reads a list of name=value.
func assignments(flag string, list []string) (map[string]any, error) {
	out := map[string]any{}
	for _, text := range list {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("%s %q: want name=value", flag, text)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s %s is given twice", flag, name)
		}
		out[name] = jsonValue(value)
	}
	return out, nil
}

// jsonValue is text as JSON, or as a string where it is none.
func jsonValue(text string) any {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}

func (a *app) submit(cmd *cobra.Command, f *submitFlags) error {
	op, err := f.operation(cmd.Flags())
	if err != nil {
		return usage(cmd, err)
	}
	l, err := a.connect("submit")
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, cancel := a.bounded(inherited(cmd.Context()))
	defer cancel()
	if !f.wait {
		receipt, err := l.client.Submit(ctx, op)
		if err != nil {
			return submitError(cmd, err)
		}
		return a.showReceipt(f.request.Target, receipt)
	}
	outcome, err := l.client.SubmitAndWait(ctx, op)
	if err != nil {
		return submitError(cmd, err)
	}
	return a.showOutcome(f.request.Target, outcome)
}

// submitError tells an operation that cannot be right from one that could not be
// sent.
func submitError(cmd *cobra.Command, err error) error {
	if _, invalid := errors.AsType[*operation.InvalidError](err); invalid {
		return usage(cmd, err)
	}
	return err
}

func (a *app) showReceipt(target string, r client.Receipt) error {
	if a.global.json {
		return a.writeJSON(r)
	}
	known := ""
	if r.Duplicate {
		known = " (it was there already)"
	}
	a.printf("stored: operation %s on %s at sequence %d%s", r.OpID, target, r.Sequence, known)
	return nil
}

// showOutcome shows how an operation ended and returns that as an exit code.
func (a *app) showOutcome(target string, o client.Outcome) error {
	if a.global.json {
		if err := a.writeJSON(o); err != nil {
			return err
		}
		return outcomeExit(&o)
	}
	a.printf("%s: operation %s on %s%s", o.Status, o.OpID, target, outcomeText(&o))
	for _, change := range o.Changes {
		a.printf("  %s", changeText(&change))
	}
	return outcomeExit(&o)
}

func outcomeText(o *client.Outcome) string {
	switch {
	case o.Succeeded() && o.Version > 0:
		return fmt.Sprintf(", version %d, revision %d", o.Version, o.Revision)
	case o.Succeeded():
		return fmt.Sprintf(", revision %d", o.Revision)
	case o.Reason != "":
		return fmt.Sprintf(": %s: %s", o.Reason, o.Message)
	case o.Message != "":
		return ": " + o.Message
	}
	return ""
}

func outcomeExit(o *client.Outcome) error {
	switch {
	case o.Succeeded():
		return nil
	case slices.Contains([]operation.Reason{operation.MaxRetriesExceeded, operation.Poison}, o.Reason):
		return &exit{code: exitRetries}
	}
	return &exit{code: exitRejected}
}
