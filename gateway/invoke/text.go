package invoke

import (
	"encoding/binary"
	"strconv"
	"time"

	"sluice/runtime/batch"
	"sluice/tracking/wire"
)

const hexDigits = "0123456789abcdef"

// uuid7 makes a UUID of version 7: the time in ms, then 74 random bits (source: RFC 9562, section 5.7).
func uuid7(at time.Time, hi, lo uint64) (id [16]byte) {
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[7] = 0x70|byte(hi>>8)&0x0f, byte(hi)
	for i := range 8 {
		id[8+i] = byte(lo >> (56 - 8*i))
	}
	id[8] = 0x80 | id[8]&0x3f
	return id
}

// appendUUID appends the id in its usual form of 36 characters.
func appendUUID(dst []byte, id *[16]byte) []byte {
	return wire.AppendUUID(dst, binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
}

func appendHex(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// appendTiming appends the value of Server-Timing (source: W3C Server Timing): durations in ms with three decimals, and the rows of
// the batch that was executed. What was not executed has the total alone.
func appendTiming(dst []byte, t *batch.Timing, total time.Duration) []byte {
	if *t != (batch.Timing{}) {
		dst = appendMS(append(dst, "queue;dur="...), t.Queue)
		dst = strconv.AppendInt(append(dst, ", batch;desc=\"rows="...), int64(t.BatchRows), 10)
		dst = appendMS(append(dst, "\", execute;dur="...), t.Execute)
		dst = append(dst, ", "...)
	}
	return appendMS(append(dst, "total;dur="...), total)
}

func appendMS(dst []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(dst, us/1000, 10)
	us %= 1000
	return append(dst, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
}

// timeoutMS reads X-Sluice-Timeout-Ms: decimal digits, positive, at most a day's worth.
func timeoutMS(text []byte) (time.Duration, bool) {
	const most = 24 * 60 * 60 * 1000
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n > most {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if n == 0 || n > most {
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}

// printable says whether the text may stand in a header and a log as it is: 1 to 128 characters of ASCII without blanks.
func printable(text []byte) bool {
	if len(text) == 0 || len(text) > 128 {
		return false
	}
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
