package rest_test

import (
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/runtime/servable"
	"sluice/tracking/sqldb/sqldbtest"
)

// addPrediction mounts stand-ins for the data plane, which answer as it does.
func (s *server) addPrediction() {
	answer := func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"predictions": []int{len(c.Params("name"))}}) }
	s.app.Post("/serving-endpoints/:name/invocations", answer)
	s.app.Post("/endpoints/:name/invocations", answer)
}

// TestDatabricksSDK drives the API with the real client.
func TestDatabricksSDK(t *testing.T) {
	s := newServer(t)
	s.addPrediction()
	s.register(map[string][]string{"wine": {"Production", "Staging", "None"}})
	s.loader.breakVersion(servable.ID{Model: "wine", Version: 3}, "not an ONNX file")
	got := sqldbtest.Python(t, `
import sys
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, OperationFailed, ResourceAlreadyExists
from databricks.sdk.service.serving import (EndpointCoreConfigInput, EndpointStateConfigUpdate, EndpointStateReady, EndpointTag, Route,
    ServedEntityInput, ServedModelInput, ServedModelStateDeployment, TrafficConfig)

w = WorkspaceClient(host=sys.argv[1], token="t")
se = w.serving_endpoints
assert [e.name for e in se.list()] == ["wine"], "the implicit endpoint"

entity = lambda version, name=None: ServedEntityInput(entity_name="wine", entity_version=version, name=name, workload_size="Small", scale_to_zero_enabled=True)
made = se.create_and_wait("split", config=EndpointCoreConfigInput(name="split",
    served_entities=[entity("Production"), entity("2", "canary")],
    traffic_config=TrafficConfig(routes=[Route(served_model_name="wine-Production", traffic_percentage=90),
                                         Route(served_entity_name="canary", traffic_percentage=10)])),
    tags=[EndpointTag("team", "cellar")])
assert made.state.ready == EndpointStateReady.READY, made.state
assert made.state.config_update == EndpointStateConfigUpdate.NOT_UPDATING
assert made.tags == [EndpointTag("team", "cellar")]

got = se.get("split")
assert [(e.name, e.entity_name, e.entity_version, e.workload_size, e.scale_to_zero_enabled, e.state.deployment) for e in got.config.served_entities] == [
    ("wine-Production", "wine", "1", "Small", True, ServedModelStateDeployment.DEPLOYMENT_READY),
    ("canary", "wine", "2", "Small", True, ServedModelStateDeployment.DEPLOYMENT_READY)], got.config
assert [(r.served_model_name, r.traffic_percentage) for r in got.config.traffic_config.routes] == [("wine-Production", 90), ("canary", 10)]
assert got.config.config_version == 1 and got.creation_timestamp > 0 and got.creator == "ann"
assert got.config.served_models[1].model_version == "2"

moved = se.update_config_and_wait("split", served_entities=[entity("Production"), entity("2", "canary")],
    traffic_config=TrafficConfig(routes=[Route(33.5, served_model_name="wine-Production"), Route(66.5, served_model_name="canary")]))
assert [r.traffic_percentage for r in moved.config.traffic_config.routes] == [33.5, 66.5], moved.config.traffic_config
assert moved.config.config_version == 2

old = se.update_config_and_wait("split", served_models=[ServedModelInput(scale_to_zero_enabled=False, model_name="wine", model_version="2", workload_size="Large")])
assert old.config.served_entities[0].entity_version == "2" and old.config.traffic_config.routes[0].traffic_percentage == 100

try:
    se.update_config_and_wait("split", served_entities=[entity("3")])
    raise AssertionError("a version that cannot be loaded was applied")
except OperationFailed:
    failed = se.get("split")
    assert failed.state.ready == EndpointStateReady.READY, "the old version serves on"
    assert "not an ONNX file" in failed.config.served_entities[0].state.deployment_state_message

for error, call in [
    (ResourceAlreadyExists, lambda: se.create("split", config=EndpointCoreConfigInput(name="split", served_entities=[entity("1")]))),
    (BadRequest, lambda: se.update_config("split", served_entities=[entity("1")], traffic_config=TrafficConfig(routes=[Route(90, served_model_name="wine-1")]))),
    (NotFound, lambda: se.update_config("split", served_entities=[entity("99")])),
    (NotFound, lambda: se.get("nobody")),
    (BadRequest, lambda: se.delete("wine")),
]:
    try:
        call()
        raise AssertionError(f"no {error}")
    except error as e:
        assert str(e), "a message"

assert [(t.key, t.value) for t in se.patch("split", add_tags=[EndpointTag("b", "2")], delete_tags=["team"]).tags] == [("b", "2")]
assert 'endpoint="split"' in se.export_metrics("split").contents.read().decode()
assert se.query("split", dataframe_records=[{"a": 1}]).predictions == [5]
se.delete("split")
assert [e.name for e in se.list()] == ["wine"]
print("done")
`, s.listen())
	if got != "done" {
		t.Errorf("got %q", got)
	}
}

// TestDeploymentClients drives the API with MLflow's own deployment clients.
func TestDeploymentClients(t *testing.T) {
	s := newServer(t)
	s.addPrediction()
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	got := sqldbtest.Python(t, `
import os, sys, warnings
warnings.simplefilter("ignore")
os.environ.update(DATABRICKS_HOST=sys.argv[1], DATABRICKS_TOKEN="t")
from mlflow.deployments import get_deploy_client

c = get_deploy_client("databricks")
served = {"entity_name": "wine", "entity_version": "1", "workload_size": "Small", "scale_to_zero_enabled": True}
made = c.create_endpoint(config={"name": "e", "config": {"served_entities": [served]}})
assert made.name == "e", made
c.create_endpoint(name="legacy", config={"served_entities": [served], "tags": [{"key": "a", "value": "b"}]})
assert sorted(e["name"] for e in c.list_endpoints()) == ["e", "legacy", "wine"]
got = c.get_endpoint("e")
assert got.config["served_entities"][0]["entity_version"] == "1", got

config = dict(got.config)
config["served_entities"].append({"name": "two", "entity_name": "wine", "entity_version": "2"})
config["traffic_config"]["routes"][0]["traffic_percentage"] = 75
config["traffic_config"]["routes"].append({"served_model_name": "two", "traffic_percentage": 25})
del config["served_models"]
assert c.update_endpoint_config("e", config).config["config_version"] == 2, "an answer's config can be edited and sent back"
c.update_endpoint("e", {"served_models": [{"model_name": "wine", "model_version": "2"}]})
assert c.update_endpoint_tags("e", {"add_tags": [{"key": "p", "value": "t"}]}) == {"tags": [{"key": "p", "value": "t"}]}
assert c.predict(endpoint="e", inputs={"dataframe_split": {}}) == {"predictions": [1]}
for refused in (lambda: c.update_endpoint_ai_gateway("e", {}),):
    try:
        refused()
        raise AssertionError("not refused")
    except Exception as e:
        assert "Not supported here" in str(e), e
c.delete_endpoint("e")
c.delete_endpoint("legacy")
assert [e["name"] for e in c.list_endpoints()] == ["wine"]

h = get_deploy_client(sys.argv[1])
assert [(e.name, e.model.name, e.endpoint_url) for e in h.list_endpoints()] == [("wine", "wine", sys.argv[1] + "/endpoints/wine/invocations")]
assert h.get_endpoint("wine").name == "wine"
assert h.predict(endpoint="wine", inputs={"inputs": [1]}) == {"predictions": [4]}
print("done")
`, s.listen())
	if got != "done" {
		t.Errorf("got %q", got)
	}
}
