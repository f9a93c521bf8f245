package bundle

import "slices"

// Class is what an owner is: everything in a bundle belongs to one.
type Class string

// The classes of owners.
const (
	ClassExperiment Class = "experiment"
	ClassRun        Class = "run"
	ClassModel      Class = "logged_model"
	ClassTrace      Class = "trace"
	ClassRegistered Class = "registered_model"
	ClassVersion    Class = "model_version"
)

// Type is the type of a column's values in a Row: string, int64, float64 or bool.
type Type int

// The types.
const (
	Text Type = iota
	Int
	Float
	Bool
)

// Column is a column that bundles carry.
type Column struct {
	Name string
	Type Type
	// Max is the most characters of a Text; 0 means bounded by the row alone.
	Max  int
	Null bool // null is allowed
	// Enum are the values that a Text may have; nil means any.
	Enum []string
	// ID says that the Text becomes a segment of a path.
	ID bool
	// Default stands for a column that the source's older schema lacks; nil is null.
	Default any
}

// Table is one of MLflow's tables, named as MLflow names it (source: the schema of MLflow 3.17.2).
type Table struct {
	Name    string
	Columns []Column
	// Of is what the rows belong to, By the columns of its id. A table without By has rows that its Service finds the owner of.
	Of Class
	By []string
	// Defines says that a row is the owner itself.
	Defines bool
	// Refs are further columns that must name an owner of the bundle when they are not null.
	Refs map[string]Class
	// Registry says that registry's store keeps the table, not tracking's.
	Registry bool
}

// Column returns the place of a column in a Row, -1 if there is none.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// Row is one row: a string, int64, float64, bool or nil for each column of its Table.
type Row []any

// Text returns the value of a Text column, "" for null and for a column that the table lacks.
func (r Row) Text(t *Table, column string) string {
	if i := t.Column(column); i >= 0 {
		s, _ := r[i].(string)
		return s
	}
	return ""
}

// Int returns the value of an Int column, 0 for null and for a column that the table lacks.
func (r Row) Int(t *Table, column string) int64 {
	if i := t.Column(column); i >= 0 {
		n, _ := r[i].(int64)
		return n
	}
	return 0
}

func text(name string, max int) Column    { return Column{Name: name, Type: Text, Max: max} }
func maybe(name string, max int) Column   { return Column{Name: name, Type: Text, Max: max, Null: true} }
func id(name string, max int) Column      { return Column{Name: name, Type: Text, Max: max, ID: true} }
func integer(name string) Column          { return Column{Name: name, Type: Int} }
func maybeInt(name string) Column         { return Column{Name: name, Type: Int, Null: true} }
func number(name string) Column           { return Column{Name: name, Type: Float} }
func maybeNumber(name string) Column      { return Column{Name: name, Type: Float, Null: true} }
func boolean(name string) Column          { return Column{Name: name, Type: Bool} }
func (c Column) or(value any) Column      { c.Default = value; return c }
func (c Column) oneOf(v ...string) Column { c.Enum = v; return c }
func lifecycle() Column                   { return maybe("lifecycle_stage", 32).oneOf("active", "deleted") }
func costs(more ...Column) []Column {
	return append([]Column{maybeNumber("input_cost"), maybeNumber("output_cost"), maybeNumber("total_cost")}, more...)
}

// Tables returns every table of a bundle, in the order in which rows refer to each other.
func Tables() []*Table { return slices.Concat(trackingTables(), registryTables()) }

