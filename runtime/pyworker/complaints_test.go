package pyworker

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestEachPlaceOfAnExceptionIsLoggedOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	c := newComplaints(slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	raise := func(line int, message string) {
		c.log(&failure{Message: message, Trace: fmt.Sprintf("Traceback (most recent call last):\n  File \"model.py\", line %d, in predict\nKeyError: %s\n", line, message)})
	}
	lines := func() int { return strings.Count(log.String(), "\n") }
	for i := range 100 {
		raise(1, fmt.Sprintf("customer %d", i))
	}
	if n := lines(); n != 1 || !strings.Contains(log.String(), "customer 0") {
		t.Errorf("one place told %d times:\n%s", n, &log)
	}
	raise(2, "another place")
	if n := lines(); n != 2 {
		t.Errorf("another place: %d lines", n)
	}
	now = now.Add(complaintPause)
	raise(1, "customer 7")
	if !strings.Contains(log.String(), "not_logged=99") {
		t.Errorf("the log does not say how many were left out:\n%s", &log)
	}
	log.Reset()
	for i := range 10_000 {
		raise(1000+i, "from everywhere")
	}
	if n := lines(); n > maxComplaints+1 {
		t.Errorf("%d lines of a model that fails at ever new places", n)
	}
	log.Reset()
	now = now.Add(complaintPause)
	raise(3, "later")
	if lines() != 1 || len(c.places) > maxComplaints {
		t.Errorf("a place is not told after the others have been quiet; %d kept", len(c.places))
	}
}
