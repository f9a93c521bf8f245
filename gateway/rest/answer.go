package rest

import (
	"cmp"
	"errors"
	"strconv"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// endpointAnswer is an endpoint as it is answered: Databricks' ServingEndpointDetailed with our own fields beside.
type endpointAnswer struct {
	Name            string            `json:"name"`
	ID              string            `json:"id"`
	Description     string            `json:"description,omitempty"`
	Creator         string            `json:"creator"`
	CreatedMS       int64             `json:"creation_timestamp"`
	UpdatedMS       int64             `json:"last_updated_timestamp"`
	State           stateAnswer       `json:"state"`
	Config          configAnswer      `json:"config"`
	Pending         *configAnswer     `json:"pending_config,omitempty"`
	Tags            []tagAnswer       `json:"tags"`
	RateLimits      []rateLimitAnswer `json:"rate_limits,omitempty"`
	EndpointURL     string            `json:"endpoint_url"`
	PermissionLevel string            `json:"permission_level"`
	RouteOptimized  bool              `json:"route_optimized"`
	Implicit        bool              `json:"implicit"`         // ours: it follows from a version in Production
	Reason          string            `json:"reason,omitempty"` // ours: why it is not ready or not updated
}

type stateAnswer struct {
	Ready        string `json:"ready"`
	ConfigUpdate string `json:"config_update"`
}

type tagAnswer struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type configAnswer struct {
	ServedEntities []entityAnswer `json:"served_entities"`
	ServedModels   []modelAnswer  `json:"served_models"`
	Traffic        trafficAnswer  `json:"traffic_config"`
	ConfigVersion  int64          `json:"config_version"`
	StartMS        int64          `json:"start_time,omitempty"` // of a pending configuration
	settingsAnswer
}

type trafficAnswer struct {
	Routes []routeAnswer `json:"routes"`
}

type routeAnswer struct {
	ServedModelName  string         `json:"served_model_name"`
	ServedEntityName string         `json:"served_entity_name"`
	Percentage       gateway.Weight `json:"traffic_percentage"`
}

// servedAnswer is what both spellings of a served entity share.
type servedAnswer struct {
	Name         string           `json:"name"`
	WorkloadSize string           `json:"workload_size,omitempty"`
	WorkloadType string           `json:"workload_type"`
	ScaleToZero  bool             `json:"scale_to_zero_enabled"`
	Creator      string           `json:"creator"`
	CreatedMS    int64            `json:"creation_timestamp"`
	State        deploymentAnswer `json:"state"`

	Stage    string         `json:"entity_stage,omitempty"`       // ours: the stage that it follows
	Alias    string         `json:"entity_alias,omitempty"`       // ours: the alias that it follows
	Serving  string         `json:"serving_version,omitempty"`    // ours: the version that answers now
	InEffect gateway.Weight `json:"traffic_percentage_in_effect"` // ours: its share now
	Stale    bool           `json:"stale"`                        // ours: it keeps the last version of an empty stage or alias
	Reason   string         `json:"reason,omitempty"`             // ours: why it is stale, empty, loading or failed

	Backend    string `json:"backend"`               // ours: what must execute the version: auto, onnx or python
	BatchMode  string `json:"batching_mode"`         // ours: when predictions are joined: auto, always or never
	ServedBy   string `json:"served_by,omitempty"`   // ours: what executes the version that answers now
	ServedNote string `json:"served_note,omitempty"` // ours: why it is not ONNX

	Batching *batchingAnswer `json:"batching,omitempty"` // ours: of the version that answers now
}

type entityAnswer struct {
	servedAnswer
	Model   string `json:"entity_name"`
	Version string `json:"entity_version,omitempty"` // the number that it resolves to
}

type modelAnswer struct {
	servedAnswer
	Model   string `json:"model_name"`
	Version string `json:"model_version,omitempty"`
}

type deploymentAnswer struct {
	Deployment string `json:"deployment"`
	Message    string `json:"deployment_state_message"`
}

// describe joins what is desired with what is.
func describe(e gateway.Endpoint, live gateway.State) endpointAnswer {
	a := endpointAnswer{
		Name: e.Name, ID: e.Name, Description: e.Description, Creator: e.Creator, CreatedMS: e.CreatedMS, UpdatedMS: e.UpdatedMS,
		State:  stateAnswer{Ready: "NOT_READY", ConfigUpdate: updates[live.Update]},
		Config: describeConfig(e, live), Tags: describeTags(e.Tags), RateLimits: describeRateLimits(e.Config.RateLimits),
		EndpointURL: invocationsPath(e.Name), PermissionLevel: "CAN_MANAGE", Implicit: e.Implicit, Reason: live.Reason,
	}
	if live.Ready {
		a.State.Ready = "READY"
	}
	if live.Update == gateway.InProgress {
		pending := a.Config
		pending.StartMS = e.UpdatedMS
		a.Pending = &pending
	}
	return a
}

var updates = map[gateway.Update]string{
	gateway.NotUpdating: "NOT_UPDATING", gateway.InProgress: "IN_PROGRESS", gateway.UpdateFailed: "UPDATE_FAILED",
}

var deployments = map[gateway.Deployment]string{
	gateway.Creating: "DEPLOYMENT_CREATING", gateway.Serving: "DEPLOYMENT_READY",
	gateway.LoadFailed: "DEPLOYMENT_FAILED", gateway.Empty: "DEPLOYMENT_ABORTED",
}

func describeTags(tags []gateway.Tag) []tagAnswer {
	out := make([]tagAnswer, len(tags))
	for i, t := range tags {
		out[i] = tagAnswer(t)
	}
	return out
}

func describeConfig(e gateway.Endpoint, live gateway.State) configAnswer {
	c := configAnswer{
		ServedEntities: make([]entityAnswer, 0, len(e.Config.ServedEntities)), ServedModels: make([]modelAnswer, 0, len(e.Config.ServedEntities)),
		Traffic: trafficAnswer{Routes: make([]routeAnswer, 0, len(e.Config.ServedEntities))}, ConfigVersion: e.ConfigVersion, settingsAnswer: describeSettings(&e.Config),
	}
	for _, entity := range e.Config.ServedEntities {
		arm, _ := live.Arm(entity.Name)
		s := describeEntity(e, entity, arm)
		version := number(arm.Want)
		c.ServedEntities = append(c.ServedEntities, entityAnswer{s, entity.Model, version})
		c.ServedModels = append(c.ServedModels, modelAnswer{s, entity.Model, version})
		c.Traffic.Routes = append(c.Traffic.Routes, routeAnswer{entity.Name, entity.Name, entity.Weight})
	}
	return c
}

func describeEntity(e gateway.Endpoint, entity gateway.ServedEntity, arm gateway.ArmState) servedAnswer {
	return servedAnswer{
		Name: entity.Name, WorkloadSize: entity.WorkloadSize, WorkloadType: "CPU", ScaleToZero: entity.ScaleToZero,
		Creator: e.Creator, CreatedMS: e.UpdatedMS, State: describeDeployment(arm),
		Stage: entity.Target.Stage, Alias: entity.Target.Alias, Serving: number(arm.Serving), InEffect: arm.Weight, Stale: arm.Stale, Reason: arm.Reason,
		Backend: cmp.Or(entity.Backend, "auto"), BatchMode: cmp.Or(entity.Batching, "auto"), ServedBy: arm.ServedBy, ServedNote: arm.ServedNote,
	}
}

func describeDeployment(arm gateway.ArmState) deploymentAnswer {
	if arm.Down != "" && arm.State == gateway.Serving {
		return deploymentAnswer{"DEPLOYMENT_RECOVERING", arm.Message()}
	}
	return deploymentAnswer{deployments[arm.State], arm.Message()}
}

// number is the version's digits; "" for none.
func number(version int) string {
	if version == 0 {
		return ""
	}
	return strconv.Itoa(version)
}

// plain is the message of an error without its code.
func plain(err error) string {
	var e *mlflow.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// behind returns the state of an endpoint that no plan has looked at in this configuration: old is what the last plan said, res what the
// entities mean.
func behind(e gateway.Endpoint, old gateway.State, res []gateway.Resolution) gateway.State {
	s := gateway.State{ConfigVersion: e.ConfigVersion, CreatedMS: e.CreatedMS, Ready: old.Ready, Update: gateway.InProgress, Reason: "the configuration is being applied"}
	for i, entity := range e.Config.ServedEntities {
		a := gateway.ArmState{Name: entity.Name, Model: entity.Model, Want: res[i].Version, Stale: res[i].Stale, Reason: res[i].Reason, State: gateway.Creating}
		if a.Want == 0 {
			a.State = gateway.Empty
		}
		s.Arms = append(s.Arms, a)
	}
	return s
}
