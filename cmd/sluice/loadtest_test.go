package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// No flag of the load tool is ignored in silence, and nothing is sent before all of them can be honoured.
func TestLoadtestRefusesWhatItCannotHonour(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	url := server.URL + "/endpoints/wine/invocations"
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"negative rate":     {[]string{url, "--rate", "-1"}, "--rate must be between 0 and"},
		"no rate":           {[]string{url, "--rate", "NaN"}, "--rate must be between 0 and"},
		"endless rate":      {[]string{url, "--rate", "Inf"}, "--rate must be between 0 and"},
		"end of no ramp":    {[]string{url, "--rate", "5", "--to", "9"}, "--to needs --arrivals ramp"},
		"swing of no sine":  {[]string{url, "--rate", "5", "--amplitude", "1"}, "--amplitude needs --arrivals sine"},
		"period of no sine": {[]string{url, "--rate", "5", "--period", "1s"}, "--period needs --arrivals sine"},
		"ramp to nowhere":   {[]string{url, "--rate", "5", "--arrivals", "ramp"}, "needs --to"},
		"page nowhere":      {[]string{url, "--html", filepath.Join(t.TempDir(), "no", "page.html")}, "no such file"},
		"compare":           {[]string{"compare", url, url, "--rate", "5", "--to", "9"}, "--to needs --arrivals ramp"},
		"compare nowhere":   {[]string{"compare", url, url, "--json", filepath.Join(t.TempDir(), "no", "a.json")}, "no such file"},
		"capacity from NaN": {[]string{"capacity", url, "--start", "NaN"}, "--start must be above 0"},
		"capacity of none":  {[]string{"capacity", url, "--p99", "0s"}, "--p99 must be above 0"},
		"more than all":     {[]string{"capacity", url, "--failures", "2"}, "--failures between 0 and 1"},
	} {
		cmd := newLoadtestCommand()
		cmd.SetArgs(c.args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
