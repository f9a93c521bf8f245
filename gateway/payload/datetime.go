package payload

import (
	"math"
	"strconv"
	"time"
)

// notATime is NumPy's NaT.
const notATime = math.MinInt64

// datetime converts the JSON value at n to nanoseconds since the epoch. ISO 8601 text; integers are nanoseconds; null is NaT, and so
// are "", "NaT" and (in frames) NaN. A time zone is refused in frames, as MLflow does, and applied in instances and inputs, as NumPy does.
func (t *text) datetime(n uint32, r rules) (uint64, string) {
	const nat = uint64(1) << 63
	switch t.first(n) {
	case 'n':
		return nat, ""
	case '"':
		s := t.str(n)
		if s == "" || s == "NaT" {
			return nat, ""
		}
		ns, bad := isoNanoseconds(s, !r.frame)
		return uint64(ns), bad
	case '[', '{', 't', 'f':
		return 0, t.describe(n)
	}
	f, i, c := t.number(n)
	switch {
	case c == classInt:
		return uint64(i), ""
	case c == classFloat && f != f && r.frame:
		return nat, ""
	case c == classFloat && r.frame && math.Abs(f) < 1<<63:
		return uint64(int64(f)), ""
	}
	return 0, t.describe(n)
}

// isoLayouts are the accepted forms; fractions of a second of up to nine digits are accepted behind seconds.
var isoLayouts = []string{
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01", "2006",
	"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
}

// zonedFrom is the first of isoLayouts with a time zone.
const zonedFrom = 7

func isoNanoseconds(s string, zones bool) (int64, string) {
	for i, layout := range isoLayouts {
		at, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if i >= zonedFrom && !zones {
			return 0, "a time with a time zone"
		}
		if at.Year() < 1678 || at.Year() > 2261 {
			return 0, "a time out of range (years 1678 to 2261)"
		}
		return at.UnixNano(), ""
	}
	return 0, "a string that is no ISO 8601 time"
}

// appendDatetime writes nanoseconds since the epoch: in a Table as pandas' Timestamp.isoformat does, elsewhere as NumPy's tolist does.
func appendDatetime(dst []byte, ns int64, table bool) []byte {
	switch {
	case ns == notATime:
		return append(dst, "null"...)
	case !table:
		return strconv.AppendInt(dst, ns, 10)
	}
	at := time.Unix(0, ns).UTC()
	layout := "2006-01-02T15:04:05.000000000"
	switch frac := at.Nanosecond(); {
	case frac == 0:
		layout = "2006-01-02T15:04:05"
	case frac%1000 == 0:
		layout = "2006-01-02T15:04:05.000000"
	}
	dst = append(dst, '"')
	dst = at.AppendFormat(dst, layout)
	return append(dst, '"')
}
