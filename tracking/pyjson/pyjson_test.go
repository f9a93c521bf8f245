package pyjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
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

// FuzzFloats: whatever a number is, it is spelled by its shortest digits.
func FuzzFloats(f *testing.F) {
	for _, v := range []float64{0, 0.5, 1, 1e-4, 0.000123, 0.1, 0.3, 0.654321, 0.999999, 0.9999995, 1e9 - 1e-6, 1e9, 123456.789012, 123456789.123456, 1 << 53, math.Pi, 8.41e-3} {
		f.Add(math.Float64bits(v))
		f.Add(math.Float64bits(-v))
		f.Add(math.Float64bits(v) + 1)
		f.Add(math.Float64bits(v) - 1)
	}
	f.Fuzz(func(t *testing.T, bits uint64) { isShortest(t, math.Float64frombits(bits)) })
}

// TestRoundedFloats: those that were rounded to some decimals, and their neighbours.
func TestRoundedFloats(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		v := float64(r.Int64N(1_000_000_000_000_000)) / math.Pow10(r.IntN(16))
		for _, near := range []float64{v, math.Nextafter(v, 0), math.Nextafter(v, math.Inf(1))} {
			isShortest(t, near)
		}
	}
}

func isShortest(t *testing.T, v float64) {
	t.Helper()
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) || v != v {
		return // spelled with an exponent, or a word
	}
	want := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(want, ".") {
		want += ".0"
	}
	if got := string(pyjson.AppendFloat([]byte("x"), v)); got != "x"+want {
		t.Errorf("got %s, want %s", got[1:], want)
	}
}

func BenchmarkAppendFloat(b *testing.B) {
	for name, v := range map[string]float64{"rounded": 0.654321, "count": 17, "any": math.Pi / 10} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var text []byte
			for b.Loop() {
				text = pyjson.AppendFloat(text[:0], v)
			}
		})
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
