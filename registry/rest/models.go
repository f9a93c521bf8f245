package rest

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"sluice/registry"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// model is a registered model as MLflow's clients read it. Empty lists and an empty description are left out.
type model struct {
	Name        string    `json:"name"`
	CreatedMS   int64     `json:"creation_timestamp"`
	UpdatedMS   int64     `json:"last_updated_timestamp,omitempty"`
	Description string    `json:"description,omitempty"`
	Latest      []version `json:"latest_versions,omitempty"`
	Tags        []tag     `json:"tags,omitempty"`
	Aliases     []alias   `json:"aliases,omitempty"`
}

type alias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

func modelOut(m registry.Model) model {
	out := model{Name: m.Name, CreatedMS: m.CreatedMS, UpdatedMS: m.UpdatedMS, Description: m.Description, Tags: tagsOut(m.Tags), Latest: versionsOut(m.Latest)}
	for _, a := range m.Aliases {
		out.Aliases = append(out.Aliases, alias{a.Name, strconv.Itoa(a.Version)})
	}
	return out
}

type modelAnswer struct {
	Model model `json:"registered_model"`
}

type modelsAnswer struct {
	Models        []model `json:"registered_models,omitempty"`
	NextPageToken string  `json:"next_page_token,omitempty"`
}

func (h *handlers) createModel(c *fiber.Ctx) error {
	var in struct {
		Name        string `json:"name" wire:"required"`
		Tags        []tag  `json:"tags"`
		Description string `json:"description"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	m, err := h.service.CreateModel(c.UserContext(), registry.ModelSpec{Name: in.Name, Description: in.Description, Tags: tagsIn(in.Tags)})
	return sendModel(c, m, err)
}

func sendModel(c *fiber.Ctx, m registry.Model, err error) error {
	if err != nil {
		return err
	}
	return wire.Send(c, modelAnswer{modelOut(m)})
}

func (h *handlers) renameModel(c *fiber.Ctx) error {
	var in struct {
		Name    string `json:"name" wire:"required"`
		NewName string `json:"new_name" wire:"required"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	m, err := h.service.RenameModel(c.UserContext(), in.Name, in.NewName)
	return sendModel(c, m, err)
}

func (h *handlers) updateModel(c *fiber.Ctx) error {
	var in struct {
		Name        string `json:"name" wire:"required"`
		Description string `json:"description"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	m, err := h.service.SetModelDescription(c.UserContext(), in.Name, in.Description)
	return sendModel(c, m, err)
}

func (h *handlers) deleteModel(c *fiber.Ctx) error {
	var in struct {
		Name  string `json:"name" wire:"required"`
		Force bool   `json:"force"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	force, err := forced(c, in.Force)
	if err != nil {
		return err
	}
	return empty(c, h.service.DeleteModel(c.UserContext(), in.Name, force))
}

func (h *handlers) getModel(c *fiber.Ctx) error {
	var in struct {
		Name string `json:"name" wire:"required"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	m, err := h.service.Model(c.UserContext(), in.Name)
	return sendModel(c, m, err)
}

func (h *handlers) searchModels(c *fiber.Ctx) error {
	q, err := bindSearch(c, mlflow.SearchModelsMax)
	if err != nil {
		return err
	}
	page, err := h.service.SearchModels(c.UserContext(), q)
	if err != nil {
		return err
	}
	out := modelsAnswer{NextPageToken: page.NextPageToken}
	for _, m := range page.Models {
		out.Models = append(out.Models, modelOut(m))
	}
	return wire.Send(c, out)
}

func (h *handlers) setModelTag(c *fiber.Ctx) error {
	var in struct {
		Name  string `json:"name" wire:"required"`
		Key   string `json:"key" wire:"required"`
		Value string `json:"value"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	return empty(c, h.service.SetModelTag(c.UserContext(), in.Name, registry.Tag{Key: in.Key, Value: in.Value}))
}

func (h *handlers) deleteModelTag(c *fiber.Ctx) error {
	var in struct {
		Name string `json:"name" wire:"required"`
		Key  string `json:"key" wire:"required"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	return empty(c, h.service.DeleteModelTag(c.UserContext(), in.Name, in.Key))
}

func empty(c *fiber.Ctx, err error) error {
	if err != nil {
		return err
	}
	return wire.Empty(c)
}
