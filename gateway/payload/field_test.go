package payload

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestField(t *testing.T) {
	for name, c := range map[string]struct {
		body, at, want string
		missing        bool
	}{
		"text":                  {body: `{"user":"ann"}`, at: "user", want: "ann"},
		"number as written":     {body: `{"user": 4711.0 }`, at: "user", want: "4711.0"},
		"truth":                 {body: `{"user":true}`, at: "user", want: "true"},
		"nested":                {body: `{"a":[1,{"user":"x"}],"params":{"n":{},"user":"ann"}}`, at: "params/user", want: "ann"},
		"in a list":             {body: `{"dataframe_records":[{"a":[1,[2]]},{"id":7}]}`, at: "dataframe_records/1/id", want: "7"},
		"first of two":          {body: `{"user":"a","user":"b"}`, at: "user", want: "a"},
		"escaped":               {body: `{"user":"\u00fc\n\ud83d\ude00\/"}`, at: "user", want: "ü\n😀/"},
		"escaped name":          {body: `{"\u0075ser":"ann"}`, at: "user", want: "ann"},
		"quotes inside":         {body: `{"x":"\"user\":\"no\"","user":"ann"}`, at: "user", want: "ann"},
		"brackets inside":       {body: `{"x":"}]","y":{"z":"{["},"user":"ann"}`, at: "user", want: "ann"},
		"empty text":            {body: `{"user":""}`, at: "user", want: ""},
		"null":                  {body: `{"user":null}`, at: "user", missing: true},
		"object":                {body: `{"user":{"a":1}}`, at: "user", missing: true},
		"list":                  {body: `{"user":[1]}`, at: "user", missing: true},
		"absent":                {body: `{"a":1}`, at: "user", missing: true},
		"empty object":          {body: `{}`, at: "user", missing: true},
		"empty list":            {body: `[]`, at: "0", missing: true},
		"past the end":          {body: `[1]`, at: "1", missing: true},
		"leading zero":          {body: `[1,2]`, at: "01", missing: true},
		"index into an object":  {body: `{"0":"x"}`, at: "0", want: "x"},
		"scalar in between":     {body: `{"a":1}`, at: "a/b", missing: true},
		"cut short":             {body: `{"a":[1,2`, at: "user", missing: true},
		"cut in a text":         {body: `{"user":"an`, at: "user", missing: true},
		"no JSON":               {body: `user=ann`, at: "user", missing: true},
		"empty":                 {body: ``, at: "user", missing: true},
		"closing without start": {body: `{"a":]}`, at: "user", missing: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, found := Field([]byte(c.body), strings.Split(c.at, "/"), nil)
			if found == c.missing || string(got) != c.want {
				t.Errorf("got %q, %v; want %q", got, found, c.want)
			}
		})
	}
}

func TestFieldAllocatesNothing(t *testing.T) {
	body := []byte(`{"inputs":[[` + strings.Repeat("1.5,", 1000) + `2]],"params":{"user":"\u0061nn"}}`)
	tokens, scratch := []string{"params", "user"}, make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { _, scratch, _ = Field(body, tokens, scratch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzField: on every JSON text the answer is encoding/json's, and nothing else makes it panic.
func FuzzField(f *testing.F) {
	f.Add(`{"a":{"b":[1,"x\u00e4",null,{"c":true}]}}`, "a/b/1")
	f.Add(`[{"a":1e3}]`, "0/a")
	f.Add(`{"a":"\ud800"}`, "a")
	f.Add(`]`, "0")
	f.Fuzz(func(t *testing.T, body, at string) {
		tokens := strings.Split(at, "/")
		got, _, found := Field([]byte(body), tokens, nil)
		if !json.Valid([]byte(body)) || !utf8.ValidString(body) || strings.Contains(body, `\`) {
			return // surrogates and bytes that are no text are replaced there, and kept here
		}
		want, ok := lookUp([]byte(body), tokens)
		if found != ok || found && string(got) != want {
			t.Errorf("%q at %q: got %q, %v; want %q, %v", body, at, got, found, want, ok)
		}
	})
}

// lookUp is Field by encoding/json, the first of members of one name.
func lookUp(body []byte, tokens []string) (string, bool) {
	raw := json.RawMessage(body)
	for _, token := range tokens {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		first, err := d.Token()
		if err != nil {
			return "", false
		}
		next, ok := json.RawMessage(nil), false
		for i := 0; d.More(); i++ {
			var name []byte
			if first == json.Delim('{') {
				key, err := d.Token()
				if err != nil {
					return "", false
				}
				name = []byte(key.(string))
			} else {
				name, _ = json.Marshal(i)
			}
			var value json.RawMessage
			if d.Decode(&value) != nil {
				return "", false
			}
			if !ok && string(name) == token {
				next, ok = value, true
			}
		}
		if !ok {
			return "", false
		}
		raw = next
	}
	text := strings.TrimSpace(string(raw))
	switch {
	case text == "" || text[0] == '{' || text[0] == '[' || text[0] == 'n':
		return "", false
	case text[0] == '"':
		return text[1 : len(text)-1], true
	}
	return text, true
}
