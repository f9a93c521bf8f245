package payload

import (
	"fmt"
	"math"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"sluice/runtime/tensor"
)

// parquetColumn is one leaf of a flat schema.
type parquetColumn struct {
	name     string
	physical format.Type
	optional bool
	dtype    tensor.DType
	perUnit  int64 // nanoseconds of one unit of a Datetime column
	null     bool  // of the type NULL: nothing but nulls, whatever the physical type
}

// leafColumn maps a schema element to an element type, as pyarrow and pandas do.
func leafColumn(s *format.SchemaElement) (parquetColumn, error) {
	c := parquetColumn{name: strings.Clone(s.Name), physical: s.Type.V, optional: s.RepetitionType.V == format.Optional, perUnit: 1}
	if !s.Type.Valid || s.NumChildren.V > 0 || s.RepetitionType.V == format.Repeated {
		return c, fmt.Errorf("nested columns are not supported")
	}
	switch s.Type.V {
	case format.Boolean:
		c.dtype = tensor.Bool
	case format.Float:
		c.dtype = tensor.Float32
	case format.Double:
		c.dtype = tensor.Float64
	case format.Int32, format.Int64:
		return c, c.integerType(s)
	case format.ByteArray:
		return c, c.textType(s)
	default:
		return c, fmt.Errorf("the type %s is not supported", s.Type.V)
	}
	return c, nil
}

// textType tells text from bytes.
func (c *parquetColumn) textType(s *format.SchemaElement) error {
	c.dtype = tensor.Binary
	switch v := s.LogicalType.Value.(type) {
	case nil:
		if s.ConvertedType.Valid && (s.ConvertedType.V == deprecated.UTF8 || s.ConvertedType.V == deprecated.Enum) {
			c.dtype = tensor.String
		} else if s.ConvertedType.Valid {
			return fmt.Errorf("the type %v is not supported", s.ConvertedType.V)
		}
	case *format.StringType, *format.EnumType, *format.JsonType:
		c.dtype = tensor.String
	default:
		return fmt.Errorf("the type %s is not supported", v)
	}
	return nil
}

// integerType finds the width of an integer column, or the unit of a timestamp or date.
func (c *parquetColumn) integerType(s *format.SchemaElement) error {
	c.dtype = tensor.Int64
	if c.physical == format.Int32 {
		c.dtype = tensor.Int32
	}
	switch v := s.LogicalType.Value.(type) {
	case nil:
		return c.convertedType(s)
	case *format.NullType:
		c.null = true
	case *format.IntType:
		return c.sizedType(int(v.BitWidth), v.IsSigned)
	case *format.DateType:
		c.dtype, c.perUnit = tensor.Datetime, 24*3600*1e9
	case *format.TimestampType:
		if v.IsAdjustedToUTC {
			return fmt.Errorf("timestamps with a time zone are not supported; send naive ones")
		}
		if v.Unit.Value == nil {
			return fmt.Errorf("a timestamp without a unit")
		}
		c.dtype, c.perUnit = tensor.Datetime, int64(v.Unit.Value.Duration())
	default:
		return fmt.Errorf("the type %s is not supported", v)
	}
	return nil
}

func (c *parquetColumn) sizedType(bits int, signed bool) error {
	types := map[int][2]tensor.DType{
		8: {tensor.Uint8, tensor.Int8}, 16: {tensor.Uint16, tensor.Int16}, 32: {tensor.Uint32, tensor.Int32}, 64: {tensor.Uint64, tensor.Int64},
	}
	pair, ok := types[bits]
	if !ok || (bits == 64) != (c.physical == format.Int64) {
		return fmt.Errorf("integers of %d bits are not supported", bits)
	}
	c.dtype = pair[0]
	if signed {
		c.dtype = pair[1]
	}
	return nil
}

// convertedType reads the annotation that older writers use.
func (c *parquetColumn) convertedType(s *format.SchemaElement) error {
	if !s.ConvertedType.Valid {
		return nil
	}
	switch t := s.ConvertedType.V; t {
	case deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64:
		return c.sizedType(8<<(t-deprecated.Int8), true)
	case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
		return c.sizedType(8<<(t-deprecated.Uint8), false)
	case deprecated.Date:
		c.dtype, c.perUnit = tensor.Datetime, 24*3600*1e9
	case deprecated.TimestampMillis, deprecated.TimestampMicros:
		return fmt.Errorf("timestamps with a time zone are not supported; send naive ones")
	default:
		return fmt.Errorf("the type %v is not supported", t)
	}
	return nil
}

// word turns the bits of a physical value into a word of the column's type.
func (c *parquetColumn) word(bits uint64) (uint64, error) {
	switch c.physical {
	case format.Float:
		return math.Float64bits(float64(math.Float32frombits(uint32(bits)))), nil
	case format.Int32:
		if c.dtype == tensor.Uint8 || c.dtype == tensor.Uint16 || c.dtype == tensor.Uint32 {
			return uint64(uint32(bits)), nil
		}
		bits = uint64(int64(int32(bits)))
	}
	if c.dtype != tensor.Datetime || c.perUnit == 1 {
		return bits, nil
	}
	if n := int64(bits); n > math.MaxInt64/c.perUnit || n < math.MinInt64/c.perUnit {
		return 0, fmt.Errorf("a time out of range")
	}
	return uint64(int64(bits) * c.perUnit), nil
}

// size is the length of a plain value in bytes; 0 for bits and for text.
func (c *parquetColumn) size() int {
	switch c.physical {
	case format.Int32, format.Float:
		return 4
	case format.Int64, format.Double:
		return 8
	}
	return 0
}
