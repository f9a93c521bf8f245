// Package pyjson writes JSON as Python's json module does, character for character.
//
// It owns the spelling: ", " and ": " between members, floats as repr has them, and either plain or escaped characters beyond
// ASCII. It is called by the rooms that write what MLflow's database keeps as JSON text, where MLflow compares and searches the
// text itself; it must not know what the text means. Everything here is pure and safe for concurrent use.
package pyjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of documents that Format reads, so that MLflow can read them back.
const MaxDepth = 500

// ErrTooDeep is what Format returns beyond MaxDepth.
var ErrTooDeep = errors.New("nested too deep")

// AppendText appends a text in quotes; other than json.dumps by default, characters beyond ASCII stay as they are
// (ensure_ascii=False).
func AppendText(b []byte, s string) []byte { return appendText(b, s, false) }

func appendText(b []byte, s string, ascii bool) []byte {
	b = append(b, '"')
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r < ' ':
			b = fmt.Appendf(b, `\u%04x`, r)
		case !ascii || r < 0x7f:
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// AppendFloat appends a number as Python's repr writes it: always with a point or an exponent, and NaN and infinities as Python's
// json does, which are no JSON.
func AppendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 0):
		if v < 0 {
			b = append(b, '-')
		}
		return append(b, "Infinity"...)
	}
	abs := math.Abs(v)
	if abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	if abs < 1e9 {
		if n := uint64(abs*decimals + 0.5); float64(n)/decimals == abs {
			return appendDecimal(b, math.Signbit(v), n)
		}
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	if bytes.IndexByte(b[start:], '.') < 0 {
		b = append(b, ".0"...)
	}
	return b
}

// decimals is a one with as many zeros as digits that appendDecimal writes behind the point.
const decimals = 1_000_000

// appendDecimal appends n/decimals: a number that was rounded, or counts, at a third of what finding the shortest digits of any number
// takes. They are the shortest, for no two numbers of 15 digits or fewer are the same float.
func appendDecimal(b []byte, negative bool, n uint64) []byte {
	if negative {
		b = append(b, '-')
	}
	b = append(strconv.AppendUint(b, n/decimals, 10), '.')
	part, unit := n%decimals, uint64(decimals)
	for first := true; first || part > 0; first = false {
		unit /= 10
		b = append(b, '0'+byte(part/unit))
		part %= unit
	}
	return b
}

// Text returns a text in quotes.
func Text(s string) string { return string(AppendText(nil, s)) }

// ASCII returns a document with every character beyond ASCII escaped, as json.dumps does by default; see Format.
func ASCII(document []byte) (string, error) { return format(document, true) }

// Format rewrites one JSON document: members keep their order, integers their digits. Returns ErrTooDeep, or an error for what
// is not one document.
func Format(document []byte) (string, error) { return format(document, false) }

func format(document []byte, ascii bool) (string, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	f := formatter{in: d, ascii: ascii}
	if err := f.value(0); err != nil {
		return "", err
	}
	if _, err := d.Token(); err != io.EOF {
		return "", errors.New("more than one JSON document")
	}
	return string(f.out), nil
}

type formatter struct {
	in    *json.Decoder
	out   []byte
	ascii bool
}

func (f *formatter) value(depth int) error {
	if depth > MaxDepth {
		return ErrTooDeep
	}
	token, err := f.in.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		return f.container(t, depth)
	case string:
		f.out = appendText(f.out, t, f.ascii)
	case json.Number:
		f.out = appendNumber(f.out, t.String())
	case bool:
		f.out = strconv.AppendBool(f.out, t)
	case nil:
		f.out = append(f.out, "null"...)
	}
	return nil
}

func (f *formatter) container(open json.Delim, depth int) error {
	f.out = append(f.out, byte(open))
	for i := 0; f.in.More(); i++ {
		if i > 0 {
			f.out = append(f.out, ", "...)
		}
		if open == '{' {
			key, err := f.in.Token()
			if err != nil {
				return err
			}
			f.out = appendText(f.out, key.(string), f.ascii)
			f.out = append(f.out, ": "...)
		}
		if err := f.value(depth + 1); err != nil {
			return err
		}
	}
	end, err := f.in.Token()
	if err != nil {
		return err
	}
	f.out = append(f.out, byte(end.(json.Delim)))
	return nil
}

func appendNumber(b []byte, text string) []byte {
	if !strings.ContainsAny(text, ".eE") {
		return append(b, text...)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(v, 0) {
		return append(b, text...)
	}
	return AppendFloat(b, v)
}
