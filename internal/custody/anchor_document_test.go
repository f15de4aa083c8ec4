package custody

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const aDocument = `{"v":1,"entry":7,"note":"bm90ZQ==","stamps":[{"authority":"lab2","response":"MAA=","certificates":["MAA="],"missing":["x"]}]}`

// FuzzAnchorDocument: what parses is written as the same bytes.
func FuzzAnchorDocument(f *testing.F) {
	f.Add([]byte(aDocument))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseAnchorDocument(data)
		if err != nil {
			if !errors.Is(err, errAnchor) {
				t.Error(err)
			}
			return
		}
		if again, err := json.Marshal(d); err != nil || string(again) != string(data) {
			t.Errorf("%q becomes %q", data, again)
		}
	})
}

func TestAnchorDocument(t *testing.T) {
	if d, err := parseAnchorDocument([]byte(aDocument)); err != nil || d.Entry != 7 || d.Stamps[0].Authority != "lab2" {
		t.Fatalf("%+v: %v", d, err)
	}
	for name, bad := range map[string]string{
		"space": " " + aDocument, "newline": aDocument + "\n", "twice": aDocument + aDocument, "unknown": strings.Replace(aDocument, `"v":1`, `"v":1,"w":1`, 1),
		"newer": strings.Replace(aDocument, `"v":1`, `"v":2`, 1), "entry 0": strings.Replace(aDocument, `7`, `0`, 1), "no stamps": `{"v":1,"entry":7,"note":"","stamps":[]}`,
		"order": `{"entry":7,"v":1,"note":"bm90ZQ==","stamps":[{"authority":"a","response":"","certificates":null}]}`, "other case": strings.Replace(aDocument, "note", "Note", 1),
	} {
		if _, err := parseAnchorDocument([]byte(bad)); !errors.Is(err, errAnchor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
