package rest

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"sluice/registry"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// version is a model version as MLflow's clients read it. Fields without a value in the database are left out.
type version struct {
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	CreatedMS     int64    `json:"creation_timestamp"`
	UpdatedMS     int64    `json:"last_updated_timestamp"`
	UserID        *string  `json:"user_id,omitempty"`
	Stage         string   `json:"current_stage"`
	Description   *string  `json:"description,omitempty"`
	Source        string   `json:"source"`
	RunID         *string  `json:"run_id,omitempty"`
	Status        string   `json:"status"`
	StatusMessage string   `json:"status_message,omitempty"`
	Tags          []tag    `json:"tags,omitempty"`
	RunLink       *string  `json:"run_link,omitempty"`
	Aliases       []string `json:"aliases,omitempty"`
}

func versionOut(v registry.Version) version {
	return version{
		Name: v.Name, Version: strconv.Itoa(v.Version), CreatedMS: v.CreatedMS, UpdatedMS: v.UpdatedMS, UserID: v.UserID,
		Stage: string(v.Stage), Description: v.Description, Source: v.Source, RunID: v.RunID, Status: string(v.Status),
		StatusMessage: v.StatusMessage, Tags: tagsOut(v.Tags), RunLink: v.RunLink, Aliases: v.Aliases,
	}
}

func versionsOut(in []registry.Version) []version {
	out := make([]version, len(in))
	for i, v := range in {
		out[i] = versionOut(v)
	}
	return out
}

type versionAnswer struct {
	Version version `json:"model_version"`
}

type versionsAnswer struct {
	Versions      []version `json:"model_versions,omitempty"`
	NextPageToken string    `json:"next_page_token,omitempty"`
}

func sendVersion(c *fiber.Ctx, v registry.Version, err error) error {
	if err != nil {
		return err
	}
	return wire.Send(c, versionAnswer{versionOut(v)})
}

// place names one version.
type place struct {
	Name    string `json:"name" wire:"required"`
	Version string `json:"version" wire:"required"`
}

func (h *handlers) createVersion(c *fiber.Ctx) error {
	var in struct {
		Name        string  `json:"name" wire:"required"`
		Source      string  `json:"source" wire:"required"`
		RunID       *string `json:"run_id"`
		Tags        []tag   `json:"tags"`
		RunLink     string  `json:"run_link"`
		Description string  `json:"description"`
		ModelID     *string `json:"model_id"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	v, err := h.service.CreateVersion(c.UserContext(), registry.VersionSpec{
		Name: in.Name, Source: in.Source, RunID: in.RunID, ModelID: in.ModelID, RunLink: in.RunLink, Description: in.Description, Tags: tagsIn(in.Tags),
	})
	return sendVersion(c, v, err)
}

func (h *handlers) updateVersion(c *fiber.Ctx) error {
	var in struct {
		Name        string  `json:"name" wire:"required"`
		Version     string  `json:"version" wire:"required"`
		Description *string `json:"description"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if err != nil {
		return err
	}
	v, err := h.service.SetVersionDescription(c.UserContext(), in.Name, n, in.Description)
	return sendVersion(c, v, err)
}

func (h *handlers) deleteVersion(c *fiber.Ctx) error {
	var in struct {
		Name    string `json:"name" wire:"required"`
		Version string `json:"version" wire:"required"`
		Force   bool   `json:"force"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if err != nil {
		return err
	}
	force, err := forced(c, in.Force)
	if err != nil {
		return err
	}
	return empty(c, h.service.DeleteVersion(c.UserContext(), in.Name, n, force))
}

func (h *handlers) getVersion(c *fiber.Ctx) error {
	var in place
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if err != nil {
		return err
	}
	v, err := h.service.Version(c.UserContext(), in.Name, n)
	return sendVersion(c, v, err)
}

func (h *handlers) searchVersions(c *fiber.Ctx) error {
	q, err := bindSearch(c, mlflow.SearchVersionsMax)
	if err != nil {
		return err
	}
	page, err := h.service.SearchVersions(c.UserContext(), q)
	if err != nil {
		return err
	}
	return wire.Send(c, versionsAnswer{versionsOut(page.Versions), page.NextPageToken})
}

func (h *handlers) latestVersions(c *fiber.Ctx) error {
	var in struct {
		Name   string   `json:"name" wire:"required"`
		Stages []string `json:"stages"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	versions, err := h.service.LatestVersions(c.UserContext(), in.Name, in.Stages)
	if err != nil {
		return err
	}
	return wire.Send(c, versionsAnswer{Versions: versionsOut(versions)})
}

func (h *handlers) downloadURI(c *fiber.Ctx) error {
	var in struct { // MLflow names no field of this request as required
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if in.Name != "" && err != nil {
		return err
	}
	uri, err := h.service.DownloadURI(c.UserContext(), in.Name, n)
	if err != nil {
		return err
	}
	return wire.Send(c, struct {
		URI string `json:"artifact_uri"`
	}{uri})
}

// expected reads the version that a stage or alias must mean; "0" stands for none.
func expected(text string) (int, error) {
	if text == "0" {
		return 0, nil
	}
	n, err := registry.ParseVersion(text)
	if err != nil {
		return 0, mlflow.Invalidf("expected_version %q is neither a version number nor 0", text)
	}
	return n, nil
}

func (h *handlers) transitionStage(c *fiber.Ctx) error {
	var in struct {
		Name    string `json:"name" wire:"required"`
		Version string `json:"version" wire:"required"`
		Stage   string `json:"stage" wire:"required"`
		Archive bool   `json:"archive_existing_versions"`
		// From is our own: the version that must have the stage ("0": none may), else 409.
		From *string `json:"expected_version"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if err != nil {
		return err
	}
	if in.From != nil {
		from, err := expected(*in.From)
		if err != nil {
			return err
		}
		v, err := h.service.SetStageFrom(c.UserContext(), in.Name, n, in.Stage, in.Archive, from)
		return sendVersion(c, v, err)
	}
	v, err := h.service.SetStage(c.UserContext(), in.Name, n, in.Stage, in.Archive)
	return sendVersion(c, v, err)
}

func (h *handlers) setVersionTag(c *fiber.Ctx) error {
	var in struct {
		Name    string `json:"name" wire:"required"`
		Version string `json:"version" wire:"required"`
		Key     string `json:"key" wire:"required"`
		Value   string `json:"value"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if err != nil {
		return err
	}
	return empty(c, h.service.SetVersionTag(c.UserContext(), in.Name, n, registry.Tag{Key: in.Key, Value: in.Value}))
}

func (h *handlers) deleteVersionTag(c *fiber.Ctx) error {
	var in struct {
		Name    string `json:"name" wire:"required"`
		Version string `json:"version" wire:"required"`
		Key     string `json:"key" wire:"required"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := registry.ParseVersion(in.Version)
	if err != nil {
		return err
	}
	return empty(c, h.service.DeleteVersionTag(c.UserContext(), in.Name, n, in.Key))
}
