package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(Document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOperations: each operation is public or names its permission, can answer
// with a problem, and lists codes that exist.
func TestOperations(t *testing.T) {
	doc := document(t)
	special := []string{"own", "recording"}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			public := op.Security != nil && len(*op.Security) == 0
			permission, _ := op.Extensions["x-permission"].(string)
			if public == (permission != "") {
				t.Errorf("%s: public %v, permission %q: want one of the two", name, public, permission)
			}
			if public != strings.HasPrefix(op.Summary, "Public: ") {
				t.Errorf("%s: the summary does not say whether it is public", name)
			}
			for p := range strings.SplitSeq(permission, " or ") {
				if !public && !slices.Contains(special, p) && !known(identity.Permission(p)) {
					t.Errorf("%s: no such permission: %q", name, p)
				}
			}
			if !slices.Contains(op.Tags, "operations") && op.Responses.Default() == nil {
				t.Errorf("%s: has no problem as default response", name)
			}
			listed, _ := op.Extensions["x-problems"].([]any)
			for _, c := range listed {
				if _, ok := codes[Code(c.(string))]; !ok {
					t.Errorf("%s: no such code: %v", name, c)
				}
			}
		}
	}
}

func known(p identity.Permission) bool {
	return slices.ContainsFunc(identity.AllRoles(), func(r identity.Role) bool { return identity.Roles{r}.Allow(p) })
}

// TestNouns: the document describes the nouns as their Go types write them.
func TestNouns(t *testing.T) {
	schemas := document(t).Components.Schemas
	for name, noun := range map[string]any{
		"Person": Person{}, "Case": Case{}, "Exhibit": Exhibit{}, "LogFile": LogFile{}, "Acquisition": Acquisition{},
		"Intake": Intake{}, "Object": Object{}, "Copy": Copy{}, "Finding": Finding{}, "Facts": Facts{},
		"Range": Range{}, "FixityChecked": FixityChecked{},
	} {
		always, sometimes := members(reflect.TypeOf(noun))
		schema := schemas[name].Value
		required := slices.Sorted(slices.Values(schema.Required))
		if slices.Sort(always); !slices.Equal(always, required) {
			t.Errorf("%s: always there are\n%q, the document says\n%q", name, always, required)
		}
		all := append(always, sometimes...)
		if slices.Sort(all); !slices.Equal(all, slices.Sorted(maps.Keys(schema.Properties))) {
			t.Errorf("%s: members are\n%q, the document says\n%q", name, all, slices.Sorted(maps.Keys(schema.Properties)))
		}
	}
	for name, schema := range schemas {
		mapped, _ := schema.Value.Extensions["x-go-type"].(string)
		if strings.HasPrefix(mapped, "evidence.") && schema.Value.Type.Is("object") && len(schema.Value.Properties) == 0 {
			t.Errorf("%s: not described", name)
		}
	}
}

// members gives the names of JSON members that are always, or not always, there.
func members(typ reflect.Type) (always, sometimes []string) {
	for f := range typ.Fields() {
		tag := f.Tag.Get("json")
		if f.Anonymous && tag == "" {
			a, s := members(f.Type)
			always, sometimes = append(always, a...), append(sometimes, s...)
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if options == "" {
			always = append(always, name)
		} else {
			sometimes = append(sometimes, name)
		}
	}
	return always, sometimes
}

// TestCodes: the enumeration, the table and the list in words are the same, and a
// problem that travelled answers for its code and its sentinel.
func TestCodes(t *testing.T) {
	schema := document(t).Components.Schemas["Code"].Value
	if len(schema.Enum) != len(codes) {
		t.Errorf("the document lists %d codes, the table %d", len(schema.Enum), len(codes))
	}
	for _, name := range schema.Enum {
		code := Code(name.(string))
		row, ok := codes[code]
		if !ok || http.StatusText(row.status) == "" || row.title == "" {
			t.Errorf("%s: row of the table is %v", code, row)
		}
		if line := fmt.Sprintf("- %d `%s`", row.status, code); !strings.Contains(schema.Description, line) {
			t.Errorf("the description has no %q", line)
		}
		sent, err := json.Marshal(NewProblem(code, "r1", "words"))
		if err != nil {
			t.Fatal(err)
		}
		var got Problem
		if err := json.Unmarshal(sent, &got); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(&got, code) || row.sentinel != nil && !errors.Is(&got, row.sentinel) {
			t.Errorf("%s: does not answer for its sentinel", code)
		}
	}
	if got := Code("other"); got.Status() != http.StatusInternalServerError || got.Title() != "other" {
		t.Errorf("unknown code: %d %q", got.Status(), got.Title())
	}
}

func TestProblemField(t *testing.T) {
	p := NewProblem(CodeInvalid, "r1", "is missing")
	p.Field = "body.label"
	if field, ok := errors.AsType[*evidence.FieldError](error(p)); !ok || field.Error() != "body.label: is missing" {
		t.Errorf("field %v", field)
	}
	if errors.Is(p, evidence.ErrNotFound) {
		t.Error("is everything")
	}
}
