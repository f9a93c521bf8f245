package main

import (
	"net/http/httptest"
	"testing"

	"github.com/gofiber/fiber/v2"
)

func TestDoubledSlashesAreMerged(t *testing.T) {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, StrictRouting: true})
	app.Get("/a/b", func(c *fiber.Ctx) error { return c.SendString("b") })
	app.Use(mergeSlashes)
	cases := map[string]struct {
		status   int
		location string
	}{
		"/a/b":             {200, ""},
		"//a//b":           {308, "/a/b"},
		"///a/b?x=1%2F//2": {308, "/a/b?x=1%2F//2"},
		"//evil.example/x": {308, "/evil.example/x"}, // a path, not another host
		"/a%2F%2Fb//c":     {308, "/a%2F%2Fb/c"},
		"/none":            {404, ""},

		// What a browser would take for another host.
		`/\evil.example//x`: {404, ""},
	}
	for target, c := range cases {
		req := httptest.NewRequest("GET", "/", nil)
		req.RequestURI, req.URL.Opaque = target, target
		res, err := app.Test(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != c.status || res.Header.Get("Location") != c.location {
			t.Errorf("%s: got %d %q, want %d %q", target, res.StatusCode, res.Header.Get("Location"), c.status, c.location)
		}
	}
}
