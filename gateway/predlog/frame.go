package predlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// A frame is one record in the queue and the spool, little endian:
//
//	u32 length of the body · u32 CRC32C of the body · body
//
// and the body, in this order:
//
//	u8 frameVersion · u8 flags · u16 status · [16]byte prediction id · [16]byte trace id
//	i64 time, latency, queue, execute (ns; time since the Unix epoch) · f64 sampling fraction · i32 version, rows, bucket
//	9 texts: u16 length · bytes (request id, endpoint, model, stage, arm, rule, error code, content type, response content type)
//	2 bodies: u32 length · bytes (request, response)
//
// The checksum is filled in by the writer goroutine, so that the request path copies and nothing else.
const (
	frameHeader  = 8
	frameVersion = 1
	fixedBytes   = 4 + 16 + 16 + 4*8 + 8 + 3*4
	versionAt    = 76 // of the registered model, in the body
	numTexts     = 9
	// maxText is the longest text kept of a record, in bytes; longer ones are cut (and flagged as truncated).
	maxText = 1024
)

const (
	flagShadow = 1 << iota
	flagRequestCut
	flagResponseCut
	flagTextCut
	flagCached
	flagRedacted
	flagWithheld
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errFrame: the bytes are not an intact frame; a spool ends there.
var errFrame = errors.New("broken frame")

// frameSize returns the bytes that appendFrame will append at most.
func frameSize(r *Record, maxBody int) int {
	n := frameHeader + fixedBytes + numTexts*2 + 8 + min(len(r.Request), maxBody) + min(len(r.Response), maxBody)
	for _, s := range r.texts() {
		n += min(len(s), maxText)
	}
	return n
}

// texts returns the texts in frame order.
func (r *Record) texts() [numTexts]string {
	return [numTexts]string{r.RequestID, r.Endpoint, r.Model, r.Stage, r.Arm, r.Rule, r.ErrorCode, r.ContentType, r.ResponseContentType}
}

// appendFrame appends the record as a frame without checksum; timeNS replaces a zero Time. dst has the capacity (frameSize).
func appendFrame(dst []byte, r *Record, timeNS int64, maxBody int) (out []byte, cut bool) {
	start, le := len(dst), binary.LittleEndian
	var flags byte
	if r.Shadow {
		flags |= flagShadow
	}
	if r.Cached {
		flags |= flagCached
	}
	switch r.Redaction {
	case Redacted:
		flags |= flagRedacted
	case Withheld:
		flags |= flagWithheld
	}
	request, response := r.Request, r.Response
	if len(request) > maxBody {
		request, flags = request[:maxBody], flags|flagRequestCut
	}
	if len(response) > maxBody {
		response, flags = response[:maxBody], flags|flagResponseCut
	}
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, frameVersion, flags)
	dst = le.AppendUint16(dst, uint16(r.Status))
	dst = append(dst, r.PredictionID[:]...)
	dst = append(dst, r.TraceID[:]...)
	dst = le.AppendUint64(dst, uint64(timeNS))
	dst = le.AppendUint64(dst, uint64(r.LatencyNS))
	dst = le.AppendUint64(dst, uint64(r.QueueNS))
	dst = le.AppendUint64(dst, uint64(r.ExecuteNS))
	dst = le.AppendUint64(dst, math.Float64bits(r.SamplingFraction))
	dst = le.AppendUint32(dst, uint32(int32(r.Version)))
	dst = le.AppendUint32(dst, uint32(int32(r.Rows)))
	dst = le.AppendUint32(dst, uint32(int32(r.Bucket)))
	for _, s := range r.texts() {
		if len(s) > maxText {
			s, flags = s[:maxText], flags|flagTextCut
		}
		dst = le.AppendUint16(dst, uint16(len(s)))
		dst = append(dst, s...)
	}
	dst = le.AppendUint32(dst, uint32(len(request)))
	dst = append(dst, request...)
	dst = le.AppendUint32(dst, uint32(len(response)))
	dst = append(dst, response...)
	dst[start+frameHeader+1] = flags
	le.PutUint32(dst[start:], uint32(len(dst)-start-frameHeader))
	return dst, flags&(flagRequestCut|flagResponseCut|flagTextCut) != 0
}

