package auth_test

import (
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/tracking/wire"
)

// hotPath returns a function that sends one request with a known key through the guard and the authority.
func hotPath(t testing.TB, authorization func(key string) string) func() {
	store := openStoreTB(t)
	k, text, err := auth.NewKey("ann", []wire.Permission{wire.Predict}, zeros{}, time.Now())
	if err == nil {
		err = store.CreateKey(t.Context(), k)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.NewAuthority(t.Context(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	guard, err := auth.Guard(auth.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	require := a.Require(wire.Route{Method: "POST", Path: "/invocations", Permission: wire.Predict, Audit: "predict.rows.score"})
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Use(guard)
	app.Post("/invocations", require, func(c *fiber.Ctx) error { return nil })
	serve := app.Handler()
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/invocations")
	ctx.Request.Header.SetHost("127.0.0.1:5000")
	ctx.Request.Header.Set("Authorization", authorization(text))
	return func() {
		ctx.Response.Reset()
		serve(&ctx)
		if ctx.Response.StatusCode() != 200 {
			t.Fatalf("got %d", ctx.Response.StatusCode())
		}
	}
}

func bearer(key string) string    { return "Bearer " + key }
func basicName(key string) string { return basic("mlflow", key) }

func TestHotPathAllocatesNothing(t *testing.T) {
	for name, f := range map[string]func(string) string{"bearer": bearer, "basic": basicName} {
		send := hotPath(t, f)
		send()
		if n := testing.AllocsPerRun(200, send); n > 0 {
			t.Errorf("%s: %v allocations a request, want 0", name, n)
		}
	}
}

func BenchmarkRequire(b *testing.B) {
	for name, f := range map[string]func(string) string{"bearer": bearer, "basic": basicName} {
		b.Run(name, func(b *testing.B) {
			send := hotPath(b, f)
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
		})
	}
}
