package schema_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/schema"
)

// schemas are the files by name, as JSON.
type schemas map[string]any

func load(t *testing.T) schemas {
	t.Helper()
	files, err := fs.Glob(schema.Payloads, "payload/*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := schemas{}
	for _, file := range files {
		data, err := schema.Payloads.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[path.Base(file)] = decode(t, data)
	}
	return all
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// valid tells what is wrong with a value, by the keywords of JSON Schema 2020-12
// that the files use. Any other keyword is an error: nothing is skipped in silence.
func (s schemas) valid(file string, rule, v any) error {
	if allowed, ok := rule.(bool); ok {
		if !allowed {
			return fmt.Errorf("must not be there")
		}
		return nil
	}
	for keyword, want := range rule.(map[string]any) {
		if err := s.obeys(file, rule.(map[string]any), keyword, want, v); err != nil {
			return err
		}
	}
	return nil
}

func (s schemas) obeys(file string, rule map[string]any, keyword string, want, v any) error {
	object, _ := v.(map[string]any)
	list, isList := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	bad := fmt.Errorf("%.100v is not what %s demands: %v", v, keyword, want)
	holds := true
	switch keyword {
	case "$schema", "title", "description", "$defs":
	case "$ref":
		file, rule := s.resolve(file, want.(string))
		return s.valid(file, rule, v)
	case "type":
		_, isBool := v.(bool)
		holds = map[string]bool{"object": object != nil, "array": isList, "string": isText, "integer": isNumber, "boolean": isBool}[want.(string)]
	case "const":
		holds = reflect.DeepEqual(v, want)
	case "enum":
		holds = slices.Contains(want.([]any), v)
	case "not":
		holds = s.valid(file, want, v) != nil
	case "allOf":
		for _, one := range want.([]any) {
			if err := s.valid(file, one, v); err != nil {
				return err
			}
		}
	case "anyOf":
		holds = slices.ContainsFunc(want.([]any), func(one any) bool { return s.valid(file, one, v) == nil })
	case "required":
		for _, name := range want.([]any) {
			if _, ok := object[name.(string)]; object != nil && !ok {
				return fmt.Errorf("%s: is missing", name)
			}
		}
	case "properties":
		for name, one := range want.(map[string]any) {
			if member, ok := object[name]; ok {
				if err := s.valid(file, one, member); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	case "additionalProperties":
		for name := range object {
			if _, ok := rule["properties"].(map[string]any)[name]; want == false && !ok {
				return fmt.Errorf("%s: is unknown", name)
			}
		}
	case "minProperties":
		holds = object == nil || len(object) >= whole(want)
	case "items":
		for i, one := range list {
			if err := s.valid(file, want, one); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
	case "minItems":
		holds = !isList || len(list) >= whole(want)
	case "maxItems":
		holds = !isList || len(list) <= whole(want)
	case "uniqueItems":
		for i, one := range list {
			holds = holds && !slices.Contains(list[:i], one)
		}
	case "pattern":
		holds = !isText || compiled(want.(string)).MatchString(text)
	case "minLength":
		holds = !isText || utf8.RuneCountInString(text) >= whole(want)
	case "maxLength":
		holds = !isText || utf8.RuneCountInString(text) <= whole(want)
	case "minimum":
		holds = !isNumber || whole(number) >= whole(want)
	case "maximum":
		holds = !isNumber || whole(number) <= whole(want)
	default:
		panic("a keyword that this test does not know: " + keyword)
	}
	if !holds {
		return bad
	}
	return nil
}

var patterns = map[string]*regexp.Regexp{}

func compiled(pattern string) *regexp.Regexp {
	if patterns[pattern] == nil {
		patterns[pattern] = regexp.MustCompile(pattern)
	}
	return patterns[pattern]
}

func whole(number any) int {
	n, err := number.(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return int(n)
}

// resolve gives what a reference points to, and the file that it is in.
func (s schemas) resolve(file, ref string) (string, any) {
	other, pointer, _ := strings.Cut(ref, "#/")
	if other != "" {
		file = other
	}
	rule, ok := s[file]
	for name := range strings.SplitSeq(pointer, "/") {
		if name != "" && ok {
			rule, ok = rule.(map[string]any)[name]
		}
	}
	if !ok {
		panic("nothing there: " + ref)
	}
	return file, rule
}

type signed struct {
	evidence.Event
	payload []byte
}

// walk gives events of the lab's that the law allows: there are some of every kind,
// or a test of package evidence fails.
var walk = sync.OnceValue(func() (events []signed) {
	for seed := range uint64(12) {
		choose := rand.New(rand.NewPCG(seed, 0)).IntN
		lab := evidencetest.New()
		for range 300 {
			e := lab.Draw(choose)
			if err := lab.Do(e); err != nil {
				continue
			}
			payload, err := e.Encode()
			if err != nil {
				panic(err)
			}
			events = append(events, signed{e, payload})
		}
	}
	return events
})

// oneOfEach gives an event of every kind, by the name of its schema.
func oneOfEach() map[string]signed {
	events := map[string]signed{}
	for _, e := range walk() {
		name := string(e.Kind()) + ".json"
		if len(e.payload) > len(events[name].payload) { // with the most members
			events[name] = e
		}
	}
	return events
}

func TestPayloadsAreDescribed(t *testing.T) {
	all := load(t)
	for _, e := range walk() {
		name := string(e.Kind()) + ".json"
		if all[name] == nil {
			t.Fatalf("there is no %s", name)
		}
		if err := all.valid(name, all[name], decode(t, e.payload)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, e.payload)
		}
	}
}

// There is a schema for each event and no other, and the envelope lists them.
func TestSchemasAreThoseOfTheEvents(t *testing.T) {
	all := load(t)
	want := slices.Sorted(maps.Keys(oneOfEach()))
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return name == "payload.json" })
	var listed []string
	_, enum := all.resolve("payload.json", "#/properties/action/enum")
	for _, action := range enum.([]any) {
		listed = append(listed, action.(string)+".json")
	}
	if !slices.Equal(got, want) || !slices.Equal(listed, want) {
		t.Errorf("schemas\n%q\nlisted\n%q\nevents\n%q", got, listed, want)
	}
	_, roles := all.resolve("person.enrolled.json", "#/properties/body/properties/roles/items/enum")
	if got, want := fmt.Sprint(roles), append(identity.AllRoles(), identity.RoleService); !sameWords(got, fmt.Sprint(want)) {
		t.Errorf("roles are %s, want %s", got, want)
	}
}

func sameWords(a, b string) bool {
	words := func(s string) []string { return slices.Sorted(slices.Values(strings.Fields(strings.Trim(s, "[]")))) }
	return slices.Equal(words(a), words(b))
}

// The members are those of the Go types, at every depth, and no others are allowed.
func TestMembersAreThoseOfTheTypes(t *testing.T) {
	all := load(t)
	for name, e := range oneOfEach() {
		file, rule := all.resolve(name, "#/properties/body")
		all.same(t, name, file, rule.(map[string]any), reflect.TypeOf(e.Body))
	}
}

func (s schemas) same(t *testing.T, where, file string, rule map[string]any, typ reflect.Type) {
	t.Helper()
	if ref, ok := rule["$ref"].(string); ok {
		file, target := s.resolve(file, ref)
		s.same(t, where, file, target.(map[string]any), typ)
		return
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Slice && rule["items"] != nil {
		s.same(t, where+"[]", file, rule["items"].(map[string]any), typ.Elem())
		return
	}
	if typ.Kind() != reflect.Struct || rule["type"] == "string" || typ == reflect.TypeFor[digest.Set]() {
		return
	}
	fields := map[string]reflect.Type{}
	required := collect(typ, fields)
	properties, _ := rule["properties"].(map[string]any)
	if got, want := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Fatalf("%s has %q, its type %q", where, got, want)
	}
	var demanded []string
	for _, name := range rule["required"].([]any) {
		demanded = append(demanded, name.(string))
	}
	slices.Sort(demanded)
	if slices.Sort(required); !slices.Equal(demanded, required) || rule["additionalProperties"] != false {
		t.Errorf("%s requires %q, its type writes %q always; others: %v", where, demanded, required, rule["additionalProperties"])
	}
	for name, one := range properties {
		s.same(t, where+"."+name, file, one.(map[string]any), fields[name])
	}
}

// collect gives the JSON members of a struct, and which of them are always written.
func collect(typ reflect.Type, fields map[string]reflect.Type) (always []string) {
	for f := range typ.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			always = append(always, collect(f.Type, fields)...)
			continue
		case options == "":
			always = append(always, name)
		}
		fields[name] = f.Type
	}
	return always
}

// What is missing, unknown or null anywhere is refused, here as by Parse.
func TestEveryMemberIsGuarded(t *testing.T) {
	all := load(t)
	for name, e := range oneOfEach() {
		refused := func(what string, bad any) {
			t.Helper()
			if all.valid(name, all[name], bad) == nil {
				t.Errorf("%s: %s passes", name, what)
			}
			if data, err := json.Marshal(bad); err != nil {
				t.Error(err)
			} else if _, err := evidence.Parse(data); err == nil {
				t.Errorf("%s: Parse takes %s", name, what)
			}
		}
		whole := decode(t, e.payload)
		passes(t, all, name, whole)
		var harm func(where string, v any)
		harm = func(where string, v any) {
			if list, ok := v.([]any); ok && len(list) > 0 {
				harm(where+"[0]", list[0])
				return
			}
			object, ok := v.(map[string]any)
			if !ok {
				return
			}
			for member, value := range object {
				object[member] = nil
				refused(where+member+" as null", whole)
				object[member] = map[string]any{"x": json.Number("1")}
				refused(where+member+" as an object", whole)
				object[member] = value
				harm(where+member+".", value)
			}
			object["unknown"] = "x"
			refused(where+"unknown", whole)
			delete(object, "unknown")
		}
		harm("", whole)
		required := all[name].(map[string]any)["properties"].(map[string]any)["body"].(map[string]any)["required"].([]any)
		body := whole.(map[string]any)["body"].(map[string]any)
		for _, member := range required {
			value := body[member.(string)]
			delete(body, member.(string))
			refused("no "+member.(string), whole)
			body[member.(string)] = value
		}
	}
}

// passes makes sure that what is about to be spoilt is good.
func passes(t *testing.T, all schemas, name string, whole any) {
	t.Helper()
	data, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Parse(data); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := all.valid(name, all[name], whole); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Values of the right type that cannot stand as they are.
func TestBadPayloads(t *testing.T) {
	all := load(t)
	events := oneOfEach()
	long := strings.Repeat("x", 5000)
	for _, row := range []struct{ action, member, value string }{
		{"person.enrolled", "actor", `"Jane"`},
		{"person.enrolled", "case", `"00000000000000000000000000000001"`},
		{"person.enrolled", "body.principal", `"jane doe"`},
		{"person.enrolled", "body.roles", `[]`},
		{"person.enrolled", "body.roles", `["analyst","analyst"]`},
		{"person.enrolled", "body.key", `"ssh-dss AAAA"`},
		{"person.revoked", "actor", `"custodyd"`},
		{"person.revoked", "body.reason", `""`},
		{"checkpoint.anchored", "body.tokens", `[]`},
		{"checkpoint.anchored", "body.size", `0`},
		{"service.started", "actor", `"admin"`},
		{"service.started", "body.lock", `"solid"`},
		{"service.started", "body.missing", `[]`},
		{"case.opened", "case", `"00000000000000000000000000000000"`},
		{"case.opened", "id", `"019521d5-0000-4000-8000-000000000000"`},
		{"case.opened", "body.retain_days", `0`},
		{"case.opened", "body.retain_days", `36526`},
		{"case.opened", "body.reference", `"a b"`},
		{"case.closed", "on_behalf_of", `{"principal":"legal1","method":"session"}`},
		{"case.closed", "body.reason", `"a\u0000b"`},
		{"exhibit.added", "body.kind", `"thing"`},
		{"exhibit.added", "body.label", `".hidden"`},
		{"exhibit.added", "body.make", `"a\nb"`},
		{"exhibit.added", "body.found_by", `"` + long + `"`},
		{"intake.declared", "body.size", `-1`},
		{"intake.declared", "body.size", `70368744177665`},
		{"intake.declared", "body.files", `0`},
		{"intake.declared", "body.declared", `{}`},
		{"intake.declared", "body.declared", `{"sha256":"AA"}`},
		{"intake.declared", "body.acquisition.witness", `"right\u202eleft"`},
		{"intake.abandoned", "body.intake", `"x"`},
		{"copy.sealed", "body.objects", `[]`},
		{"copy.sealed", "body.objects.0.lock", `"loose"`},
		{"copy.sealed", "body.objects.0.sha256", `"` + strings.Repeat("0", 64) + `"`},
		{"copy.sealed", "body.read_source", `"memory"`},
		{"copy.quarantined", "body.differed", `["crc32"]`},
		{"copy.quarantined", "body.strays", `[]`},
		{"copy.quarantined", "body.strays", `[{"line":0,"sha256":"` + strings.Repeat("1", 64) + `"}]`},
		{"copy.quarantined", "body.strays_total", `100`},
		{"copy.requested", "body.of", `"X1"`},
		{"copy.requested", "body.purpose", `""`},
		{"copy.issued", "body.to", `"A"`},
		{"copy.issued", "body.number", `"W0"`},
		{"content.read", "body.operation", `"verify"`},
		{"content.read", "body.offset", `-1`},
		{"copy.received", "body.size", `-1`},
		{"copy.received", "body.sha256", `"00"`},
		{"copy.returned", "body.outcome", `"lost"`},
		{"copy.returned", "body.outcome", `"deleted"`},
		{"fixity.checked", "body.result", `"unreadable"`},
		{"fixity.checked", "body.gone", `true`},
		{"fixity.checked", "body.gone", `false`},
		{"fixity.checked", "body.unreadable_total", `2`},
		{"access.denied", "body.operation", `"steal"`},
		{"access.denied", "on_behalf_of.principal", `"custodyd"`},
		{"case.exported", "body.contents", `[]`},
		{"case.exported", "body.chain.head", `""`},
		{"case.exported", "v", `2`},
	} {
		name := row.action + ".json"
		whole := decode(t, events[name].payload)
		passes(t, all, name, whole)
		at, steps := whole, strings.Split(row.member, ".")
		for _, step := range steps[:len(steps)-1] {
			if list, ok := at.([]any); ok && step == "0" {
				at = list[0]
				continue
			}
			at = at.(map[string]any)[step]
		}
		at.(map[string]any)[steps[len(steps)-1]] = decode(t, []byte(row.value))
		if all.valid(name, all[name], whole) == nil {
			t.Errorf("%s passes with %s: %s", row.action, row.member, row.value)
		}
		data, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Parse(data); err == nil {
			t.Errorf("Parse takes %s with %s: %s", row.action, row.member, row.value)
		}
	}
}

// What the lab's walks do not come to is described too.
func TestRarePayloads(t *testing.T) {
	all := load(t)
	events := oneOfEach()
	ranges := []evidence.Range{{Offset: 0, Length: 10}}
	quarantined := events["copy.quarantined.json"].Body.(evidence.CopyQuarantined)
	quarantined.Strays = []evidence.Stray{{Line: 3, SHA256: digest.SHA256{1}}}
	checked := evidence.FixityChecked{Exhibit: "E-001", Number: "M1", Source: "medium", Result: evidence.Unreadable, Detail: "one\ntwo"}
	gone, partly := checked, checked
	gone.Gone, gone.Finding = true, 1
	partly.Result, partly.Damaged, partly.Unreadable, partly.Finding = evidence.Mismatch, ranges, ranges, 1
	returned := evidence.CopyReturned{Exhibit: "E-001", Number: "W1", Outcome: evidence.Deleted, Note: "\u0645\u06cc\u200c\u062e"}
	declared := events["intake.declared.json"].Body.(evidence.IntakeDeclared)
	declared.Files, declared.Acquisition.BadSectors = 2, 1
	for name, body := range map[string]evidence.Body{
		"strays": quarantined, "unreadable": checked, "gone": gone, "partly": partly, "returned": returned, "declared": declared,
	} {
		e := events[string(evidence.Event{Body: body}.Kind())+".json"].Event
		e.Body = body
		payload, err := e.Encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := string(e.Kind()) + ".json"
		if err := all.valid(file, all[file], decode(t, payload)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
