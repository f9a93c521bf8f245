package pyjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"sluice/tracking/pyjson"
	"sluice/tracking/sqldb/sqldbtest"
)

var documents = []string{
	`{"b":1,"a":[1,2.50,-0.0,1e3,1e22,1e-7,0.1,123456789012345678901234567890],"":{}}`, `"é\u2028<&>\u0000\b\f\n\r\t\"\\\/\u007f😀"`, `[]`, `null`, `true`, ` 5 `, `{"a":{"b":[[],{}]}}`,
}

// TestAgainstPython holds the spelling against Python's own json.
func TestAgainstPython(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(documents)
	if err != nil {
		t.Fatal(err)
	}
	script := "import json, sys\nd = [json.loads(x) for x in json.loads(sys.argv[1])]\n" +
		"print(json.dumps([[json.dumps(x, ensure_ascii=False), json.dumps(x)] for x in d]))"
	var want [][2]string
	if err := json.Unmarshal([]byte(sqldbtest.Python(t, script, string(raw))), &want); err != nil {
		t.Fatal(err)
	}
	for i, d := range documents {
		plain, err1 := pyjson.Format([]byte(d))
		ascii, err2 := pyjson.ASCII([]byte(d))
		if err := errors.Join(err1, err2); err != nil || plain != want[i][0] || ascii != want[i][1] {
			t.Errorf("%s: got %s and %s (%v), want %s and %s", d, plain, ascii, err, want[i][0], want[i][1])
		}
	}
}

func TestFloats(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{1: "1.0", 1e16: "1e+16", 123456789: "123456789.0", 1e-5: "1e-05", math.Inf(-1): "-Infinity"} {
		if got := string(pyjson.AppendFloat(nil, v)); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"", "{", "1 2", "[1,]", "NaN", `{"a"}`} {
		if got, err := pyjson.Format([]byte(d)); err == nil {
			t.Errorf("%q becomes %q", d, got)
		}
	}
	if _, err := pyjson.Format([]byte(strings.Repeat("[", 600) + strings.Repeat("]", 600))); !errors.Is(err, pyjson.ErrTooDeep) {
		t.Errorf("deep: %v", err)
	}
}

func FuzzFormat(f *testing.F) {
	for _, d := range documents {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, document string) {
		once, err := pyjson.Format([]byte(document))
		if err != nil {
			return
		}
		if twice, err := pyjson.Format([]byte(once)); err != nil || twice != once {
			t.Errorf("%q, then %q, %v", once, twice, err)
		}
	})
}
