// Package redact takes secrets out of prediction records before they reach the disk.
//
// It owns the rules by column and their application to bodies of every shape, and the Recorder that stands in front of the prediction log.
// It is called by cmd, which wires it between invoke and predlog and hands it the rules of a table, and through cmd by baseline (Answer); it must not know where rules are
// kept, HTTP, or what becomes of a record.
//
// # What is redacted
//
// A column is named in a body of JSON by the key of an object at any depth (records, columns as lists, params), by "columns" beside "data"
// (the split form), or by "name" beside "data" (the Open Inference Protocol); in CSV by the header. A request whose values have no names (a
// list of lists), that is neither JSON nor CSV (Arrow, Parquet, tensors as bytes), that cannot be read, or that is longer than MaxBytes is
// withheld: the record stands without it and says so. A response is redacted the same way, but bare values without names, which are no
// column, stay. Of an error only the code stays: its sentence may quote a value; and nothing of a table in CSV that had one, as its first line may
// be no header.
//
// A Recorder is safe for concurrent use.
package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"sync/atomic"

	"sluice/gateway/predlog"
)

// Action is what becomes of a column's values.
type Action string

// The actions.
const (
	Drop     Action = "drop"     // the column is left out
	Hash     Action = "hash"     // HMAC-SHA256 under the server's key, 32 hexadecimal digits: equal values stay equal
	Truncate Action = "truncate" // the first characters stay
)

// Column is the rule for one column.
type Column struct {
	Name   string
	Action Action
	Length int // characters that Truncate keeps
}

// MaxBytes is the longest body that is looked into; longer ones are withheld.
const MaxBytes = 4 << 20

// Log takes records; *predlog.Log does.
type Log interface {
	Record(*predlog.Record)
	Skip(predlog.Series)
}

// Recorder redacts records of endpoints that have rules and hands all on.
type Recorder struct {
	next  Log
	key   []byte
	rules atomic.Pointer[map[string]rules]
}

// rules by column.
type rules map[string]Column

// New returns a Recorder in front of next; key, of 32 bytes, is what values are hashed under.
func New(next Log, key []byte) *Recorder {
	r := &Recorder{next: next, key: key}
	r.rules.Store(&map[string]rules{})
	return r
}

// Set replaces the rules of all endpoints, by name. Records that come later obey them.
func (r *Recorder) Set(columns map[string][]Column) {
	all := make(map[string]rules, len(columns))
	for endpoint, list := range columns {
		if len(list) > 0 {
			all[endpoint] = byName(list)
		}
	}
	r.rules.Store(&all)
}

func byName(list []Column) rules {
	out := make(rules, len(list))
	for _, c := range list {
		out[c.Name] = c
	}
	return out
}

// Record redacts the record if its endpoint has rules, and hands it on. It allocates nothing otherwise, and never changes rec.
func (r *Recorder) Record(rec *predlog.Record) {
	of := (*r.rules.Load())[rec.Endpoint]
	if of == nil {
		r.next.Record(rec)
		return
	}
	out := *rec
	w := walker{rules: of, key: r.key}
	out.Redaction = predlog.Redacted
	w.refused = rec.ErrorCode != ""
	var ok bool
	if out.Request, ok = w.body(rec.Request, rec.ContentType, true); !ok {
		out.Redaction = predlog.Withheld
	}
	if rec.ErrorCode != "" {
		out.Response = errorCode(rec.ErrorCode)
	} else if out.Response, ok = w.body(rec.Response, rec.ResponseContentType, false); !ok {
		out.Redaction = predlog.Withheld
	}
	r.next.Record(&out)
}

// Answer is what the log keeps of an answer in JSON under these rules; nil if it is withheld.
func (r *Recorder) Answer(columns []Column, body []byte) []byte {
	w := walker{rules: byName(columns), key: r.key}
	out, _ := w.body(body, "application/json", false)
	return out
}

// Skip hands on that a request is left out: nothing of it is told.
func (r *Recorder) Skip(s predlog.Series) { r.next.Skip(s) }

// errorCode is an error's body without its sentence.
func errorCode(code string) []byte {
	b, err := json.Marshal(map[string]string{"error_code": code})
	if err != nil { // no text fails
		return nil
	}
	return b
}

// body redacts a body; false means that it is withheld.
func (w *walker) body(b []byte, contentType string, request bool) ([]byte, bool) {
	if len(b) == 0 {
		return nil, true
	}
	if len(b) > MaxBytes {
		return nil, false
	}
	media := "application/json"
	if contentType != "" {
		var err error
		if media, _, err = mime.ParseMediaType(contentType); err != nil {
			return nil, false
		}
	}
	switch media {
	case "application/json":
		return w.json(b, request)
	case "text/csv":
		if w.refused { // its first line may be no header, but values
			return nil, false
		}
		return w.csv(b)
	}
	return nil, false
}

// text is what becomes of a value; the column is not dropped.
func (w *walker) text(c Column, value string) string {
	if c.Action == Truncate {
		n := 0
		for i := range value {
			if n == c.Length {
				return value[:i]
			}
			n++
		}
		return value
	}
	mac := hmac.New(sha256.New, w.key)
	fmt.Fprintf(mac, "%s\x00%s", c.Name, value)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
