package sqlstore

import (
	"encoding/json"
	"fmt"

	"sluice/gateway"
)

// configRow is a configuration as it is stored, in JSON. Fields are added, never renamed.
type configRow struct {
	ServedEntities []entityRow `json:"served_entities"`
	settingsRow
}

type entityRow struct {
	Name         string `json:"name"`
	Model        string `json:"model"`
	Version      int    `json:"version,omitempty"`
	Stage        string `json:"stage,omitempty"`
	Alias        string `json:"alias,omitempty"`
	Weight       int    `json:"weight"` // basis points
	WorkloadSize string `json:"workload_size,omitempty"`
	ScaleToZero  bool   `json:"scale_to_zero,omitempty"`
	Backend      string `json:"backend,omitempty"`
	Batching     string `json:"batching,omitempty"`
}

func encodeConfig(c gateway.Config) (string, error) {
	row := configRow{ServedEntities: make([]entityRow, len(c.ServedEntities)), settingsRow: encodeSettings(&c)}
	for i, e := range c.ServedEntities {
		row.ServedEntities[i] = entityRow{
			Name: e.Name, Model: e.Model, Version: e.Target.Version, Stage: e.Target.Stage, Alias: e.Target.Alias,
			Weight: int(e.Weight), WorkloadSize: e.WorkloadSize, ScaleToZero: e.ScaleToZero, Backend: e.Backend, Batching: e.Batching,
		}
	}
	b, err := json.Marshal(row)
	return string(b), err
}

func decodeConfig(endpoint, text string) (gateway.Config, error) {
	var row configRow
	if err := json.Unmarshal([]byte(text), &row); err != nil {
		return gateway.Config{}, fmt.Errorf("stored configuration of endpoint %q: %w", endpoint, err)
	}
	c := gateway.Config{ServedEntities: make([]gateway.ServedEntity, len(row.ServedEntities))}
	for i, e := range row.ServedEntities {
		c.ServedEntities[i] = gateway.ServedEntity{
			Name: e.Name, Model: e.Model, Target: gateway.Selector{Version: e.Version, Stage: e.Stage, Alias: e.Alias},
			Weight: gateway.Weight(e.Weight), WorkloadSize: e.WorkloadSize, ScaleToZero: e.ScaleToZero, Backend: e.Backend, Batching: e.Batching,
		}
	}
	decodeSettings(row.settingsRow, &c)
	return c, nil
}
