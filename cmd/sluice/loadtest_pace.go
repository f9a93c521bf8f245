package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/loadtest"
)

// pace is when recorded requests are asked again: recorded (with the gaps that they had), xN (N times as fast), or "" (not by their times).
type pace float64

// Set implements pflag.Value.
func (p *pace) Set(text string) error {
	if text == "recorded" {
		*p = 1
		return nil
	}
	n, err := strconv.ParseFloat(strings.TrimPrefix(text, "x"), 64)
	if err != nil || !strings.HasPrefix(text, "x") || !(n >= 0.001 && n <= 1000) {
		return fmt.Errorf("%q is not recorded, nor xN with N from 0.001 to 1000", text)
	}
	*p = pace(n)
	return nil
}

// String implements pflag.Value.
func (p *pace) String() string {
	switch {
	case *p == 0:
		return ""
	case *p == 1:
		return "recorded"
	}
	return "x" + strconv.FormatFloat(float64(*p), 'g', -1, 64)
}

// Type implements pflag.Value.
func (p *pace) Type() string { return "recorded|xN" }

// due are the times at which the records are asked again, from the first.
func (p pace) due(records []loadtest.Recorded) []time.Duration {
	out := make([]time.Duration, len(records))
	for i := range records {
		out[i] = time.Duration(float64(records[i].Time.Sub(records[0].Time)) / float64(p))
	}
	return out
}

// paced are the recorded requests of --from-log at their own times, and how long that takes; shorter says that --duration bounds it.
func (f *loadFlags) paced(url string, s *shape, shorter bool) ([]loadtest.Request, loadtest.Pacer, time.Duration, error) {
	if s.rate != 0 || s.arrivals != "constant" {
		return nil, nil, 0, errors.New("--pace says when requests leave, and so do --rate and --arrivals")
	}
	records, err := loadtest.FromLog(f.fromLog, url, f.make.Requests)
	if err != nil {
		return nil, nil, 0, err
	}
	header, err := f.header()
	if err != nil {
		return nil, nil, 0, err
	}
	due := f.pace.due(records)
	length := due[len(due)-1] + time.Millisecond
	if shorter {
		length = min(length, f.duration)
	}
	return loadtest.Requests(url, loadtest.Payloads(records), header), loadtest.At(due), length, nil
}
