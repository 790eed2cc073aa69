package operation

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// known are the ids that the corpus names by a letter.
var known = map[string]string{
	"ID": "0198c0de-0000-7000-8000-000000000001",
	"P":  "0198c0de-0000-7000-8000-000000000002",
	"S":  "0198c0de-0000-7000-8000-00000000000b",
	"T":  "0198c0de-0000-7000-8000-00000000000a",
}

var macro = regexp.MustCompile(`\$([A-Z]+)(?:\(([^)]*)\))?`)

// expand replaces the macros of a corpus: ids by name, and what is too long to write.
func expand(t *testing.T, text string) string {
	t.Helper()
	return macro.ReplaceAllStringFunc(text, func(m string) string {
		parts := macro.FindStringSubmatch(m)
		if id, ok := known[parts[1]]; ok {
			return id
		}
		n, _ := strconv.Atoi(parts[2])
		switch parts[1] {
		case "HEAD": // the required fields of an operation of a type
			return fmt.Sprintf(`"op_id":%q,"op_type":%q,"target_entity_id":%q`, known["ID"], parts[2], known["T"])
		case "PARAMS":
			return `"params":{"field":"a","value":1}`
		case "NEST": // arrays in each other
			return strings.Repeat("[", n) + strings.Repeat("]", n)
		case "KEYS": // members
			return members(n)
		case "LIST": // elements
			return strings.TrimSuffix(strings.Repeat("0,", n), ",")
		case "X":
			return strings.Repeat("x", n)
		case "SEGMENTS":
			return strings.TrimSuffix(strings.Repeat("a.", n), ".")
		case "DIGITS":
			return strings.Repeat("7", n)
		case "BYTE":
			b, err := strconv.ParseUint(parts[2], 16, 8)
			if err != nil {
				t.Fatalf("macro %s: %v", m, err)
			}
			return string([]byte{byte(b)})
		}
		t.Fatalf("unknown macro %s", m)
		return ""
	})
}

func members(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"k%d":0`, i)
	}
	return strings.Join(list, ",")
}

// specimen is a block of a corpus: comments, perhaps "on <class> <target>" for a
// subject that is not the usual one, the document, and what comes of it behind "= ".
type specimen struct {
	lines         []string // all but the results
	class, target string
	document      string
}

func (s *specimen) name() string { return strings.TrimPrefix(s.lines[0], "# ") }

func specimens(t *testing.T, file string) []specimen {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []specimen
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		s := specimen{class: "normal", target: known["T"]}
		for line := range strings.SplitSeq(block, "\n") {
			if strings.HasPrefix(line, "= ") {
				continue
			}
			s.lines = append(s.lines, line)
			if subject, ok := strings.CutPrefix(line, "on "); ok {
				s.class, s.target, _ = strings.Cut(expand(t, subject), " ")
			} else if !strings.HasPrefix(line, "# ") {
				s.document = expand(t, line)
			}
		}
		list = append(list, s)
	}
	return list
}

// golden compares the results of a corpus with those in its file.
func golden(t *testing.T, file string, results func(s specimen) []string) {
	t.Helper()
	var b strings.Builder
	for i, s := range specimens(t, file) {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.Join(s.lines, "\n") + "\n")
		for _, line := range results(s) {
			b.WriteString("= " + line + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got; -update renews it):\n%s", file, diff)
	}
}

// decodeSpecimen returns what Decode or DecodeCancel makes of a specimen.
func decodeSpecimen(s specimen) (any, error) {
	if s.class == "cancel" {
		return DecodeCancel([]byte(s.document))
	}
	return Decode([]byte(s.document), s.class, s.target, acceptCustom)
}

func acceptCustom(typ Type) bool { return typ == "acme.dose" }

// judge returns what the schemas say of a specimen: they see the document alone.
func judge(t *testing.T, s specimen) string {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(s.document)))
	if err != nil {
		return "is no JSON"
	}
	name := "operation.json"
	if s.class == "cancel" {
		name = "cancel.json"
	}
	if err := compiled(t, name).Validate(doc); err != nil {
		return "refuses"
	}
	return "accepts"
}

// TestR14_Malformed holds the corpus of malformed documents against Decode. The results
// say what is wrong, whether an op_id could be read, without which an operation becomes
// a dead letter, and what the schema thinks: where that accepts, no schema could tell.
func TestR14_Malformed(t *testing.T) {
	golden(t, "testdata/invalid.txt", func(s specimen) []string {
		_, err := decodeSpecimen(s)
		bad, ok := errors.AsType[*InvalidError](err)
		if !ok {
			t.Fatalf("%s: got error %v, want an InvalidError", s.name(), err)
		}
		if bad.Field == "" || bad.Message == "" {
			t.Errorf("%s: the error %#v names no field or no message", s.name(), bad)
		}
		owner := "nobody's"
		if bad.OpID != uuid.Nil {
			owner = "attributed"
			if bad.OpID.String() != known["ID"] {
				t.Errorf("%s: attributed to %s", s.name(), bad.OpID)
			}
		}
		return []string{err.Error(), owner + "; the schema " + judge(t, s)}
	})
}

// TestR14_WellFormed holds the corpus of good documents against Decode and the
// schemas, which must accept all of them, and shows them encoded again.
func TestR14_WellFormed(t *testing.T) {
	golden(t, "testdata/valid.txt", func(s specimen) []string {
		got, err := decodeSpecimen(s)
		if err != nil {
			t.Fatalf("%s: %v", s.name(), err)
		}
		if verdict := judge(t, s); verdict != "accepts" {
			t.Errorf("%s: the schema %s", s.name(), verdict)
		}
		body, err := got.(interface{ Encode() ([]byte, error) }).Encode()
		if err != nil {
			t.Fatalf("%s: %v", s.name(), err)
		}
		if len(body) > 400 {
			return []string{fmt.Sprintf("%d bytes", len(body))}
		}
		return []string{string(body)}
	})
}

// TestR14_SchemaSeesWhatItCan names the fields of malformed documents that the schema
// accepts. A rule that a schema can express must not creep in here.
func TestR14_SchemaSeesWhatItCan(t *testing.T) {
	unseen := regexp.MustCompile(`(?s)the key is given twice|\d+ values in one document|nested more|document takes|more than 64 digits|` +
		`range|surrogate|UTF-8|in the subject|unknown type|changed twice|not 3\.0|not 3e0|1970 to|nil UUID, not`)
	for _, s := range specimens(t, "testdata/invalid.txt") {
		_, err := decodeSpecimen(s)
		if judge(t, s) == "accepts" && !unseen.MatchString(err.Error()) {
			t.Errorf("%s: the schema accepts what Decode refuses: %v", s.name(), err)
		}
	}
}
