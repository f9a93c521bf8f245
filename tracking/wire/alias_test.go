package wire_test

import (
	"testing"

	"sluice/tracking/wire"
)

// MLflow's client sends the old name of a run's id beside the new one.
func TestOldNameBesideTheNewOne(t *testing.T) {
	for body, want := range map[string]string{
		`{"run_uuid":"old","run_id":"new"}`: "new",
		`{"run_id":"new","run_uuid":"old"}`: "new",
		`{"run_uuid":"old"}`:                "old",
		`{"run_id":"","run_uuid":"old"}`:    "old",
	} {
		var got struct {
			RunID string `json:"run_id" wire:"required,alias=run_uuid"`
		}
		if err := wire.Decode([]byte(body), &got); err != nil || got.RunID != want {
			t.Errorf("%s: got %q and %v, want %q", body, got.RunID, err, want)
		}
	}
}
