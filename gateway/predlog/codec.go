package predlog

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// zstdWindow is the reach of the compressor: pages are not longer, and parquet-go's own codec keeps windows of several MiB.
const zstdWindow = 256 << 10

// pageCodec is Parquet's ZSTD codec with little memory, which does not search where that finds nothing. It implements compress.Codec for one
// writer.
type pageCodec struct {
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	plain literals
	trial []byte // scratch
}

// newPageCodec returns a codec that compresses; the error is one of its settings and so cannot happen at run time.
func newPageCodec() (*pageCodec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &pageCodec{enc: enc, dec: dec}, nil
}

func (*pageCodec) String() string { return "ZSTD" }

// CompressionCodec returns the codec's number in the Parquet format.
func (*pageCodec) CompressionCodec() format.CompressionCodec { return format.Zstd }

// Encode compresses a page into dst.
func (c *pageCodec) Encode(dst, src []byte) ([]byte, error) {
	var enough bool
	if enough, c.trial = c.plain.enough(c.enc, src, c.trial); enough {
		return c.plain.frame(dst[:0], src)
	}
	return c.enc.EncodeAll(src, dst[:0]), nil
}

// Decode decompresses a page into dst.
func (c *pageCodec) Decode(dst, src []byte) ([]byte, error) { return c.dec.DecodeAll(src, dst[:0]) }

// close frees what the codec holds.
func (c *pageCodec) close() {
	c.enc.Close()
	c.dec.Close()
}
