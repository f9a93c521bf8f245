package rest

import (
	"context"
	_ "embed"
	"net/url"
	"reflect"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/openapi"
	"sluice/tracking/mlflow"
)

// Example is the creation of an endpoint with every part in use, as the README and the OpenAPI document show it.
//
//go:embed example.json
var Example []byte

// createBody, configBody, rateLimitsBody, tagsBody and listBody are requests and answers as the OpenAPI document describes them.
type (
	createBody struct {
		Name        string            `json:"name"`
		Description string            `json:"description"`
		Tags        []tagAnswer       `json:"tags"`
		RateLimits  []rateLimitAnswer `json:"rate_limits"`
		Config      configAnswer      `json:"config"`
	}
	rateLimitsBody struct {
		RateLimits []rateLimitAnswer `json:"rate_limits"`
	}
	tagsBody struct {
		Add    []tagAnswer `json:"add_tags"`
		Delete []string    `json:"delete_tags"`
	}
	listBody struct {
		Endpoints []endpointAnswer `json:"endpoints"`
	}
	rolloutsBody struct {
		Rollouts []rolloutStatus `json:"rollouts"`
	}
	eventsBody struct {
		Events []eventAnswer `json:"events"`
	}
)

// Bodies describes the requests and answers of endpoints, by openapi.Key.
func Bodies() map[string]openapi.Body {
	endpoint := reflect.TypeFor[endpointAnswer]()
	create := openapi.Body{Request: reflect.TypeFor[createBody](), Response: endpoint, Example: Example}
	return map[string]openapi.Body{
		openapi.Key("GET", base):                        {Response: reflect.TypeFor[listBody]()},
		openapi.Key("GET", base+"/"):                    {Response: reflect.TypeFor[listBody]()},
		openapi.Key("POST", base):                       create,
		openapi.Key("POST", base+"/"):                   create,
		openapi.Key("GET", base+"/:name"):               {Response: endpoint},
		openapi.Key("PUT", base+"/:name/config"):        {Request: reflect.TypeFor[configAnswer](), Response: endpoint},
		openapi.Key("PUT", base+"/:name/rate-limits"):   {Request: reflect.TypeFor[rateLimitsBody](), Response: reflect.TypeFor[rateLimitsBody]()},
		openapi.Key("PATCH", base+"/:name/tags"):        {Request: reflect.TypeFor[tagsBody]()},
		openapi.Key("GET", base+"/:name/events"):        {Response: reflect.TypeFor[eventsBody](), Query: []string{"max_results"}},
		openapi.Key("POST", base+"/:name/ground-truth"): {Request: reflect.TypeFor[truthBody](), Response: reflect.TypeFor[truthAnswer]()},
		openapi.Key("GET", base+"/:name/drift"):         {Response: reflect.TypeFor[driftBody]()},
		openapi.Key("GET", base+"/:name/quality"):       {Response: reflect.TypeFor[qualityBody]()},
		openapi.Key("GET", base+"/:name/rollouts"):      {Response: reflect.TypeFor[rolloutsBody](), Query: []string{"max_results"}},
		openapi.Key("GET", "/api/2.0/sluice/rollouts"):  {Response: reflect.TypeFor[rolloutsBody](), Query: []string{"max_results"}},
		openapi.Key("GET", "/ready"):                    {Response: reflect.TypeFor[readyAnswer](), Query: []string{"endpoint"}},
	}
}

// openAPI answers the document of one endpoint's predictions, by the signature of the version with the most traffic.
func (h *Handler) openAPI(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	model, version := h.busiest(e.Name)
	if version == 0 {
		return mlflow.Errorf(mlflow.TemporarilyUnavailable, "No version of endpoint %q answers.", e.Name)
	}
	if h.deps.Signature == nil {
		return mlflow.Errorf(mlflow.NotImplemented, "Signatures are not known here.")
	}
	ctx, cancel = context.WithTimeout(ctx, requestTimeout/3)
	defer cancel()
	sig, err := h.deps.Signature(ctx, model, version)
	if err != nil {
		return mlflow.Errorf(mlflow.TemporarilyUnavailable, "Version %d of registered model %q is not loaded at present.", version, model)
	}
	doc, err := openapi.Endpoint(number(version), e.Name, "/serving-endpoints/"+url.PathEscape(e.Name)+"/invocations", sig)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(doc)
}

// busiest is the version that answers most of an endpoint's requests; 0 if none does.
func (h *Handler) busiest(endpoint string) (model string, version int) {
	s, _ := h.deps.Live.State(endpoint)
	most := -1
	for _, a := range s.Arms {
		if a.Serving > 0 && int(a.Weight) > most {
			most, model, version = int(a.Weight), a.Model, a.Serving
		}
	}
	return model, version
}
