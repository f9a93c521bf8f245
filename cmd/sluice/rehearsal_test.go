package main

import (
	"net/http"
	"testing"

	"sluice/gateway/predlog"
)

// Where no record can be asked, because all are redacted, failed or cut, the log is not read through.
func TestARehearsalLooksAtFewRecords(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]predlog.Row{
		"redacted": {Record: predlog.Record{Status: http.StatusOK, Redaction: predlog.Redacted, Request: []byte("{}")}},
		"failed":   {Record: predlog.Record{Status: http.StatusBadRequest, Request: []byte("{}")}},
		"shadow":   {Record: predlog.Record{Status: http.StatusOK, Shadow: true, Request: []byte("{}")}},
		"cut":      {Record: predlog.Record{Status: http.StatusOK, Request: []byte("{}")}, Truncated: true},
	} {
		r, looked := rehearsal{wanted: 2}, 1
		for r.take(t.Context(), &row) {
			if looked++; looked > 1000 {
				break
			}
		}
		if looked != 40 || r.asked+r.failed != 0 {
			t.Errorf("%s: %d looked at, %d asked", name, looked, r.asked+r.failed)
		}
	}
}
