package loadtest

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Protocol is how a request is written.
type Protocol string

// The protocols.
const (
	Scoring      Protocol = "MLflow's scoring protocol"
	Inference    Protocol = "the Open Inference Protocol"           // JSON, or JSON and tensors' bytes
	InferenceRPC Protocol = "the Open Inference Protocol over gRPC" // ModelInferRequest
)

// MessageType is the media type under which messages of gRPC are logged.
const MessageType = "application/x-protobuf"

// ProtocolOf is the protocol that a URL is asked by: gRPC's has its scheme, the other's path ends in /infer.
func ProtocolOf(of string) Protocol {
	u, err := url.Parse(of)
	switch {
	case err != nil:
		return Scoring
	case u.Scheme == "grpc" || u.Scheme == "grpcs":
		return InferenceRPC
	case strings.HasSuffix(u.Path, "/infer"):
		return Inference
	}
	return Scoring
}

// recognized is the payload that a logged body was, and its protocol: a record tells neither the path that it was sent to nor where tensors' bytes
// begin, which the JSON before them does.
func recognized(contentType string, body []byte) (Payload, Protocol) {
	p := Payload{Body: body, ContentType: contentType}
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return p, Scoring
	case media == MessageType:
		return p, InferenceRPC
	case media != binaryType && media != jsonType:
		return p, Scoring
	}
	head := jsonHead(body)
	if media != binaryType && !namesDatatypes(head) {
		return p, Scoring
	}
	if len(head) < len(body) {
		p.Header = map[string]string{headerInferLength: strconv.Itoa(len(head))}
	}
	return p, Inference
}

// jsonHead is the JSON value that a body begins with, and the white space behind it if nothing else follows; nil if it begins with none.
func jsonHead(body []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	var first json.RawMessage
	if dec.Decode(&first) != nil {
		return nil
	}
	end := dec.InputOffset()
	if len(bytes.TrimSpace(body[end:])) == 0 {
		return body
	}
	return body[:end]
}

// namesDatatypes says whether a JSON request has inputs as the Open Inference Protocol writes them: objects with a datatype.
func namesDatatypes(head []byte) bool {
	if !bytes.Contains(head, []byte(`"datatype"`)) {
		return false
	}
	var request struct {
		Inputs []struct {
			Name     *string `json:"name"`
			Datatype *string `json:"datatype"`
		} `json:"inputs"`
	}
	return json.Unmarshal(head, &request) == nil && len(request.Inputs) > 0 && request.Inputs[0].Name != nil && request.Inputs[0].Datatype != nil
}

// addressed is a ModelInferRequest for another model; version may be empty.
// Source: Open Inference Protocol, gRPC, "ModelInferRequest", with the numbers of its fields.
func addressed(message []byte, model, version string) ([]byte, error) {
	out := appendText(appendText(nil, 1, model), 2, version)
	for rest := message; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		if number > 2 {
			out = append(out, rest[:n+size]...)
		}
		rest = rest[n+size:]
	}
	return out, nil
}
