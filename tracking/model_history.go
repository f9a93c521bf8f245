package tracking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/tracking/mlflow"
	"sluice/tracking/pyjson"
)

// LogModel appends what an MLmodel file says to the JSON list in the run's tag LogModelHistoryTag (the log-model call of
// MLflow 1 and 2 clients). modelJSON must be an object with artifact_path, flavors, utc_time_created and run_id. The tag is
// spelled as Python's json module does, flavors and their fields in the order in which they came.
func (s *Service) LogModel(ctx context.Context, runID, modelJSON string) error {
	entry, err := modelEntry(modelJSON)
	if err != nil {
		return err
	}
	return s.store.EditTag(ctx, runID, LogModelHistoryTag, func(old string) (string, error) {
		list := []json.RawMessage{}
		if old != "" {
			if err := json.Unmarshal([]byte(old), &list); err != nil {
				return "", mlflow.Errorf(mlflow.InvalidState, "tag '%s' of run %s is not a JSON list: %w", LogModelHistoryTag, runID, err)
			}
		}
		raw, err := json.Marshal(append(list, entry))
		if err != nil {
			return "", fmt.Errorf("encode %s: %w", LogModelHistoryTag, err)
		}
		return pyjson.ASCII(raw)
	})
}

// tagFields are what MLflow keeps of a model in the tag, in its order, before the flavors (source: mlflow/models/model.py,
// Model.get_tags_dict).
var tagFields = [...]string{"run_id", "artifact_path", "utc_time_created", "model_uuid"}

// modelEntry checks the JSON of a model and cuts it to what the tag keeps: tagFields, and the flavors without their "config".
func modelEntry(modelJSON string) (json.RawMessage, error) {
	malformed := mlflow.Invalidf("Malformed model info. \n %s \n is not a valid JSON.", modelJSON)
	model, err := members([]byte(modelJSON))
	if err != nil {
		return nil, malformed
	}
	var missing []string
	for _, field := range []string{"artifact_path", "flavors", "run_id", "utc_time_created"} {
		if model.get(field) == nil {
			missing = append(missing, mlflow.Repr(field))
		}
	}
	if missing != nil {
		return nil, mlflow.Invalidf("Model json is missing mandatory fields: {%s}", strings.Join(missing, ", "))
	}
	flavors, err := cutFlavors(model.get("flavors"))
	if err != nil {
		return nil, malformed
	}
	var entry object
	for _, field := range tagFields {
		v := model.get(field)
		switch {
		case v == nil && field == "model_uuid":
			v = json.RawMessage("null")
		case string(v) == "null" && (field == "run_id" || field == "artifact_path"):
			continue
		}
		entry = append(entry, member{field, v})
	}
	spelled, err := pyjson.ASCII(append(entry, member{"flavors", flavors}).json())
	if err != nil {
		return nil, malformed
	}
	return json.RawMessage(spelled), nil
}

// cutFlavors returns the flavors without their "config".
func cutFlavors(raw json.RawMessage) (json.RawMessage, error) {
	flavors, err := members(raw)
	if err != nil {
		return nil, err
	}
	for i, f := range flavors {
		fields, err := members(f.value)
		if errors.Is(err, errNoObject) {
			continue
		}
		if err != nil {
			return nil, err
		}
		kept := fields[:0]
		for _, m := range fields {
			if m.name != "config" {
				kept = append(kept, m)
			}
		}
		flavors[i].value = kept.json()
	}
	return flavors.json(), nil
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

var errNoObject = errors.New("not a JSON object")

// members reads one object; of a name given twice the last value counts, in the first one's place, as in Python.
func members(raw []byte) (object, error) {
	if !json.Valid(raw) {
		return nil, errors.New("no JSON")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNoObject
	}
	var o object
	place := map[string]int{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: name.(string)} // the decoder promises it of a valid object
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		if i, again := place[m.name]; again {
			o[i] = m
			continue
		}
		place[m.name] = len(o)
		o = append(o, m)
	}
	return o, nil
}

// get returns a member's value, nil if there is none.
func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func (o object) json() json.RawMessage {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(pyjson.AppendText(out, m.name), ':'), m.value...)
	}
	return append(out, '}')
}
