package invoke

import (
	"sluice/gateway/route"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// replay lets a recorded request be asked once more (X-Sluice-Replay: 1). It leaves no trace as live traffic: no record, no outcome that a rollout or a
// serving run would rest on, no copy for shadows, nothing in the cache; Replayed counts it. It must name its version by number, so that it goes where it is meant to, and its caller must be
// one who may manage: others must not be able to predict without a record.
func (h *Handler) replay(from carrier, k *call) error {
	if k.asked.replay == nil {
		return nil
	}
	switch {
	case string(k.asked.replay) != "1":
		return mlflow.Invalidf("the header %s is not 1", HeaderReplay)
	case k.aim.model == "" || k.aim.by != route.ByVersion:
		return mlflow.Invalidf("a request with %s goes to /models/NAME/versions/N/invocations or …/infer", HeaderReplay)
	case !from.may(h, string(wire.Manage)):
		return mlflow.Errorf(mlflow.PermissionDenied, "%s needs the permission %s", HeaderReplay, wire.Manage)
	}
	k.replayed = true
	k.asked.cache.noStore = true // it is the model that is asked
	h.replays.Add(1)
	return nil
}

// Replayed is how many recorded requests were asked once more, since the start.
func (h *Handler) Replayed() int64 { return h.replays.Load() }
