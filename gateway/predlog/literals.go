package predlog

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// Bodies of numbers have hardly anything to refer back to: of a row of random digits, a search for matches, which is most of zstd's work, finds four
// bytes here and there, and what is gained is that digits need half a byte each. For such pages the literals encoder writes zstd frames without a
// search: Huffman-coded literals and no sequences (RFC 8878, sections 3.1.1 and 4.2), which every reader of zstd reads.
const (
	literalsBlock = 128 << 10 // the most that a block of a zstd frame holds
	// sampleFrom is the size of the pages that are worth a trial, trialBytes what is tried of them.
	sampleFrom, trialBytes = 64 << 10, 16 << 10
	// matchGain is what a search has to bring: pages whose sample comes to less than this share of its Huffman-coded size are searched.
	matchGain = 2. / 3
)

// The head of a frame: magic number, then a descriptor that says single segment, four bytes of content size, no checksum, no dictionary.
var literalsHead = [5]byte{0x28, 0xB5, 0x2F, 0xFD, 0xA0}

// Types of blocks, and the type and format of Huffman-coded literals with a table of their own in four streams with sizes of 18 bits.
const (
	blockRaw        = 0
	blockRLE        = 1
	blockCompressed = 2
	fourStreams     = 2 | 3<<2
)

// literals writes frames of literals alone. It is not safe for concurrent use.
type literals struct{ scratch huff0.Scratch }

// frame appends src as one zstd frame to dst; src is shorter than 4 GiB.
func (l *literals) frame(dst, src []byte) ([]byte, error) {
	dst = append(dst, literalsHead[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(src)))
	for {
		n := min(len(src), literalsBlock)
		var err error
		if dst, err = l.block(dst, src[:n], n == len(src)); err != nil {
			return dst, err
		}
		if src = src[n:]; len(src) == 0 {
			return dst, nil
		}
	}
}

// block appends one block.
func (l *literals) block(dst, src []byte, last bool) ([]byte, error) {
	out, err := l.coded(src)
	switch {
	case errors.Is(err, huff0.ErrIncompressible) || (err == nil && len(out)+6 >= len(src)):
		return append(blockHead(dst, blockRaw, len(src), last), src...), nil
	case errors.Is(err, huff0.ErrUseRLE):
		return append(blockHead(dst, blockRLE, len(src), last), src[0]), nil
	case err != nil:
		return dst, err
	}
	dst = blockHead(dst, blockCompressed, 5+len(out)+1, last)
	sizes := fourStreams | uint64(len(src))<<4 | uint64(len(out))<<22
	dst = append(dst, byte(sizes), byte(sizes>>8), byte(sizes>>16), byte(sizes>>24), byte(sizes>>32))
	dst = append(dst, out...)
	return append(dst, 0), nil // no sequences
}

// coded is the Huffman coding of src, valid until the next call.
func (l *literals) coded(src []byte) ([]byte, error) {
	if len(src) < 64 { // four streams need some bytes each, and gain nothing
		return nil, huff0.ErrIncompressible
	}
	l.scratch.Reuse = huff0.ReusePolicyNone
	out, _, err := huff0.Compress4X(src, &l.scratch)
	return out, err
}

func blockHead(dst []byte, kind, size int, last bool) []byte {
	head := uint32(kind)<<1 | uint32(size)<<3
	if last {
		head |= 1
	}
	return append(dst, byte(head), byte(head>>8), byte(head>>16))
}

// enough reports whether literals alone do for a page, by a sample from its middle. scratch is used and returned.
func (l *literals) enough(search *zstd.Encoder, page, scratch []byte) (bool, []byte) {
	if len(page) < sampleFrom {
		return false, scratch
	}
	at := (len(page) - trialBytes) / 2
	sample := page[at : at+trialBytes]
	coded, err := l.coded(sample)
	if err != nil {
		return errors.Is(err, huff0.ErrIncompressible), scratch
	}
	size := len(coded)
	scratch = search.EncodeAll(sample, scratch[:0])
	return float64(len(scratch)) >= matchGain*float64(size), scratch
}
