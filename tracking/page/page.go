// Package page makes the tokens by which searches go on, page after page.
//
// It owns the token: where a page ended (the values by which its last row is sorted), bound to the question that was asked, so
// that rows which come or go between two pages make none repeat or vanish, and a late page costs what the first does. It is
// called by the Services of tracking and registry, which ask a Store for what follows a Place, and by sqldb, which turns a Place
// into SQL; it must not know what is searched, SQL, or HTTP.
//
// Clients take tokens as opaque. Nothing in one is secret, and everything in one may be forged: it is data, never code.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// Place is where a page ends: the values by which its last row is sorted, in the order of the sort terms. A value is an int64, a
// float64 (finite), a string, a Digest, or nil for a row that has none. A nil Place is the beginning.
type Place []any

// Digest stands in a Place for a text that is too long for a token, or is not UTF-8; a Store finds the text again by the row.
type Digest string

// DigestOf returns what stands for text.
func DigestOf(text string) Digest {
	sum := sha256.Sum256([]byte(text))
	return Digest(hex.EncodeToString(sum[:16]))
}

// Found is one page as a Store returns it.
type Found[T any] struct {
	Rows []T
	End  Place // of the last row; nil if there is none
	More bool  // whether another row follows
}

// Next returns the token of the page that follows found, "" if none does.
func Next[T any](q Question, found Found[T]) (string, error) {
	if !found.More {
		return "", nil
	}
	return q.Token(found.End)
}

// Bounds of a token: what a longer text is replaced by its Digest, sort terms, and bytes of the whole.
const (
	maxText  = 1024
	maxTerms = 128
	maxToken = 256 << 10
)

// version is written into tokens; those of another version are stale.
const version = 2

// Question is what a token belongs to: everything that decides which rows follow in which order. Questions compare with ==.
type Question struct {
	id       string // digests: of kind and plain parts, then of each Part, joined by dots
	refusals string // of the Parts, a line each
}

// Part is a part of a question whose difference Read refuses in words of its own.
type Part struct {
	Value   any
	Refusal string // one line
}

// NewQuestion returns the question of a kind of search; parts are texts, numbers, slices or flat structs of them, or a Part of one.
func NewQuestion(kind string, parts ...any) Question {
	var named, refusals []string
	h := sha256.New()
	fmt.Fprintf(h, "%q", kind)
	for _, p := range parts {
		if p, ok := p.(Part); ok {
			sum := sha256.Sum256(fmt.Appendf(nil, "%#v", p.Value))
			named, refusals = append(named, hex.EncodeToString(sum[:8])), append(refusals, p.Refusal)
			continue
		}
		fmt.Fprintf(h, "\n%#v", p)
	}
	id := append([]string{hex.EncodeToString(h.Sum(nil)[:8])}, named...)
	return Question{strings.Join(id, "."), strings.Join(refusals, "\n")}
}

// String returns what stands in tokens for the question.
func (q Question) String() string { return q.id }

// foreign is the refusal of a token of another question.
func (q Question) foreign(id string) error {
	ours, theirs := strings.Split(q.id, "."), strings.Split(id, ".")
	if len(ours) == len(theirs) && len(ours) > 1 {
		for i, refusal := range strings.Split(q.refusals, "\n") {
			if ours[i+1] != theirs[i+1] {
				return mlflow.Invalidf("%s", refusal)
			}
		}
	}
	return mlflow.Invalidf("Invalid page token: it belongs to another search. Repeat filter, order and scope of the search that it came from, or ask for the first page.")
}

// content is what a token holds, as JSON in base64.
type content struct {
	Version  int        `json:"version"`
	Question string     `json:"question"`
	After    []*element `json:"after"`
}

// element is one value of a Place; exactly one field is set.
type element struct {
	Number json.Number `json:"n,omitempty"`
	Text   *string     `json:"t,omitempty"`
	Digest Digest      `json:"d,omitempty"`
}

// Token returns the token of the page that follows place; "" for the nil Place.
func (q Question) Token(place Place) (string, error) {
	if place == nil {
		return "", nil
	}
	c := content{Version: version, Question: q.id, After: make([]*element, len(place))}
	for i, v := range place {
		var err error
		if c.After[i], err = encode(v); err != nil {
			return "", fmt.Errorf("page token, term %d: %w", i, err)
		}
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("page token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

func encode(v any) (*element, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		return &element{Number: json.Number(strconv.FormatInt(v, 10))}, nil
	case float64:
		return &element{Number: json.Number(strconv.FormatFloat(v, 'g', -1, 64))}, nil
	case Digest:
		return &element{Digest: v}, nil
	case string:
		if len(v) > maxText || !utf8.ValidString(v) {
			return &element{Digest: DigestOf(v)}, nil
		}
		return &element{Text: &v}, nil
	}
	return nil, fmt.Errorf("a value of type %T", v)
}

// Read returns the Place of a token; "" is the nil Place. Returns INVALID_PARAMETER_VALUE for anything that Token did not make, for a
// token of another version and for one that belongs to another question. The first three refusals are MLflow's (source:
// mlflow/utils/search_utils.py, SearchUtils.parse_start_offset_from_page_token).
func (q Question) Read(token string) (Place, error) {
	if token == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(token) > maxToken {
		return nil, mlflow.Invalidf("Invalid page token, could not base64-decode")
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil, mlflow.Invalidf("Invalid page token, decoded value=b%s", mlflow.Repr(shorten(string(raw))))
	}
	if offset := fields["offset"]; len(offset) > 1 && offset[0] == '"' {
		return nil, mlflow.Invalidf("Invalid page token, not stringable %s", shorten(string(offset[1:len(offset)-1])))
	}
	if string(fields["version"]) != strconv.Itoa(version) {
		return nil, mlflow.Invalidf("Invalid page token, parsed value=%s: it was not made by this version of this server. Ask for the first page again.",
			mlflow.Repr(shorten(string(raw))))
	}
	var c content
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || len(c.After) == 0 || len(c.After) > maxTerms {
		return nil, mlflow.Invalidf("Invalid page token, parsed value=%s", mlflow.Repr(shorten(string(raw))))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, mlflow.Invalidf("Invalid page token, parsed value=%s", mlflow.Repr(shorten(string(raw))))
	}
	if c.Question != q.id {
		return nil, q.foreign(c.Question)
	}
	return decode(c.After)
}

func decode(elements []*element) (Place, error) {
	place := make(Place, len(elements))
	for i, e := range elements {
		v, ok := e.value()
		if !ok {
			return nil, mlflow.Invalidf("Invalid page token, term %d cannot be read", i)
		}
		place[i] = v
	}
	return place, nil
}

func (e *element) value() (any, bool) {
	switch {
	case e == nil:
		return nil, true
	case e.Text != nil:
		return *e.Text, e.Number == "" && e.Digest == "" && len(*e.Text) <= maxText && !strings.ContainsRune(*e.Text, 0)
	case e.Digest != "":
		return e.Digest, e.Number == "" && len(e.Digest) == len(DigestOf(""))
	}
	if n, err := strconv.ParseInt(string(e.Number), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(e.Number), 64)
	return f, err == nil
}

// shorten keeps refusals short.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Equal says whether two places are the same.
func (p Place) Equal(other Place) bool { return slices.Equal(p, other) }
