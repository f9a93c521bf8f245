package truth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Bounds of one batch.
const (
	MaxItems     = 10_000 // items of one call
	MaxItemRows  = 10_000 // values of one item
	maxKeyLength = 1024   // bytes
)

// KeyKind says what an item names its prediction by.
type KeyKind string

// The kinds, as they are called on the wire.
const (
	ByPrediction KeyKind = "prediction_id"
	ByRequest    KeyKind = "client_request_id"
	ByKey        KeyKind = "key"
)

// Key names a prediction at an endpoint.
type Key struct {
	Kind KeyKind
	Text string
}

// Item is ground truth for one prediction. It is stored as it is encoded while it is pending.
type Item struct {
	Key Key `json:"key"`
	// Row is the row of the prediction that Values has one value for; -1 means that Values has one for each row.
	Row    int               `json:"row"`
	Values []json.RawMessage `json:"values"`
}

// AllRows is the Row of an item with a value for each row.
const AllRows = -1

// Outcome is what became of an item.
type Outcome string

// The outcomes, explained in the package comment.
const (
	Joined            Outcome = "joined"
	Pending           Outcome = "pending"
	Duplicate         Outcome = "duplicate"
	Conflicting       Outcome = "conflicting"
	Ambiguous         Outcome = "ambiguous"
	TooLate           Outcome = "too_late"
	Unknown           Outcome = "unknown"
	WithoutPrediction Outcome = "without_prediction"
	Invalid           Outcome = "invalid"
)

// Result is what became of one item, and why where it is not plain.
type Result struct {
	Outcome Outcome
	Reason  string
	// PredictionID, Model and Version are of the prediction that was found; empty if none was.
	PredictionID string
	Model        string
	Version      int
}

// check returns why the item says nothing.
func (i *Item) check() error {
	switch {
	case i.Key.Text == "" || len(i.Key.Text) > maxKeyLength || !utf8.ValidString(i.Key.Text):
		return fmt.Errorf("%s is not a text of 1 to %d bytes", i.Key.Kind, maxKeyLength)
	case i.Row < AllRows || i.Row >= MaxItemRows:
		return fmt.Errorf("row %d is not between 0 and %d", i.Row, MaxItemRows-1)
	case len(i.Values) == 0 || len(i.Values) > MaxItemRows:
		return fmt.Errorf("%d values are not between 1 and %d", len(i.Values), MaxItemRows)
	}
	for n, raw := range i.Values {
		if _, ok := ParseValue(raw); !ok {
			return fmt.Errorf("value %d is not a text up to %d bytes, a number, or a truth value", n, maxValueText)
		}
	}
	if i.Key.Kind == ByPrediction {
		if _, _, err := predictionTime(i.Key.Text); err != nil {
			return err
		}
	}
	return nil
}

// Same says whether two items for one key say the same.
func (i *Item) Same(o *Item) bool {
	if i.Row != o.Row || len(i.Values) != len(o.Values) {
		return false
	}
	for n := range i.Values {
		a, _ := ParseValue(i.Values[n])
		b, _ := ParseValue(o.Values[n])
		if a.JSON() != b.JSON() {
			return false
		}
	}
	return true
}

// predictionTime reads a prediction id, a UUIDv7, and the time in it, in whole ms.
func predictionTime(text string) (id [16]byte, at time.Time, err error) {
	u, err := uuid.Parse(text)
	if err != nil || u.Version() != 7 || len(text) != 36 {
		return id, at, fmt.Errorf("%q is no prediction id", clip(text))
	}
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return u, time.UnixMilli(ms).UTC(), nil
}

func clip(s string) string {
	if len(s) > 60 {
		return string(bytes.ToValidUTF8([]byte(s[:60]), nil)) + "…"
	}
	return s
}
