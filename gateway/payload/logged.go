package payload

import (
	"bytes"
	"encoding/json"
	"strings"
)

// datatype is a field that every tensor of the Open Inference Protocol has, as JSON.
var datatype = []byte(`"datatype"`)

// DecodeLogged reads a request as the prediction log has it, by whatever protocol it came: a record tells the media type of the body, but neither the
// path that it was sent to nor, of a body with tensors' bytes behind JSON, where those begin, which the JSON itself does.
//
// Errors are Decode's.
func (p *Plan) DecodeLogged(contentType string, body []byte, in *Input) error {
	var req InferRequest
	media, _, _ := strings.Cut(contentType, ";")
	switch media = strings.TrimSpace(media); {
	case media == "application/x-protobuf":
		return p.DecodeInferMessage(body, in, &req)
	case media == "application/octet-stream", bytes.Contains(body, datatype) && strings.HasPrefix(media, "application/json"):
		if p.DecodeInfer(jsonLength(body), body, in, &req) == nil {
			return nil
		}
	}
	return p.Decode(contentType, body, in)
}

// jsonLength is how long the JSON value is that a body begins with; all of it if it begins with none.
func jsonLength(body []byte) int {
	dec := json.NewDecoder(bytes.NewReader(body))
	var first json.RawMessage
	if dec.Decode(&first) != nil {
		return len(body)
	}
	return int(dec.InputOffset())
}
