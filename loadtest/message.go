package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// FromInferenceRPC is FromInferenceProtocol for a server of gRPC: it asks ModelMetadata and makes messages with raw tensors for ModelInfer. base
// is grpc://host:port or grpcs://…; o says how it is called.
// Source: Open Inference Protocol, gRPC, "ModelMetadata" and "ModelInfer", with the numbers of their fields.
func (s Source) FromInferenceRPC(ctx context.Context, base, model, version string, m Make, o Options) ([]Payload, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	_, to, err := (&Request{}).encodeRPC(u)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, metadataOf(s.Header)), 30*time.Second)
	defer cancel()
	c, err := newRPC(ctx, to, o.TLS)
	if err != nil {
		return nil, fmt.Errorf("loadtest: %w", err)
	}
	defer c.Close()
	var answer []byte
	ask := appendText(appendText(nil, 1, model), 2, version)
	if err := c.Invoke(ctx, rpcMetadata, &ask, &answer); err != nil {
		return nil, fmt.Errorf("loadtest: metadata of %s: %w", model, err)
	}
	inputs, err := inputsOf(answer)
	if err != nil || len(inputs) == 0 {
		return nil, errors.Join(err, fmt.Errorf("loadtest: model %s %w", model, errNoMetadata))
	}
	random := rand.New(rand.NewPCG(m.Seed, 2))
	out := make([]Payload, max(m.Requests, 1))
	for i := range out {
		if out[i].Body, err = inferMessage(inputs, model, version, max(m.Rows, 1), random); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appendText(to []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return to
	}
	return protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), text)
}

func appendMessage(to []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), message)
}

// inferMessage is a ModelInferRequest with raw_input_contents.
func inferMessage(inputs []input, model, version string, rows int, random *rand.Rand) ([]byte, error) {
	out := appendText(appendText(nil, 1, model), 2, version)
	var contents [][]byte
	for _, in := range inputs {
		shape, data, err := in.values(rows, random)
		if err != nil {
			return nil, err
		}
		raw, err := appendBytes(nil, in.Datatype, data)
		if err != nil {
			return nil, fmt.Errorf("loadtest: input %s: %w", in.Name, err)
		}
		contents = append(contents, raw)
		packed := []byte(nil)
		for _, d := range shape {
			packed = protowire.AppendVarint(packed, uint64(d))
		}
		out = appendMessage(out, 5, appendMessage(appendText(appendText(nil, 1, in.Name), 2, in.Datatype), 3, packed))
	}
	for _, raw := range contents {
		out = appendMessage(out, 7, raw)
	}
	return out, nil
}

var errMetadata = errors.New("the answer is not a ModelMetadataResponse")

// inputsOf reads the inputs of a ModelMetadataResponse.
func inputsOf(message []byte) ([]input, error) {
	var out []input
	err := eachField(message, func(number protowire.Number, _ uint64, value []byte) error {
		if number != 4 {
			return nil
		}
		in, err := headOf(value)
		out = append(out, in)
		return err
	})
	return out, err
}

// headOf reads what tensors of all messages begin with: name, datatype and shape.
func headOf(message []byte) (in input, err error) {
	err = eachField(message, func(number protowire.Number, single uint64, value []byte) error {
		switch {
		case number == 1:
			in.Name = string(value)
		case number == 2:
			in.Datatype = string(value)
		case number == 3 && value == nil:
			in.Shape = append(in.Shape, int(int64(single)))
		case number == 3:
			for len(value) > 0 {
				d, n := protowire.ConsumeVarint(value)
				if n < 0 {
					return errMetadata
				}
				in.Shape, value = append(in.Shape, int(int64(d))), value[n:]
			}
		}
		return nil
	})
	return in, err
}

// eachField hands over the fields of a message: numbers as single, everything with a length as value, which is not nil then.
func eachField(message []byte, field func(number protowire.Number, single uint64, value []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errMetadata
		}
		message = message[n:]
		var single uint64
		var value []byte
		switch kind {
		case protowire.VarintType:
			single, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			if value, n = protowire.ConsumeBytes(message); value == nil {
				value = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return errMetadata
		}
		if err := field(number, single, value); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
