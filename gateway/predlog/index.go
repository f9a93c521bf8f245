package predlog

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
)

// span is a stretch of a spool, the bytes [from, to), in which frames of one Series stand one after the other.
type span struct{ from, to int64 }

// spoolIndex says where the frames of each Series stand in a spool, whose frames follow each other without a gap. Memory: 16 bytes a span;
// a spool of one Series has one, a spool whose records alternate has one per record.
type spoolIndex struct {
	series   []Series // in order of appearance
	spans    [][]span // of each Series
	rows     int64
	end      int64          // where the next frame begins
	last     int            // the Series of the last frame
	ordinals map[Series]int // of series
}

func newSpoolIndex() *spoolIndex {
	return &spoolIndex{end: int64(len(spoolMagic)), ordinals: map[Series]int{}}
}

// add notes that the next frame has so many bytes and belongs to this Series.
func (x *spoolIndex) add(endpoint, model []byte, version int32, size int64) {
	n := x.ordinal(endpoint, model, version)
	if of := x.spans[n]; n == x.last && len(of) > 0 {
		of[len(of)-1].to += size
	} else {
		x.spans[n] = append(of, span{x.end, x.end + size})
	}
	x.last = n
	x.rows++
	x.end += size
}

// ordinal finds or enters a Series.
func (x *spoolIndex) ordinal(endpoint, model []byte, version int32) int {
	if len(x.series) > 0 {
		if s := &x.series[x.last]; s.Version == int(version) && s.Endpoint == string(endpoint) && s.Model == string(model) {
			return x.last
		}
	}
	// A composite literal of converted bytes does not allocate when it is only a key.
	n, ok := x.ordinals[Series{string(endpoint), string(model), int(version)}]
	if !ok {
		n = len(x.series)
		s := Series{Endpoint: string(endpoint), Model: string(model), Version: int(version)}
		x.series, x.spans = append(x.series, s), append(x.spans, nil)
		x.ordinals[s] = n
	}
	return n
}

// addFrames notes whole frames, which are trusted (they come from appendFrame).
func (x *spoolIndex) addFrames(frames []byte) {
	for len(frames) > 0 {
		n := nextFrame(frames)
		endpoint, model, version := seriesOfFrame(frames[:n])
		x.add(endpoint, model, version, int64(n))
		frames = frames[n:]
	}
}

// seriesOfFrame reads the Series of a frame that is trusted.
func seriesOfFrame(frame []byte) (endpoint, model []byte, version int32) {
	le := binary.LittleEndian
	version = int32(le.Uint32(frame[frameHeader+versionAt:]))
	texts := frame[frameHeader+fixedBytes:]
	for i := range textModel + 1 {
		n := 2 + int(le.Uint16(texts))
		switch i {
		case textEndpoint:
			endpoint = texts[2:n]
		case textModel:
			model = texts[2:n]
		}
		texts = texts[n:]
	}
	return endpoint, model, version
}

// indexSpool reads a spool up to its last intact frame and calls visited after each. A missing file is an empty spool: it was sealed before a crash.
func indexSpool(path string, visited func()) (*spoolIndex, error) {
	idx := newSpoolIndex()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return idx, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = scanFrames(f, func(at place, e *entry) error {
		idx.add(e.texts[textEndpoint], e.texts[textModel], e.version, at.size)
		visited()
		return nil
	})
	return idx, err
}
