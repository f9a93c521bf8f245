package registry

import (
	"bytes"
	"encoding/json"
	"strconv"

	"sluice/tracking/mlflow"
)

// Subject is what a webhook is told of a change beyond its Event.
type Subject struct {
	Value       string // of the tag that was set
	Source      string // of the version that was created
	RunID       string // of the version that was created; "" means none
	Description string // of what was created
	Tags        []Tag  // of what was created
}

// Tags of prompts that MLflow keeps to itself (source: mlflow/prompt/constants.py).
const promptTypeTag = "_mlflow_prompt_type"

// payload is the "data" of a message; fields are encoded in the order in which they were added.
type payload struct {
	buf bytes.Buffer
	err error
}

func (p *payload) add(key string, value any) *payload {
	if p.err != nil {
		return p
	}
	sep := byte(',')
	if p.buf.Len() == 0 {
		sep = '{'
	}
	p.buf.WriteByte(sep)
	p.buf.WriteString(strconv.Quote(key))
	p.buf.WriteByte(':')
	enc := json.NewEncoder(&p.buf)
	enc.SetEscapeHTML(false)
	p.err = enc.Encode(value)
	p.buf.Truncate(p.buf.Len() - 1) // the encoder's line feed
	return p
}

func (p *payload) text() (string, error) {
	return p.buf.String() + "}", p.err
}

// Announce returns what webhooks are told of a change: MLflow's event and its payload, JSON. ok is false for changes that MLflow has
// no event for (source: mlflow/server/handlers.py and mlflow/webhooks/types.py, MLflow 3.17).
func Announce(e Event, about Subject) (event WebhookEvent, data string, ok bool, err error) {
	var p payload
	version := strconv.Itoa(e.Version)
	p.add("name", e.Model)
	switch e.Kind {
	case ModelCreated:
		event = twin(e, "registered_model", "prompt", "created")
		p.add("tags", saidTags(about.Tags, e.Prompt)).add("description", about.Description)
	case VersionCreated:
		event = twin(e, "model_version", "prompt_version", "created")
		p.add("version", version)
		if e.Prompt {
			p.add("template", promptText(about.Tags))
		} else {
			p.add("source", about.Source).add("run_id", orNull(about.RunID))
		}
		p.add("tags", saidTags(about.Tags, e.Prompt)).add("description", orNull(about.Description))
	case VersionTagSet:
		event = twin(e, "model_version_tag", "prompt_version_tag", "set")
		p.add("version", version).add("key", e.Key).add("value", about.Value)
	case VersionTagDeleted:
		event = twin(e, "model_version_tag", "prompt_version_tag", "deleted")
		p.add("version", version).add("key", e.Key)
	case AliasSet:
		event = twin(e, "model_version_alias", "prompt_alias", "created")
		p.add("alias", e.Alias).add("version", version)
	case AliasDeleted:
		event = twin(e, "model_version_alias", "prompt_alias", "deleted")
		p.add("alias", e.Alias)
	case ModelTagSet:
		event = twin(e, "", "prompt_tag", "set")
		p.add("key", e.Key).add("value", about.Value)
	case ModelTagDeleted:
		event = twin(e, "", "prompt_tag", "deleted")
		p.add("key", e.Key)
	}
	if event.Entity == "" {
		return WebhookEvent{}, "", false, nil
	}
	data, err = p.text()
	return event, data, true, err
}

func twin(e Event, model, prompt, action string) WebhookEvent {
	if e.Prompt {
		return WebhookEvent{prompt, action}
	}
	return WebhookEvent{model, action}
}

// saidTags are the tags that a message shows: of prompts not those that make them prompts.
func saidTags(tags []Tag, prompt bool) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		if prompt && (t.Key == PromptTag || t.Key == promptTypeTag || t.Key == promptTextTag) {
			continue
		}
		out[t.Key] = t.Value
	}
	return out
}

func promptText(tags []Tag) *string {
	for _, t := range tags {
		if t.Key == promptTextTag {
			return &t.Value
		}
	}
	return nil
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// ExamplePayload returns the payload of a trial delivery, JSON: MLflow's example for the event.
func ExamplePayload(event WebhookEvent) (string, error) {
	prompt := len(event.Entity) >= 6 && event.Entity[:6] == "prompt"
	e := Event{Model: "example_model", Version: 1, Key: "example_key", Alias: "example_alias", Prompt: prompt}
	about := Subject{
		Value: "example_value", Source: "models:/123", RunID: "abcd1234abcd5678", Tags: []Tag{{"example_key", "example_value"}},
		Description: exampleDescriptions[event.Entity],
	}
	if prompt {
		e.Model = "example_prompt"
		about.Tags = append(about.Tags, Tag{promptTextTag, "Hello {{name}}!"})
	}
	for _, e.Kind = range []EventKind{ModelCreated, VersionCreated, VersionTagSet, VersionTagDeleted, AliasSet, AliasDeleted, ModelTagSet, ModelTagDeleted} {
		said, data, ok, err := Announce(e, about)
		if err != nil || ok && said == event {
			return data, err
		}
	}
	if event.Entity == "budget_policy" {
		return exampleBudget, nil
	}
	return "", mlflow.Invalidf("Unknown event type: %s", event)
}

var exampleDescriptions = map[string]string{
	"registered_model": "An example registered model", "model_version": "An example model version",
	"prompt": "An example prompt", "prompt_version": "An example prompt version",
}

const exampleBudget = `{"budget_policy_id":"bp-abc123","budget_unit":"USD","budget_amount":100.0,"current_spend":105.5,"duration_unit":"MONTHS",` +
	`"duration_value":1,"target_scope":"ENDPOINT","workspace":"default","target_value":"ep-abc123","window_start":1704067200000}`
