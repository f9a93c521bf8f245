package tracking

import (
	"encoding/json"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// preview returns the short text that lists of traces show for inputs or outputs, "" for none: of a chat the last message of the
// role, else the JSON itself, cut to MaxTracePreview characters (source: mlflow/tracing/utils/truncation.py).
func preview(raw, role string) string {
	if raw == "" {
		return ""
	}
	text := raw
	var value any
	if json.Unmarshal([]byte(raw), &value) == nil {
		if content := lastMessage(value, role); content != "" {
			text = content
		}
	}
	if utf8.RuneCountInString(text) <= MaxTracePreview {
		return text
	}
	return mlflow.Truncate(text, MaxTracePreview-3) + "..."
}

// lastMessage returns the text of the last message with the role, else of the last message, "" if the value is no chat.
func lastMessage(value any, role string) string {
	messages := messagesOf(value)
	if len(messages) == 0 {
		return ""
	}
	last := messages[len(messages)-1]
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i]["role"] == role {
			last = messages[i]
			break
		}
	}
	return contentText(last["content"])
}

// messagesOf finds the messages in the shapes of chat completions and responses, requests and answers.
func messagesOf(value any) []map[string]any {
	for range 8 { // a request within a request, at most so often
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		if choices, ok := object["choices"].([]any); ok && len(choices) > 0 {
			if choice, ok := choices[0].(map[string]any); ok && isMessage(choice["message"]) {
				return []map[string]any{choice["message"].(map[string]any)}
			}
		}
		for _, key := range []string{"messages", "input", "output"} {
			if list, ok := object[key].([]any); ok && len(list) > 0 {
				return onlyMessages(list)
			}
		}
		value = object["request"]
	}
	return nil
}

func isMessage(value any) bool {
	object, ok := value.(map[string]any)
	if !ok {
		return false
	}
	_, role := object["role"]
	_, content := object["content"]
	return role && content
}

func onlyMessages(list []any) []map[string]any {
	var out []map[string]any
	for _, item := range list {
		if isMessage(item) {
			out = append(out, item.(map[string]any))
		}
	}
	return out
}

func contentText(content any) string {
	if text, ok := content.(string); ok {
		return text
	}
	parts, _ := content.([]any)
	for _, part := range parts {
		switch p := part.(type) {
		case string:
			return p
		case map[string]any:
			if kind := p["type"]; kind == "text" || kind == "output_text" {
				text, _ := p["text"].(string)
				return text
			}
		}
	}
	return ""
}
