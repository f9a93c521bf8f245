package payload

import "sluice/tracking/mlflow"

// The input fields of a JSON body (source: mlflow/pyfunc/scoring_server/__init__.py, SUPPORTED_FORMATS) and its other known keys.
const (
	keySplit     = "dataframe_split"
	keyRecords   = "dataframe_records"
	keyInstances = "instances"
	keyInputs    = "inputs"
	keyParams    = "params"
)

const inputKeys = "dataframe_split, dataframe_records, instances, inputs"

// decodeDocument is the thorough way through a JSON body.
func (p *Plan) decodeDocument(body []byte, in *Input) error {
	tape, err := scan(in.tape[:0], body, p.maxDepth)
	in.tape = tape
	if err != nil {
		return err
	}
	t := &text{b: body, tape: tape}
	top, err := readTop(t)
	if err != nil {
		return err
	}
	if top.params != 0 {
		if in.Params, err = p.readParams(t, top.params); err != nil {
			return err
		}
	}
	switch top.key {
	case keySplit:
		return p.decodeSplit(t, top.data, in)
	case keyRecords:
		return p.decodeRecords(t, top.data, in)
	}
	return p.decodeArrays(t, top.data, top.key == keyInstances, in)
}

// top is what stands at the top of a body: the one input field, its value, and the value of "params" (0: none).
type top struct {
	key    string
	data   uint32
	params uint32
}

// readTop finds the input field. Unknown keys are ignored, as MLflow does; of a repeated key the last counts.
func readTop(t *text) (top, error) {
	if t.first(0) != '{' {
		return top{}, badf("The input must be a JSON dictionary with exactly one of the input fields %s. Received %s.",
			inputKeys, t.describe(0))
	}
	var out top
	var inputs, others []string
	chat := ""
	t.members(0, func(key string, value uint32) bool {
		switch key {
		case keySplit, keyRecords, keyInstances, keyInputs:
			if key != out.key {
				inputs = append(inputs, key)
			}
			out.key, out.data = key, value
		case keyParams:
			out.params = value
		case "messages", "prompt", "input":
			chat = key
		default:
			others = append(others, key)
		}
		return true
	})
	switch {
	case chat != "":
		return out, mlflow.Errorf(mlflow.NotImplemented,
			"The body has the key %q of a language model request, which this server does not serve; send one of %s.", chat, inputKeys)
	case len(inputs) > 1:
		return out, mlflow.Errorf(mlflow.BadRequest,
			"The input must be a JSON dictionary with exactly one of the input fields %s. Received %s.", inputKeys, quoteNames(inputs))
	case len(inputs) == 0:
		return out, mlflow.Errorf(mlflow.BadRequest,
			"The input must be a JSON dictionary with exactly one of the input fields %s. Received none of them, but %s.",
			inputKeys, quoteNames(others))
	}
	return out, nil
}
