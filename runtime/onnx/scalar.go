package onnx

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"sluice/runtime/tensor"
)

// scalar reports whether the model declares an input or output without dimensions: a sampling rate, a threshold, a sum.
func (v *value) scalar() bool { return v.rank && len(v.shape) == 0 && !v.maps && !v.list }

// scalarType reports whether the binding library has scalars of the type: not of text, nor of 16-bit floats.
func scalarType(d tensor.DType) bool {
	return d.Size() > 0 && d != tensor.Float16 && d != tensor.BFloat16
}

// newScalar makes an ONNX Runtime value of t's one element, which it copies.
func newScalar(t *tensor.Tensor) (ort.Value, error) {
	switch t.Type {
	case tensor.Float32:
		return ort.NewScalar(tensor.Of[float32](t)[0])
	case tensor.Float64:
		return ort.NewScalar(tensor.Of[float64](t)[0])
	case tensor.Bool:
		return ort.NewScalar(tensor.Of[bool](t)[0])
	case tensor.Int8:
		return ort.NewScalar(tensor.Of[int8](t)[0])
	case tensor.Int16:
		return ort.NewScalar(tensor.Of[int16](t)[0])
	case tensor.Int32:
		return ort.NewScalar(tensor.Of[int32](t)[0])
	case tensor.Int64:
		return ort.NewScalar(tensor.Of[int64](t)[0])
	case tensor.Uint8:
		return ort.NewScalar(tensor.Of[uint8](t)[0])
	case tensor.Uint16:
		return ort.NewScalar(tensor.Of[uint16](t)[0])
	case tensor.Uint32:
		return ort.NewScalar(tensor.Of[uint32](t)[0])
	case tensor.Uint64:
		return ort.NewScalar(tensor.Of[uint64](t)[0])
	}
	return nil, fmt.Errorf("scalars of type %s are not known", t.Type)
}

// viewScalar copies a value made by newScalar.
func viewScalar(v ort.Value, t *tensor.Tensor) error {
	switch x := v.(type) {
	case *ort.Scalar[float32]:
		load(t, tensor.Float32, nil, []float32{x.GetData()})
	case *ort.Scalar[float64]:
		load(t, tensor.Float64, nil, []float64{x.GetData()})
	case *ort.Scalar[bool]:
		load(t, tensor.Bool, nil, []bool{x.GetData()})
	case *ort.Scalar[int8]:
		load(t, tensor.Int8, nil, []int8{x.GetData()})
	case *ort.Scalar[int16]:
		load(t, tensor.Int16, nil, []int16{x.GetData()})
	case *ort.Scalar[int32]:
		load(t, tensor.Int32, nil, []int32{x.GetData()})
	case *ort.Scalar[int64]:
		load(t, tensor.Int64, nil, []int64{x.GetData()})
	case *ort.Scalar[uint8]:
		load(t, tensor.Uint8, nil, []uint8{x.GetData()})
	case *ort.Scalar[uint16]:
		load(t, tensor.Uint16, nil, []uint16{x.GetData()})
	case *ort.Scalar[uint32]:
		load(t, tensor.Uint32, nil, []uint32{x.GetData()})
	case *ort.Scalar[uint64]:
		load(t, tensor.Uint64, nil, []uint64{x.GetData()})
	default:
		return fmt.Errorf("unexpected value %T", v)
	}
	return nil
}
