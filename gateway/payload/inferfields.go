package payload

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the fields that are read and written, as inference.proto of gateway/oip/pb has them.
const (
	requestModel, requestVersion, requestID, requestParameters, requestInputs, requestOutputs, requestRaw = 1, 2, 3, 4, 5, 6, 7

	tensorName, tensorDatatype, tensorShape, tensorParameters, tensorContents = 1, 2, 3, 4, 5

	outputName, outputParameters = 1, 2

	answerModel, answerVersion, answerID, answerOutputs, answerRaw = 1, 2, 3, 5, 6

	entryKey, entryValue = 1, 2

	choiceBool, choiceInt64, choiceString, choiceDouble, choiceUint64 = 1, 2, 3, 4, 5

	contentsBool, contentsInt, contentsInt64, contentsUint, contentsUint64, contentsFP32, contentsFP64, contentsBytes = 1, 2, 3, 4, 5, 6, 7, 8
)

// part is one field of a message in protocol buffers' encoding.
type part struct {
	number protowire.Number
	wire   protowire.Type
	bytes  []byte // of strings, bytes, messages and packed lists
	word   uint64 // of all others
}

// parts walks over a message. It aliases the message and allocates nothing.
type parts struct {
	rest []byte
	err  error
}

// next reads the next field; false at the end, and at an error.
func (w *parts) next(f *part) bool {
	if w.err != nil || len(w.rest) == 0 {
		return false
	}
	number, wire, n := protowire.ConsumeTag(w.rest)
	if n < 0 {
		return w.fail(n)
	}
	w.rest = w.rest[n:]
	*f = part{number: number, wire: wire}
	switch wire {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(w.rest)
	case protowire.VarintType:
		f.word, n = protowire.ConsumeVarint(w.rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(w.rest)
		f.word = uint64(v)
	case protowire.Fixed64Type:
		f.word, n = protowire.ConsumeFixed64(w.rest)
	default:
		n = protowire.ConsumeFieldValue(number, wire, w.rest)
	}
	if n < 0 {
		return w.fail(n)
	}
	w.rest = w.rest[n:]
	return true
}

func (w *parts) fail(n int) bool {
	w.err = badf("The message cannot be read: %v.", protowire.ParseError(n))
	return false
}

// find moves to the next field of the number that is a string, bytes or a message.
func (w *parts) find(number protowire.Number, f *part) bool {
	for w.next(f) {
		if f.number == number && f.wire == protowire.BytesType {
			return true
		}
	}
	return false
}

// text is the field's string in place; it must be UTF-8, as the encoding has it.
func (f *part) text(what string) (string, error) {
	if f.wire != protowire.BytesType || !utf8.Valid(f.bytes) {
		return "", badf("The message cannot be read: %s is not text.", what)
	}
	return viewOf(f.bytes), nil
}

// InferTarget reads from a ModelInferRequest which model and version it is for, and its id; "" where it names none. They alias the message.
//
// Errors: BAD_REQUEST for bytes that are not such a message.
func InferTarget(message []byte) (model, version, id string, err error) {
	w := parts{rest: message}
	for f := (part{}); w.next(&f); {
		switch f.number {
		case requestModel:
			model, err = f.text("model_name")
		case requestVersion:
			version, err = f.text("model_version")
		case requestID:
			id, err = f.text("id")
		}
		if err != nil {
			return "", "", "", err
		}
	}
	return model, version, id, w.err
}
