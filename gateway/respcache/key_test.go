package respcache

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sluice/runtime/tensor"
)

// readAsked is append's inverse: that there is one proves that different inputs have different encodings.
func readAsked(text string) (*Asked, error) {
	r := &reader{left: text}
	a := &Asked{Input: new(tensor.Batch)}
	if r.byte() != keyFormat {
		r.fail()
	}
	a.Endpoint, a.Digest = r.text(), r.text()
	params, _ := readParam(r).(map[string]any)
	a.Params = params
	r.batch(a.Input)
	if r.failed || r.left != "" {
		return nil, errValue
	}
	return a, nil
}

func readParam(r *reader) any {
	switch r.byte() {
	case paramFalse:
		return false
	case paramTrue:
		return true
	case paramWhole:
		n := r.signed()
		return n
	case paramFloat:
		if s := r.take(8); len(s) == 8 {
			return math.Float64frombits(word(s))
		}
	case paramText:
		return r.text()
	case paramList:
		list := make([]any, r.count(1))
		for i := range list {
			list[i] = readParam(r)
		}
		return list
	case paramMap:
		n := r.count(1)
		m := make(map[string]any, n)
		for range n {
			name := r.text()
			m[name] = readParam(r)
		}
		return m
	}
	return nil
}

// signed reads what binary.AppendVarint wrote.
func (r *reader) signed() int64 {
	var u uint64
	for shift := 0; ; shift += 7 {
		b := r.byte()
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1)
		}
	}
}

// random batches and params of every kind.
type maker struct{ *rand.Rand }

func (m maker) text() string {
	b := make([]byte, m.IntN(6))
	for i := range b {
		b[i] = byte(m.IntN(4)) // few, so that near collisions are frequent
	}
	return string(b)
}

func (m maker) batch() *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(tensor.Form(m.IntN(3)))
	for range m.IntN(4) {
		t := b.AddColumn(m.text())
		c := &b.Columns[len(b.Columns)-1]
		c.JSON = m.IntN(4) == 0
		if m.IntN(4) == 0 {
			c.Keys = []string{}
			for range m.IntN(3) {
				c.Keys = append(c.Keys, m.text())
			}
		}
		shape := make([]int64, m.IntN(4))
		for i := range shape {
			shape[i] = int64(m.IntN(4))
		}
		t.Reset(tensor.Bool+tensor.DType(m.IntN(int(tensor.Binary))), shape...)
		raw := t.Raw()
		for i := range raw {
			raw[i] = byte(m.IntN(3))
		}
		for i := range t.Strings() {
			t.Strings()[i] = m.text()
		}
	}
	b.Rows = m.IntN(4) - 1
	return b
}

func (m maker) param(depth int) any {
	switch k := m.IntN(7 + depth); k {
	case 0:
		return nil
	case 1:
		return m.IntN(2) == 0
	case 2, 3:
		return int64(m.IntN(5) - 2)
	case 4, 5:
		return float64(m.IntN(5)) / 2
	case 6:
		return m.text()
	case 7:
		return []any{m.param(depth - 1), m.param(depth - 1)}
	}
	return map[string]any{m.text(): m.param(depth - 1)}
}

func (m maker) asked() *Asked {
	a := &Asked{Endpoint: m.text(), Digest: m.text(), Input: m.batch()}
	if m.IntN(2) == 0 {
		a.Params = map[string]any{}
		for range m.IntN(3) {
			a.Params[m.text()] = m.param(2)
		}
	}
	return a
}

// equal compares what reading back has to keep.
func equal(a, b *Asked) bool {
	return a.Endpoint == b.Endpoint && a.Digest == b.Digest && (len(a.Params) == 0 && len(b.Params) == 0 || reflect.DeepEqual(a.Params, b.Params)) && equalBatches(a.Input, b.Input)
}

func equalBatches(a, b *tensor.Batch) bool {
	if a.Form != b.Form || a.Rows != b.Rows || len(a.Columns) != len(b.Columns) {
		return false
	}
	for i := range a.Columns {
		x, y := &a.Columns[i], &b.Columns[i]
		if x.Name != y.Name || x.JSON != y.JSON || (x.Keys == nil) != (y.Keys == nil) || fmt.Sprintf("%q", x.Keys) != fmt.Sprintf("%q", y.Keys) ||
			x.Tensor.Type != y.Tensor.Type || fmt.Sprint(x.Tensor.Shape) != fmt.Sprint(y.Tensor.Shape) ||
			!bytes.Equal(x.Tensor.Raw(), y.Tensor.Raw()) || fmt.Sprintf("%q", x.Tensor.Strings()) != fmt.Sprintf("%q", y.Tensor.Strings()) {
			return false
		}
	}
	return true
}

