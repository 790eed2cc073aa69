package operation

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed schemas/*.json
var embedded embed.FS

// Schemas returns the JSON Schemas of the wire form, one file each at the top, which
// refer to each other by their $id, urn:hierarchy:schema:<name>:v1.
func Schemas() fs.FS {
	schemas, err := fs.Sub(embedded, "schemas")
	if err != nil {
		return embedded // "schemas" is a valid path
	}
	return schemas
}

// SchemaNames lists the files of [Schemas] in order: operation.json and so on.
func SchemaNames() []string {
	names, err := fs.Glob(Schemas(), "*.json")
	if err != nil {
		return nil // the pattern is a valid one
	}
	return names
}

// SchemaID returns the $id of the schema in a file of [Schemas].
func SchemaID(name string) string {
	return "urn:hierarchy:schema:" + strings.TrimSuffix(name, ".json") + ":v1"
}
