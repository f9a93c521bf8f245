// Command dashboards writes deploy/grafana/*.json: `make dashboards`.
//
// It owns what the dashboards show: one file a dashboard, over a small vocabulary of panels (panel.go), queries (query.go) and Grafana's format
// (grafana.go). It is called by whoever changes a panel, and by a test that keeps the written files true; nobody imports it. It must not know how a
// metric is counted: names, units and attributes are those that gateway/telemetry lists.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := write("deploy/grafana"); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

// all are the dashboards, by file name.
func all() map[string]dashboard {
	return map[string]dashboard{
		"fleet.json":          fleet(),
		"endpoint.json":       endpoint(),
		"canary.json":         canary(),
		"batching.json":       batching(),
		"drift.json":          drifting(),
		"prediction-log.json": predictionLog(),
	}
}

// write renders every dashboard into the folder.
func write(folder string) error {
	for name, d := range all() {
		text, err := render(&d)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render is the dashboard as Grafana imports it.
func render(d *dashboard) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d.grafana()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
