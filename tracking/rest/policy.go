package rest

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/wire"
)

// script runs in MLflow's page before MLflow's own, which is changed in two ways.
//
// Choices that its UI keeps in the browser are set where the user has not chosen: the assistant, which is not here, stays closed, and the
// registry pages show stages (measured on MLflow 3.17.2).
//
// An HTML artifact is shown in a sandboxed frame, with its scripts running. MLflow gives the frame a blob: URL, whose document would stand
// under the policy of the page, so that either the page had to allow every script or the artifact could have none. The frame gets the page
// /artifact-frame instead, which has a policy of its own and asks for the document.
const script = `(function(){try{var d={` +
	`"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1":"true",` +
	`"mlflow.assistant.panelOpen_v1":"false",` +
	`"_mlflow_user_setting_dismiss_next_model_registry_ui":"true"};` +
	`for(var k in d)if(localStorage.getItem(k)===null)localStorage.setItem(k,d[k])}catch(e){}` +
	`var docs=new Map(),make=URL.createObjectURL,end=URL.revokeObjectURL,set=Element.prototype.setAttribute;` +
	`URL.createObjectURL=function(b){var u=make.call(URL,b);if(b instanceof Blob&&b.type.indexOf("text/html")===0)docs.set(u,b);return u};` +
	`URL.revokeObjectURL=function(u){docs.delete(u);return end.call(URL,u)};` +
	`HTMLIFrameElement.prototype.setAttribute=function(n,v){` +
	`if(String(n).toLowerCase()==="src"&&docs.has(String(v)))v="artifact-frame#"+encodeURIComponent(v);return set.call(this,n,v)};` +
	`addEventListener("message",function(e){var b=e.data&&docs.get(e.data.sluiceArtifact);` +
	`if(b&&e.source)b.text().then(function(t){e.source.postMessage(t,"*")})})})()`

// uiPolicy is the policy of MLflow's page: its own scripts alone, no plug-ins, no connection to anybody else. Descriptions may show pictures
// from elsewhere, and an experiment without traces shows MLflow's own film of them, from MLflow's own site.
var uiPolicy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' '" + hashOf(script) + "'; worker-src 'self' blob:; " +
	"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: https:; font-src 'self' data:; media-src 'self' data: blob: https://mlflow.org; " +
	"connect-src 'self' data: blob:; frame-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"

// frame is the page in which an HTML artifact is shown. It waits for the document from the page around it.
const frame = `<!doctype html><meta charset="utf-8"><title>Artifact</title><script>` +
	`addEventListener("message",function(e){if(e.source!==parent)return;document.open();document.write(e.data);document.close()});` +
	`parent.postMessage({sluiceArtifact:decodeURIComponent(location.hash.slice(1))},"*")</script>`

// framePolicy lets an artifact do what it likes in its frame, where it has an origin of its own, but reach nobody's API: plots may load their
// library and pictures from elsewhere.
const framePolicy = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob: data: https:; worker-src blob:; " +
	"style-src 'unsafe-inline' data: https:; img-src data: blob: https:; font-src data: https:; media-src data: blob: https:; connect-src data: blob:; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'self'"

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// pageHeaders are what every page of the UI says about itself.
func pageHeaders(c *fiber.Ctx, policy string) {
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
	c.Set(fiber.HeaderXFrameOptions, "SAMEORIGIN")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
}

func frameRoute() wire.Route {
	return wire.Route{Method: fiber.MethodGet, Path: "/artifact-frame", Permission: wire.Public, Audit: "tracking.ui.frame", Handler: func(c *fiber.Ctx) error {
		pageHeaders(c, framePolicy)
		c.Set(fiber.HeaderCacheControl, "no-cache")
		return c.SendString(frame)
	}}
}
