package rest

import (
	"github.com/gofiber/fiber/v2"

	"sluice/registry"
	"sluice/tracking/wire"
)

func (h *handlers) setAlias(c *fiber.Ctx) error {
	var in struct {
		Name    string `json:"name" wire:"required"`
		Alias   string `json:"alias" wire:"required"`
		Version string `json:"version" wire:"required"`
		// From is our own: the version that the alias must mean ("0": it must not be there), else 409.
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
		return empty(c, h.service.SetAliasFrom(c.UserContext(), in.Name, in.Alias, n, from))
	}
	return empty(c, h.service.SetAlias(c.UserContext(), in.Name, in.Alias, n))
}

func (h *handlers) deleteAlias(c *fiber.Ctx) error {
	var in struct {
		Name  string `json:"name" wire:"required"`
		Alias string `json:"alias" wire:"required"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	return empty(c, h.service.DeleteAlias(c.UserContext(), in.Name, in.Alias))
}

func (h *handlers) versionByAlias(c *fiber.Ctx) error {
	var in struct {
		Name  string `json:"name" wire:"required"`
		Alias string `json:"alias" wire:"required"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	v, err := h.service.VersionByAlias(c.UserContext(), in.Name, in.Alias)
	return sendVersion(c, v, err)
}
