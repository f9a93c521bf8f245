package payload

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/runtime/tensor"
)

// contentsField is the field of InferTensorContents that holds the elements of a type; 0 for a type that travels as raw bytes alone.
func contentsField(d tensor.DType) protowire.Number {
	switch d {
	case tensor.Bool:
		return contentsBool
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return contentsInt
	case tensor.Int64:
		return contentsInt64
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return contentsUint
	case tensor.Uint64:
		return contentsUint64
	case tensor.Float32:
		return contentsFP32
	case tensor.Float64:
		return contentsFP64
	case tensor.String, tensor.Binary:
		return contentsBytes
	}
	return 0
}

// contentsNames are the fields' names, by number.
var contentsNames = [...]string{"", "bool_contents", "int_contents", "int64_contents", "uint_contents", "uint64_contents", "fp32_contents", "fp64_contents", "bytes_contents"}

// filler puts a tensor's elements into their places, one after the other.
type filler struct {
	name     string
	dtype    tensor.DType
	out      *tensor.Tensor
	at, size int // elements that are there, and that there must be
}

// fromContents takes a tensor's elements from an InferTensorContents.
func (d *inferDecoder) fromContents(out *tensor.Tensor, name string, dtype tensor.DType, elements int, contents []byte) error {
	want := contentsField(dtype)
	if want == 0 && elements > 0 {
		return badf("Input %s has the datatype %s, which travels in raw_input_contents.", quoteName(name), InferType(dtype))
	}
	if dtype.Text() {
		out.Reset(dtype, d.in.shape...)
	} else {
		out.ResetDirty(dtype, d.in.shape...)
	}
	fill := filler{name: name, dtype: dtype, out: out, size: elements}
	w := parts{rest: contents}
	for f := (part{}); w.next(&f); {
		if f.number != want && int(f.number) < len(contentsNames) {
			return badf("Input %s has %s where the datatype %s has %s.", quoteName(name), contentsNames[f.number], InferType(dtype), contentsNames[want])
		}
		if f.number != want {
			continue // of a later version of the protocol
		}
		if err := fill.take(&f); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	if fill.at != elements {
		return badf("Input %s has %d values where its shape says %d.", quoteName(name), fill.at, elements)
	}
	return nil
}

// take reads a packed list of elements, or one.
func (s *filler) take(f *part) error {
	if s.dtype.Text() {
		return s.text(f)
	}
	if f.wire != protowire.BytesType {
		return s.word(f.word)
	}
	if s.dtype == tensor.Float32 || s.dtype == tensor.Float64 {
		return s.floats(f.bytes)
	}
	for rest := f.bytes; len(rest) > 0; {
		v, n := protowire.ConsumeVarint(rest)
		if n < 0 {
			return badf("The message cannot be read: %v.", protowire.ParseError(n))
		}
		rest = rest[n:]
		if err := s.word(v); err != nil {
			return err
		}
	}
	return nil
}

// floats copies a packed list, which is laid out as the tensor is.
func (s *filler) floats(packed []byte) error {
	width := s.dtype.Size()
	if len(packed)%width != 0 {
		return badf("The message cannot be read: %s of input %s ends inside a number.", contentsNames[contentsField(s.dtype)], quoteName(s.name))
	}
	n := len(packed) / width
	if n > s.size-s.at {
		return s.tooMany()
	}
	copy(s.out.Raw()[s.at*width:], packed)
	s.at += n
	return nil
}

func (s *filler) text(f *part) error {
	if f.wire != protowire.BytesType {
		return badf("The message cannot be read: bytes_contents of input %s holds a number.", quoteName(s.name))
	}
	if s.at == s.size {
		return s.tooMany()
	}
	if s.dtype == tensor.String && !utf8.Valid(f.bytes) {
		return badf("Element %d of input %s is not UTF-8 text.", s.at, quoteName(s.name))
	}
	s.out.Strings()[s.at] = string(f.bytes)
	s.at++
	return nil
}

// word stores one number as the encoding has it; what the datatype cannot hold is refused.
func (s *filler) word(v uint64) error {
	if s.at == s.size {
		return s.tooMany()
	}
	ok := true
	switch i := s.at; s.dtype {
	case tensor.Bool:
		tensor.Of[bool](s.out)[i] = v != 0
	case tensor.Int8:
		ok = narrow(tensor.Of[int8](s.out), i, v)
	case tensor.Int16:
		ok = narrow(tensor.Of[int16](s.out), i, v)
	case tensor.Int32:
		tensor.Of[int32](s.out)[i] = int32(v) // as the encoding reads an int32
	case tensor.Int64:
		tensor.Of[int64](s.out)[i] = int64(v)
	case tensor.Uint8:
		ok = narrow(tensor.Of[uint8](s.out), i, v)
	case tensor.Uint16:
		ok = narrow(tensor.Of[uint16](s.out), i, v)
	case tensor.Uint32:
		tensor.Of[uint32](s.out)[i] = uint32(v)
	case tensor.Uint64:
		tensor.Of[uint64](s.out)[i] = v
	case tensor.Float32:
		tensor.Of[float32](s.out)[i] = math.Float32frombits(uint32(v))
	case tensor.Float64:
		tensor.Of[float64](s.out)[i] = math.Float64frombits(v)
	}
	if !ok {
		return badf("Element %d of input %s does not fit %s.", s.at, quoteName(s.name), InferType(s.dtype))
	}
	s.at++
	return nil
}

// narrow stores v if the type holds it.
func narrow[T int8 | int16 | uint8 | uint16](to []T, i int, v uint64) bool {
	to[i] = T(v)
	return int64(to[i]) == int64(v)
}

func (s *filler) tooMany() error {
	return badf("Input %s has more values than the %d that its shape says.", quoteName(s.name), s.size)
}
