package rest

import (
	"reflect"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/purge"
	"sluice/tracking/wire"
)

// PurgeRoutes returns the rows of the endpoint table for hard deletion, our own API: the preview, and the purge itself.
func PurgeRoutes(p *purge.Purger) []wire.Route {
	h, doc := &purges{p}, wire.Doc{Takes: reflect.TypeFor[purgeJSON](), Answers: reflect.TypeFor[purgedJSON]()}
	return []wire.Route{
		{Method: "POST", Path: "/api/2.0/sluice/gc/preview", Permission: wire.Manage, Audit: "tracking.gc.preview", Handler: h.preview, Doc: doc},
		{Method: "POST", Path: "/api/2.0/sluice/gc/run", Permission: wire.Manage, Audit: "tracking.gc.run", Handler: h.run, Doc: doc},
	}
}

type purges struct{ purger *purge.Purger }

type purgeJSON struct {
	OlderThanMS int64    `json:"older_than_ms"` // 0 means everything that is soft-deleted
	IDs         []string `json:"ids"`           // of runs, logged models and experiments; none means all
}

func bindPurge(c *fiber.Ctx) (purge.Query, error) {
	var in purgeJSON
	err := wire.Bind(c, &in)
	const most = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return purge.Query{OlderThan: time.Duration(min(in.OlderThanMS, most)) * time.Millisecond, IDs: in.IDs}, err
}

func (h *purges) preview(c *fiber.Ctx) error {
	q, err := bindPurge(c)
	if err != nil {
		return err
	}
	report, err := h.purger.Preview(c.UserContext(), q)
	return sendPurge(c, report, err)
}

func (h *purges) run(c *fiber.Ctx) error {
	q, err := bindPurge(c)
	if err != nil {
		return err
	}
	report, err := h.purger.Run(c.UserContext(), q)
	return sendPurge(c, report, err)
}

// purgeItem is one thing that goes, or is kept.
type purgeItem struct {
	Kind         string `json:"kind"`
	ID           string `json:"id"`
	ExperimentID string `json:"experiment_id"`
	Name         string `json:"name,omitempty"`
	ArtifactURI  string `json:"artifact_uri,omitempty"`
	DeletedMS    int64  `json:"deletion_timestamp"`
	Files        int    `json:"files"`
	Bytes        int64  `json:"bytes"`
	AtLeast      bool   `json:"at_least,omitempty"`
	Kept         string `json:"kept_because,omitempty"`
}

type purgedJSON struct {
	Items []purgeItem `json:"items"`
	Files int         `json:"files"`
	Bytes int64       `json:"bytes"`
	More  bool        `json:"more"`
}

func sendPurge(c *fiber.Ctx, report purge.Report, err error) error {
	if err != nil {
		return err
	}
	items := make([]purgeItem, len(report.Items))
	for i, d := range report.Items {
		items[i] = purgeItem{string(d.Kind), d.ID, d.ExperimentID, d.Name, d.ArtifactURI, d.DeletedMS, d.Files, d.Bytes, d.AtLeast, d.Kept}
	}
	return wire.Send(c, purgedJSON{items, report.Files, report.Bytes, report.More})
}