func trackingTables() []*Table {
	metric := []Column{text("key", 250), number("value"), integer("timestamp"), id("run_uuid", 32), integer("step"), boolean("is_nan")}
	latest := slices.Clone(metric)
	latest[2] = maybeInt("timestamp")
	return []*Table{
		{Name: "experiments", Of: ClassExperiment, By: []string{"experiment_id"}, Defines: true, Columns: []Column{
			integer("experiment_id"), text("name", 256), maybe("artifact_location", 256), lifecycle(), maybeInt("creation_time"), maybeInt("last_update_time")}},
		{Name: "runs", Of: ClassRun, By: []string{"run_uuid"}, Defines: true, Refs: map[string]Class{"experiment_id": ClassExperiment}, Columns: []Column{
			id("run_uuid", 32), maybe("name", 250), maybe("source_type", 20).oneOf("NOTEBOOK", "JOB", "LOCAL", "UNKNOWN", "PROJECT"), maybe("source_name", 500),
			maybe("entry_point_name", 50), maybe("user_id", 256), maybe("status", 9).oneOf("SCHEDULED", "FAILED", "FINISHED", "RUNNING", "KILLED"),
			maybeInt("start_time"), maybeInt("end_time"), maybe("source_version", 50), lifecycle(), maybe("artifact_uri", 200), integer("experiment_id"),
			maybeInt("deleted_time")}},
		{Name: "logged_models", Of: ClassModel, By: []string{"model_id"}, Defines: true, Refs: map[string]Class{"experiment_id": ClassExperiment}, Columns: []Column{
			id("model_id", 36), integer("experiment_id"), text("name", 500), text("artifact_location", 1000), integer("creation_timestamp_ms"),
			integer("last_updated_timestamp_ms"), integer("status"), lifecycle(), maybe("model_type", 500), maybe("source_run_id", 32), maybe("status_message", 1000)}},
		{Name: "trace_info", Of: ClassTrace, By: []string{"request_id"}, Defines: true, Refs: map[string]Class{"experiment_id": ClassExperiment}, Columns: append([]Column{
			id("request_id", 50), integer("experiment_id"), integer("timestamp_ms"), maybeInt("execution_time_ms"), text("status", 50),
			maybe("client_request_id", 50), maybe("request_preview", 1000), maybe("response_preview", 1000), integer("db_payload_generation").or(int64(0)),
			maybe("trace_name", 4096), maybe("session_id", 250), maybeInt("input_tokens"), maybeInt("output_tokens"), maybeInt("total_tokens"),
			maybeInt("cache_read_input_tokens"), maybeInt("cache_creation_input_tokens"), maybeInt("cache_creation_input_tokens_above_1hr")}, costs()...)},
		{Name: "experiment_tags", Of: ClassExperiment, By: []string{"experiment_id"}, Columns: []Column{text("key", 250), maybe("value", 0), integer("experiment_id")}},
		{Name: "params", Of: ClassRun, By: []string{"run_uuid"}, Columns: []Column{text("key", 250), text("value", 8000), id("run_uuid", 32)}},
		{Name: "tags", Of: ClassRun, By: []string{"run_uuid"}, Columns: []Column{text("key", 250), maybe("value", 8000), id("run_uuid", 32)}},
		{Name: "metrics", Of: ClassRun, By: []string{"run_uuid"}, Columns: metric},
		{Name: "latest_metrics", Of: ClassRun, By: []string{"run_uuid"}, Columns: latest},
		{Name: "datasets", Of: ClassExperiment, By: []string{"experiment_id"}, Columns: []Column{
			text("dataset_uuid", 36), integer("experiment_id"), text("name", 500), text("digest", 36), text("dataset_source_type", 36),
			text("dataset_source", 0), maybe("dataset_schema", 0), maybe("dataset_profile", 0)}},
		{Name: "inputs", Columns: []Column{
			text("input_uuid", 36), text("source_type", 36).oneOf("DATASET", "RUN_INPUT", "RUN_OUTPUT"), text("source_id", 36),
			text("destination_type", 36).oneOf("RUN", "MODEL_INPUT", "MODEL_OUTPUT"), text("destination_id", 36), integer("step").or(int64(0))}},
		{Name: "input_tags", Columns: []Column{text("input_uuid", 36), text("name", 255), text("value", 500)}},
		{Name: "logged_model_params", Of: ClassModel, By: []string{"model_id"}, Refs: map[string]Class{"experiment_id": ClassExperiment}, Columns: []Column{
			id("model_id", 36), integer("experiment_id"), text("param_key", 255), text("param_value", 0)}},
		{Name: "logged_model_tags", Of: ClassModel, By: []string{"model_id"}, Refs: map[string]Class{"experiment_id": ClassExperiment}, Columns: []Column{
			id("model_id", 36), integer("experiment_id"), text("tag_key", 255), text("tag_value", 0)}},
		{Name: "logged_model_metrics", Of: ClassModel, By: []string{"model_id"}, Refs: map[string]Class{"experiment_id": ClassExperiment, "run_id": ClassRun}, Columns: []Column{
			id("model_id", 36), text("metric_name", 500), integer("metric_timestamp_ms"), integer("metric_step"), maybeNumber("metric_value"),
			integer("experiment_id"), id("run_id", 32), maybe("dataset_uuid", 36), maybe("dataset_name", 500), maybe("dataset_digest", 36)}},
		{Name: "trace_tags", Of: ClassTrace, By: []string{"request_id"}, Columns: []Column{text("key", 250), maybe("value", 8000), id("request_id", 50)}},
		{Name: "trace_request_metadata", Of: ClassTrace, By: []string{"request_id"}, Columns: []Column{text("key", 250), maybe("value", 8000), id("request_id", 50)}},
		{Name: "trace_metrics", Of: ClassTrace, By: []string{"request_id"}, Columns: []Column{id("request_id", 50), text("key", 250), maybeNumber("value")}},
		{Name: "spans", Of: ClassTrace, By: []string{"trace_id"}, Refs: map[string]Class{"experiment_id": ClassExperiment}, Columns: append([]Column{
			id("trace_id", 50), integer("experiment_id"), text("span_id", 50), maybe("parent_span_id", 50), maybe("name", 0), maybe("type", 500),
			text("status", 50), integer("start_time_unix_nano"), maybeInt("end_time_unix_nano"), text("content", 0)},
			costs(maybe("model_name", 500), maybe("model_provider", 500))...)},
		{Name: "span_metrics", Of: ClassTrace, By: []string{"trace_id"}, Columns: []Column{id("trace_id", 50), text("span_id", 50), text("key", 250), maybeNumber("value")}},
		{Name: "assessments", Of: ClassTrace, By: []string{"trace_id"}, Columns: []Column{
			text("assessment_id", 50), id("trace_id", 50), text("name", 250), text("assessment_type", 20), text("value", 0), maybe("error", 0),
			integer("created_timestamp"), integer("last_updated_timestamp"), text("source_type", 50), maybe("source_id", 250), maybe("run_id", 32),
			maybe("span_id", 50), maybe("rationale", 0), maybe("overrides", 50), boolean("valid"), maybe("assessment_metadata", 0),
			maybeInt("experiment_id"), maybeInt("trace_timestamp_ms"), maybeNumber("aggregate_value"), boolean("is_numeric_value").or(false)}},
		{Name: "entity_associations", Columns: []Column{
			text("association_id", 36), text("source_type", 36).oneOf("trace"), text("source_id", 36), text("destination_type", 36).oneOf("run"),
			text("destination_id", 36), maybeInt("created_time")}},
	}
}

