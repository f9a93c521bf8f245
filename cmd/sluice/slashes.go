package main

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
)

// mergeSlashes sends a request whose path has doubled slashes, and that no route took, to the path without them, as MLflow's server does:
// clients with a slash at the end of their tracking URI write such paths. The answer keeps method, body and query.
func mergeSlashes(c *fiber.Ctx) error {
	path := bytes.Clone(c.Request().URI().PathOriginal())
	if !bytes.Contains(path, []byte("//")) || path[0] != '/' || bytes.ContainsFunc(path, misread) {
		return c.Next()
	}
	for bytes.Contains(path, []byte("//")) {
		path = bytes.ReplaceAll(path, []byte("//"), []byte("/"))
	}
	if query := c.Request().URI().QueryString(); len(query) > 0 {
		path = append(append(path, '?'), query...)
	}
	return c.Redirect(string(path), fiber.StatusPermanentRedirect)
}

// misread says whether browsers read r as something else, so that what is a path here could be another host there: they take a backslash
// for a slash, and leave out tabs.
func misread(r rune) bool { return r == '\\' || r <= ' ' || r == 0x7f }
