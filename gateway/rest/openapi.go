package rest

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/url"
	"reflect"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/openapi"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Example is the creation of an endpoint with every part in use, as the README and the OpenAPI document show it.
//
//go:embed example.json
var Example []byte

// The bodies of requests that handlers read field by field, and the answers that hold one thing.
type (
	createBody struct {
		Name        string            `json:"name"`
		Description string            `json:"description"`
		Tags        []tagAnswer       `json:"tags"`
		RateLimits  []rateLimitAnswer `json:"rate_limits"`
		Config      configAnswer      `json:"config"`
	}
	tagsChange struct {
		Add    []tagAnswer `json:"add_tags"`
		Delete []string    `json:"delete_tags"`
	}
	startBody struct {
		Version json.RawMessage `json:"version"` // a number, a stage, @alias
		Arm     string          `json:"served_entity_name"`
		rolloutAnswer
	}
	promoteBody struct {
		Full bool `json:"full"`
		Step *int `json:"step"`
	}
	nothing        struct{}
	rateLimitsBody struct {
		RateLimits []rateLimitAnswer `json:"rate_limits"`
	}
	tagsBody struct {
		Tags []tagAnswer `json:"tags"`
	}
	endpointsBody struct {
		Endpoints []endpointAnswer `json:"endpoints"`
	}
	deploymentsBody struct {
		Endpoints []deploymentEndpoint `json:"endpoints"`
	}
	rolloutsBody struct {
		Rollouts []rolloutStatus `json:"rollouts"`
	}
	eventsBody struct {
		Events []eventAnswer `json:"events"`
	}
	logsBody struct {
		Logs string `json:"logs"`
	}
)

// docs describes the routes for the OpenAPI document, by wire.Key.
func docs() map[string]wire.Doc {
	const one = base + "/:name"
	endpoint, rollout, deployment := reflect.TypeFor[endpointAnswer](), reflect.TypeFor[rolloutStatus](), reflect.TypeFor[deploymentEndpoint]()
	endpoints, rollouts, logs := reflect.TypeFor[endpointsBody](), reflect.TypeFor[rolloutsBody](), reflect.TypeFor[logsBody]()
	create := wire.Doc{Takes: reflect.TypeFor[createBody](), Answers: endpoint, Example: Example}
	history := wire.Doc{Answers: rollouts, Query: []string{"max_results"}}
	return map[string]wire.Doc{
		wire.Key("GET", base):                                    {Answers: endpoints},
		wire.Key("GET", base+"/"):                                {Answers: endpoints},
		wire.Key("POST", base):                                   create,
		wire.Key("POST", base+"/"):                               create,
		wire.Key("GET", one):                                     {Answers: endpoint},
		wire.Key("DELETE", one):                                  {Answers: reflect.TypeFor[nothing]()},
		wire.Key("PUT", one+"/config"):                           {Takes: reflect.TypeFor[configAnswer](), Answers: endpoint},
		wire.Key("PUT", one+"/rate-limits"):                      {Takes: reflect.TypeFor[rateLimitsBody](), Answers: reflect.TypeFor[rateLimitsBody]()},
		wire.Key("PATCH", one+"/tags"):                           {Takes: reflect.TypeFor[tagsChange](), Answers: reflect.TypeFor[tagsBody]()},
		wire.Key("GET", one+"/metrics"):                          {Media: []string{"text/plain"}},
		wire.Key("GET", one+"/events"):                           {Answers: reflect.TypeFor[eventsBody](), Query: []string{"max_results"}},
		wire.Key("GET", one+"/served-models/:served/logs"):       {Answers: logs},
		wire.Key("GET", one+"/served-models/:served/build-logs"): {Answers: logs},
		wire.Key("POST", one+"/ground-truth"):                    {Takes: reflect.TypeFor[truthBody](), Answers: reflect.TypeFor[truthAnswer]()},
		wire.Key("GET", one+"/drift"):                            {Answers: reflect.TypeFor[driftBody]()},
		wire.Key("GET", one+"/quality"):                          {Answers: reflect.TypeFor[qualityBody]()},
		wire.Key("POST", one+"/rollout"):                         {Takes: reflect.TypeFor[startBody](), Answers: rollout},
		wire.Key("GET", one+"/rollout"):                          {Answers: rollout},
		wire.Key("POST", one+"/rollout/promote"):                 {Takes: reflect.TypeFor[promoteBody](), Answers: rollout},
		wire.Key("POST", one+"/rollout/abort"):                   {Takes: reflect.TypeFor[nothing](), Answers: rollout},
		wire.Key("GET", one+"/rollouts"):                         history,
		wire.Key("GET", "/api/2.0/sluice/rollouts"):              history,
		wire.Key("GET", "/api/2.0/endpoints"):                    {Answers: reflect.TypeFor[deploymentsBody]()},
		wire.Key("GET", "/api/2.0/endpoints/:name"):              {Answers: deployment},
		wire.Key("GET", "/ready"):                                {Answers: reflect.TypeFor[readyAnswer](), Query: []string{"endpoint"}},
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
