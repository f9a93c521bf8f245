package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/truth"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Truth is the slice of truth.Service that the control API needs.
type Truth interface {
	Submit(ctx context.Context, endpoint string, items []truth.Item) ([]truth.Result, error)
	Quality(endpoint string) []truth.Report
}

const (
	maxTruthBody = 16 << 20 // bytes of a batch
	truthTimeout = 60 * time.Second
)

// truthRoutes are the rows of ground truth; none where nobody takes it in.
func (h *Handler) truthRoutes() []wire.Route {
	if h.deps.Truth == nil {
		return nil
	}
	const one = base + "/:name"
	return []wire.Route{
		{Method: "POST", Path: one + "/ground-truth", Permission: wire.Write, Audit: "gateway.ground_truth.add", Handler: h.addTruth},
		{Method: "GET", Path: one + "/quality", Permission: wire.Read, Audit: "gateway.quality.get", Handler: h.quality},
	}
}

type (
	// truthBody is {"items": […]}, or one item.
	truthBody struct {
		Items []itemBody `json:"items,omitempty"`
		itemBody
	}
	// itemBody names a prediction by exactly one of its ids, and says what it should have been: a value, or a list with one for each row.
	itemBody struct {
		PredictionID string          `json:"prediction_id,omitempty"`
		ClientID     string          `json:"client_request_id,omitempty"`
		Key          json.RawMessage `json:"key,omitempty"` // a text or a number
		Row          *int            `json:"row,omitempty"`
		GroundTruth  json.RawMessage `json:"ground_truth"`
	}
	truthAnswer struct {
		Outcomes map[truth.Outcome]int `json:"outcomes"`
		Items    []truthItemAnswer     `json:"items"` // in the order of the request
	}
	truthItemAnswer struct {
		Outcome      truth.Outcome `json:"outcome"`
		Reason       string        `json:"reason,omitempty"`
		PredictionID string        `json:"prediction_id,omitempty"`
		Model        string        `json:"model_name,omitempty"`
		Version      string        `json:"model_version,omitempty"`
	}
	qualityBody struct {
		Versions []qualityAnswer `json:"versions"`
	}
	qualityAnswer struct {
		Model   string        `json:"model_name"`
		Version string        `json:"model_version"`
		Window  truth.Quality `json:"window"` // of the labels that came lately (--quality-window)
		Total   truth.Quality `json:"total"`  // of all that are kept
	}
)

// item is the body as truth takes it; what is wrong with it is said by an error.
func (b *itemBody) item() (truth.Item, error) {
	var i truth.Item
	named := 0
	for kind, text := range map[truth.KeyKind]string{truth.ByPrediction: b.PredictionID, truth.ByRequest: b.ClientID, truth.ByKey: b.key()} {
		if text != "" {
			i.Key = truth.Key{Kind: kind, Text: text}
			named++
		}
	}
	if named != 1 {
		return i, fmt.Errorf("it needs exactly one of prediction_id, client_request_id, key")
	}
	i.Row = truth.AllRows
	if list := bytes.TrimSpace(b.GroundTruth); len(list) > 0 && list[0] == '[' {
		if b.Row != nil {
			return i, fmt.Errorf("row and a list of values exclude each other")
		}
		return i, json.Unmarshal(list, &i.Values)
	}
	if i.Values = []json.RawMessage{b.GroundTruth}; b.Row != nil {
		i.Row = max(*b.Row, truth.AllRows-1)
		if i.Row < 0 {
			return i, fmt.Errorf("row %d is negative", *b.Row)
		}
	}
	return i, nil
}

// key is the key's text; a number's is written as the log's values are.
func (b *itemBody) key() string {
	if v, ok := truth.ParseValue(b.Key); ok && v.Kind == truth.Whole {
		return string(bytes.TrimSpace(b.Key)) // beyond 2^53, too
	} else if ok {
		return v.Name()
	}
	return ""
}

// addTruth answers each item's outcome; a single item's is the answer's status, too.
func (h *Handler) addTruth(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), truthTimeout)
	defer cancel()
	name, err := wire.Param(c, "name")
	if err != nil {
		return err
	}
	raw, err := wire.Body(c, maxTruthBody)
	if err != nil {
		return err
	}
	var body truthBody
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return mlflow.Invalidf("the request body is not {\"items\": [{…}]}, or one item: %s", err)
	}
	single := body.Items == nil
	if single {
		body.Items = []itemBody{body.itemBody}
	}
	answer, err := h.submit(ctx, name, body.Items)
	if err != nil {
		return err
	}
	if single {
		if err := refusal(answer.Items[0]); err != nil {
			return err
		}
	}
	return wire.Send(c, answer)
}

// submit hands over the items that say something.
func (h *Handler) submit(ctx context.Context, endpoint string, bodies []itemBody) (truthAnswer, error) {
	answer := truthAnswer{Outcomes: map[truth.Outcome]int{}, Items: make([]truthItemAnswer, len(bodies))}
	var items []truth.Item
	var at []int
	for n := range bodies {
		item, err := bodies[n].item()
		if err != nil {
			answer.Items[n] = truthItemAnswer{Outcome: truth.Invalid, Reason: err.Error()}
			continue
		}
		items, at = append(items, item), append(at, n)
	}
	results, err := h.deps.Truth.Submit(ctx, endpoint, items)
	if err != nil {
		return answer, err
	}
	for n, r := range results {
		answer.Items[at[n]] = truthItemAnswer{r.Outcome, r.Reason, r.PredictionID, r.Model, number(r.Version)}
	}
	for _, item := range answer.Items {
		answer.Outcomes[item.Outcome]++
	}
	return answer, nil
}

// refusal is the error of a single item; nil if it was taken.
func refusal(a truthItemAnswer) error {
	codes := map[truth.Outcome]mlflow.Code{
		truth.Conflicting: mlflow.ResourceConflict, truth.Ambiguous: mlflow.ResourceConflict, truth.Unknown: mlflow.ResourceDoesNotExist,
		truth.TooLate: mlflow.InvalidParameterValue, truth.WithoutPrediction: mlflow.InvalidParameterValue, truth.Invalid: mlflow.InvalidParameterValue,
	}
	code, refused := codes[a.Outcome]
	if !refused {
		return nil
	}
	return &mlflow.Error{Code: code, Message: a.Reason, Details: map[string]any{"outcome": string(a.Outcome)}}
}

func (h *Handler) quality(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	out := qualityBody{Versions: []qualityAnswer{}}
	for _, r := range h.deps.Truth.Quality(e.Name) {
		out.Versions = append(out.Versions, qualityAnswer{r.Model, number(r.Version), r.Window, r.Total})
	}
	return wire.Send(c, out)
}
