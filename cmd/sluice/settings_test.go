package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func load(t *testing.T, file string, environ []string, args ...string) (*Config, error) {
	t.Helper()
	var c Config
	cmd := &cobra.Command{Use: "x"}
	c.bind(cmd.Flags())
	if file != "" {
		name := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(name, []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", name)
	}
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	return &c, loadSettings(cmd, &c, append(environ, "HOME=/nowhere"))
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := "port: 1\nhost: 10.0.0.1\nrequest_timeout: 5s\nallowed-hosts: [a, b]\n"
	c, err := load(t, file, []string{"SLUICE_PORT=2", "SLUICE_HOST=10.0.0.2", "OTHER=x"}, "--port", "3", "--cache-dir", "/c")
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 3 || c.Host != "10.0.0.2" || c.RequestTimeout != 5*time.Second || len(c.AllowedHosts) != 2 || c.LogLevel != "info" {
		t.Errorf("got port %d host %s timeout %v allowed %v level %s", c.Port, c.Host, c.RequestTimeout, c.AllowedHosts, c.LogLevel)
	}
	if !filepath.IsAbs(c.DataDir) || filepath.Base(c.DataDir) != "sluice-data" || !filepath.IsAbs(c.CacheDir) {
		t.Errorf("data in %q, cache in %q: processes that work elsewhere could not find them", c.DataDir, c.CacheDir)
	}
	if want := "sqlite:///" + filepath.Join("sluice-data", "sluice.db"); c.BackendStoreURI != want {
		t.Errorf("backend store %q, want %q", c.BackendStoreURI, want)
	}
}

func TestSettingsThatCannotBeHonouredAreErrors(t *testing.T) {
	cases := map[string]struct {
		file    string
		environ []string
		args    []string
		want    string
	}{
		"unknown key":              {file: "prot: 1\n", want: "prot is not a setting"},
		"unknown variable":         {environ: []string{"SLUICE_PROT=1"}, want: "SLUICE_PROT is not a setting"},
		"wrong type in file":       {file: "port: many\n", want: "port"},
		"mapping for a scalar":     {file: "port: {a: 1}\n", want: "mapping"},
		"wrong type in env":        {environ: []string{"SLUICE_MAX_BODY_BYTES=lots"}, want: "SLUICE_MAX_BODY_BYTES"},
		"unknown sync":             {args: []string{"--prediction-log-sync", "sometimes"}, want: "prediction-log-sync: \"sometimes\" is none of always, interval, none"},
		"sync for ever":            {args: []string{"--prediction-log-sync-interval", "1h"}, want: "prediction-log-sync-interval is not between 1ms and 1m"},
		"out of range":             {args: []string{"--port", "70000"}, want: "--port must be between 0 and 65535"},
		"unknown level":            {args: []string{"--log-level", "loud"}, want: "--log-level must be one of"},
		"certificate, no key":      {args: []string{"--tls-cert", "c.pem"}, want: "go together"},
		"not YAML":                 {file: "port: [1\n", want: "sluice.yaml"},
		"unknown synchronous":      {args: []string{"--sqlite-synchronous", "off"}, want: "--sqlite-synchronous"},
		"regular expression":       {args: []string{"--model-version-source-regex", "s3://("}, want: "--model-version-source-regex"},
		"missing file":             {environ: []string{"SLUICE_CONFIG=/does/not/exist"}, want: "/does/not/exist"},
		"unknown batching":         {args: []string{"--batching", "on"}, want: "--batching must be one of"},
		"prediction log retention": {args: []string{"--prediction-log-retention", "5s"}, want: "--prediction-log-retention"},
		"prediction log budget":    {args: []string{"--prediction-log-max-bytes", "5"}, want: "--prediction-log-max-bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ, append(c.args, "--cache-dir", "/c")...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
