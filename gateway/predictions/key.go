package predictions

import (
	"strconv"

	"sluice/gateway/payload"
	"sluice/gateway/predlog"
	"sluice/runtime/tensor"
)

// KeyText is a row's value of a column as a business key: a text as it is, a number as short as JSON can have it, whole ones without a fraction; ""
// for what is no key.
func KeyText(t *tensor.Tensor, row int) string {
	switch {
	case t.Len() <= row:
		return ""
	case t.Type.Text():
		return t.Strings()[row]
	case !t.Type.Numeric():
		return ""
	case t.Type == tensor.Int64: // beyond 2^53, too
		return strconv.FormatInt(tensor.Of[int64](t)[row], 10)
	}
	return strconv.FormatFloat(t.At(row), 'g', -1, 64)
}

// hasKey says whether a row of the request has the key in the column. What redaction or a cut left of a request is looked at as it is.
func hasKey(r *predlog.Row, column, key string) bool {
	var in payload.Input
	if payload.Compile(nil, nil).DecodeLogged(r.ContentType, r.Request, &in) != nil {
		return false
	}
	c := in.Batch.Column(column)
	if c == nil {
		return false
	}
	for row := range c.Tensor.Rows() {
		if KeyText(&c.Tensor, row) == key {
			return true
		}
	}
	return false
}