func TestKeysAreReadBack(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(7, 9))}
	seen := map[string]*Asked{}
	for range 20_000 {
		a := m.asked()
		encoded, ok := a.append(nil)
		if !ok {
			t.Fatalf("%+v has no encoding", a)
		}
		back, err := readAsked(string(encoded))
		if err != nil || !equal(a, back) {
			t.Fatalf("%+v is read back as %+v, %v", a, back, err)
		}
		if other := seen[string(encoded)]; other != nil && !equal(a, other) {
			t.Fatalf("%+v and %+v have one encoding", a, other)
		}
		seen[string(encoded)] = a
	}
	if len(seen) < 10_000 {
		t.Errorf("only %d different ones were made", len(seen))
	}
}

func numbers(d tensor.DType, name string, bits ...uint64) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(tensor.Table)
	t := b.AddColumn(name)
	t.Reset(d, int64(len(bits)))
	for i, v := range bits {
		for j := range d.Size() {
			t.Raw()[i*d.Size()+j] = byte(v >> (8 * j))
		}
	}
	b.Rows = len(bits)
	return b
}

func keyOf(t *testing.T, a Asked) Key {
	t.Helper()
	k, _, ok := a.Key(nil)
	if !ok {
		t.Fatal("no key")
	}
	return k
}

func TestEveryNaNIsTheSame(t *testing.T) {
	for _, c := range []struct {
		d            tensor.DType
		one, another uint64
		infinity     uint64
	}{
		{tensor.Float64, math.Float64bits(math.NaN()), 0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0000},
		{tensor.Float32, 0x7fc00000, 0xff800001, 0x7f800000},
		{tensor.Float16, 0x7e00, 0xfc01, 0x7c00},
		{tensor.BFloat16, 0x7fc0, 0xff81, 0x7f80},
	} {
		key := func(bits uint64) Key { return keyOf(t, Asked{Digest: "d", Input: numbers(c.d, "x", bits)}) }
		if key(c.one) != key(c.another) {
			t.Errorf("%v: two NaNs have two keys", c.d)
		}
		if key(c.one) == key(c.infinity) || key(c.infinity) == key(c.infinity|1<<(8*c.d.Size()-1)) {
			t.Errorf("%v: infinities are not what they are", c.d)
		}
		if key(0) == key(1<<(8*c.d.Size()-1)) {
			t.Errorf("%v: 0 and −0 have one key, and a model may tell them apart", c.d)
		}
	}
}

func TestKeysDifferByWhatAnAnswerDependsOn(t *testing.T) {
	base := func() Asked {
		return Asked{Owner: 1, Endpoint: "e", Digest: "d", Params: map[string]any{"p": int64(1)}, Input: numbers(tensor.Int64, "x", 1, 2)}
	}
	seen := map[Key]string{keyOf(t, base()): "base"}
	for name, change := range map[string]func(*Asked){
		"endpoint": func(a *Asked) { a.Endpoint = "f" },
		"digest":   func(a *Asked) { a.Digest = "c" },
		"owner":    func(a *Asked) { a.Owner = 2 },
		"param":    func(a *Asked) { a.Params = map[string]any{"p": int64(2)} },
		"kind":     func(a *Asked) { a.Params = map[string]any{"p": 1.0} },
		"no param": func(a *Asked) { a.Params = nil },
		"value":    func(a *Asked) { a.Input = numbers(tensor.Int64, "x", 1, 3) },
		"rows":     func(a *Asked) { a.Input = numbers(tensor.Int64, "x", 1) },
		"type":     func(a *Asked) { a.Input = numbers(tensor.Uint64, "x", 1, 2) },
		"name":     func(a *Asked) { a.Input = numbers(tensor.Int64, "y", 1, 2) },
		"form":     func(a *Asked) { a.Input.Form = tensor.Named },
	} {
		a := base()
		change(&a)
		k := keyOf(t, a)
		if other := seen[k]; other != "" {
			t.Errorf("%s: the same key as %s", name, other)
		}
		seen[k] = name
	}
	if again := keyOf(t, base()); seen[again] != "base" {
		t.Error("the same question has another key")
	}
}

func TestWhatHasNoKey(t *testing.T) {
	large := new(tensor.Batch)
	large.Reset(tensor.Bare)
	large.AddColumn("").Reset(tensor.Uint8, MaxInputBytes+1)
	for name, a := range map[string]Asked{
		"no digest":     {Input: new(tensor.Batch)},
		"large":         {Digest: "d", Input: large},
		"unknown param": {Digest: "d", Input: new(tensor.Batch), Params: map[string]any{"p": []any{struct{}{}}}},
	} {
		if _, _, ok := a.Key(nil); ok {
			t.Errorf("%s: has a key", name)
		}
	}
}

func TestKeyString(t *testing.T) {
	k := Key{Owner: 0xab}
	k.Sum[0], k.Sum[31] = 0x12, 0xef
	if got, want := k.String(), "00000000000000ab:12"+strings.Repeat("00", 30)+"ef"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