// sealFrames fills in the checksums of the frames in buf and returns how many there are.
func sealFrames(buf []byte) (frames int) {
	for len(buf) > 0 {
		n := frameHeader + int(binary.LittleEndian.Uint32(buf))
		binary.LittleEndian.PutUint32(buf[4:], crc32.Checksum(buf[frameHeader:n], crcTable))
		buf = buf[n:]
		frames++
	}
	return frames
}

// nextFrame returns the size of the first frame in buf, which is trusted (it comes from appendFrame).
func nextFrame(buf []byte) int { return frameHeader + int(binary.LittleEndian.Uint32(buf)) }

// entry is a decoded frame; its texts and bodies alias the bytes that it was decoded from.
type entry struct {
	predictionID, traceID         [16]byte
	timeNS                        int64
	latencyNS, queueNS, executeNS int64
	sampling                      float64
	status, version, rows, bucket int32
	flags                         byte
	texts                         [numTexts][]byte
	request, response             []byte
}

// The places of the texts in a frame.
const (
	textRequestID = iota
	textEndpoint
	textModel
	textStage
	textArm
	textRule
	textErrorCode
	textContentType
	textResponseContentType
)

// series returns the entry's Series, copied.
func (e *entry) series() Series {
	return Series{Endpoint: string(e.texts[textEndpoint]), Model: string(e.texts[textModel]), Version: int(e.version)}
}

// decodeFrame checks and decodes the first frame of buf into e and returns its size. Anything but an intact frame is errFrame; it never
// reads beyond buf and never panics, whatever the bytes.
func decodeFrame(buf []byte, e *entry) (size int, err error) {
	if len(buf) < frameHeader {
		return 0, errFrame
	}
	n := uint64(binary.LittleEndian.Uint32(buf))
	if n < fixedBytes || n > uint64(len(buf)-frameHeader) {
		return 0, errFrame
	}
	body := buf[frameHeader : frameHeader+int(n)]
	if crc32.Checksum(body, crcTable) != binary.LittleEndian.Uint32(buf[4:]) || !decodeBody(body, e) {
		return 0, errFrame
	}
	return frameHeader + int(n), nil
}

func decodeBody(b []byte, e *entry) bool {
	if b[0] != frameVersion {
		return false
	}
	le := binary.LittleEndian
	e.flags, e.status = b[1], int32(le.Uint16(b[2:]))
	copy(e.predictionID[:], b[4:20])
	copy(e.traceID[:], b[20:36])
	e.timeNS, e.latencyNS = int64(le.Uint64(b[36:])), int64(le.Uint64(b[44:]))
	e.queueNS, e.executeNS = int64(le.Uint64(b[52:])), int64(le.Uint64(b[60:]))
	e.sampling = math.Float64frombits(le.Uint64(b[68:]))
	e.version, e.rows, e.bucket = int32(le.Uint32(b[versionAt:])), int32(le.Uint32(b[80:])), int32(le.Uint32(b[84:]))
	b = b[fixedBytes:]
	for i := range e.texts {
		if len(b) < 2 {
			return false
		}
		n := int(le.Uint16(b))
		if b = b[2:]; n > len(b) {
			return false
		}
		e.texts[i], b = b[:n:n], b[n:]
	}
	var ok bool
	if e.request, b, ok = cutBody(b); !ok {
		return false
	}
	e.response, b, ok = cutBody(b)
	return ok && len(b) == 0
}

func cutBody(b []byte) (body, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if b = b[4:]; n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// redaction is what the flags say of the bodies.
func (e *entry) redaction() Redaction {
	switch {
	case e.flags&flagWithheld != 0:
		return Withheld
	case e.flags&flagRedacted != 0:
		return Redacted
	}
	return Unredacted
}