func registryTables() []*Table {
	return []*Table{
		{Name: "registered_models", Registry: true, Of: ClassRegistered, By: []string{"name"}, Defines: true, Columns: []Column{
			text("name", 256), maybeInt("creation_time"), maybeInt("last_updated_time"), maybe("description", 5000)}},
		{Name: "model_versions", Registry: true, Of: ClassVersion, By: []string{"name", "version"}, Defines: true, Refs: map[string]Class{"name": ClassRegistered}, Columns: []Column{
			text("name", 256), integer("version"), maybeInt("creation_time"), maybeInt("last_updated_time"), maybe("description", 5000), maybe("user_id", 256),
			maybe("current_stage", 20).oneOf("None", "Staging", "Production", "Archived"), maybe("source", 500), maybe("run_id", 32), maybe("status", 20).oneOf("PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY"),
			maybe("status_message", 500), maybe("run_link", 500), maybe("storage_location", 500)}},
		{Name: "registered_model_tags", Registry: true, Of: ClassRegistered, By: []string{"name"}, Columns: []Column{text("key", 250), maybe("value", 5000), text("name", 256)}},
		{Name: "model_version_tags", Registry: true, Of: ClassVersion, By: []string{"name", "version"}, Columns: []Column{text("key", 250), maybe("value", 100_000), text("name", 256), integer("version")}},
		{Name: "registered_model_aliases", Registry: true, Of: ClassVersion, By: []string{"name", "version"}, Columns: []Column{text("alias", 256), integer("version"), text("name", 256)}},
	}
}
