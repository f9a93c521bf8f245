package rest

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/export"
	"sluice/tracking/mlflow"
)

// parameters of a query; all may be left out.
var parameters = []string{
	"endpoint", "model_name", "model_version", "arm", "status_code", "shadow", "min_latency_ms", "max_latency_ms", "from", "to", "databricks_request_id",
	"client_request_id", "key", "order", "limit", "page_token", "format",
}

// query is a request as it was asked.
type query struct {
	export.Request
	format export.Format
	byID   bool
	id     [16]byte
	paged  bool // goes on from a page
}

// parse reads the query string. Unknown parameters, repeated ones and values that cannot be meant are errors.
func parse(c *fiber.Ctx) (query, error) {
	values, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		return query{}, mlflow.Invalidf("The query string is malformed.")
	}
	for name, all := range values {
		if !slices.Contains(parameters, name) {
			return query{}, mlflow.Invalidf("Unknown parameter %q; there are %s.", clip(name), strings.Join(parameters, ", "))
		}
		if len(all) > 1 {
			return query{}, mlflow.Invalidf("Parameter %q is given more than once.", name)
		}
	}
	return parseValues(values, c.Get(fiber.HeaderAccept))
}

func parseValues(values url.Values, accept string) (query, error) {
	p := parser{values: values}
	q := query{format: p.format(accept)}
	q.Query = predictions.Query{
		Endpoint: p.text("endpoint"), Model: p.text("model_name"), Version: int(p.number("model_version", 1, 1<<31-1)), Arm: p.text("arm"),
		Shadow: p.flag("shadow"), From: p.time("from"), To: p.time("to"), ClientID: p.text("client_request_id"), Newest: p.newest(),
		Key: p.text("key"), MinLatency: p.milliseconds("min_latency_ms"), MaxLatency: p.milliseconds("max_latency_ms"),
	}
	q.Query.MinStatus, q.Query.MaxStatus = p.status()
	if text := p.text("databricks_request_id"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			p.refuse("databricks_request_id", "a UUID")
		}
		q.id, q.byID = id, true
	}
	q.Limit = int(p.number("limit", 1, 1<<31-1))
	if q.format == export.JSON {
		if q.Limit > MaxLimit {
			p.refuse("limit", fmt.Sprintf("at most %d for JSON", MaxLimit))
		}
		if q.Limit == 0 {
			q.Limit = DefaultLimit
		}
	}
	if !q.Query.From.IsZero() && !q.Query.To.IsZero() && !q.Query.From.Before(q.Query.To) {
		p.refuse("to", "after from")
	}
	if low, high := q.Query.MinLatency, q.Query.MaxLatency; high != 0 && low > high {
		p.refuse("max_latency_ms", "min_latency_ms or more")
	}
	if q.Query.Key != "" && q.Query.Endpoint == "" {
		p.refuse("key", "with endpoint, whose ground_truth.key says which column it stands in")
	}
	order := values.Get("order")
	key := fingerprint(values, order)
	if text := p.text("page_token"); text != "" {
		q.paged = true
		if err := q.goOn(text, key); err != nil {
			p.refuse("page_token", "the next_page_token of an answer to the same query")
		}
	}
	q.Token = token(key)
	q.Follow = token(fingerprint(values, ""))
	return q, p.err
}

func token(key string) func(predictions.Position) string {
	return func(at predictions.Position) string {
		return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "1.%d.%d.%s", at.Seq, at.Row, key))
	}
}

// goOn reads a token of a page.
func (q *query) goOn(token, key string) error {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return err
	}
	parts := strings.Split(string(text), ".")
	if len(parts) != 4 || parts[0] != "1" || parts[3] != key {
		return strconv.ErrSyntax
	}
	seq, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || seq < 0 {
		return strconv.ErrSyntax
	}
	row, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || row < 0 {
		return strconv.ErrSyntax
	}
	q.After = predictions.Position{Seq: seq, Row: row}
	return nil
}

// fingerprint tells queries apart by what they ask for, whatever the pages.
func fingerprint(values url.Values, order string) string {
	if order == "oldest" {
		order = ""
	}
	h := fnv.New64a()
	for _, name := range parameters {
		if name != "page_token" && name != "limit" && name != "format" && name != "order" {
			fmt.Fprintf(h, "%s=%q;", name, values.Get(name))
		}
	}
	fmt.Fprintf(h, "order=%q;", order)
	return strconv.FormatUint(h.Sum64(), 36)
}

// parser reads parameters; err is the first that cannot be meant.
type parser struct {
	values url.Values
	err    error
}

func (p *parser) refuse(name, want string) {
	if p.err == nil {
		p.err = mlflow.Invalidf("%s: %q is not possible; it must be %s.", name, clip(p.values.Get(name)), want)
	}
}

func (p *parser) text(name string) string {
	text := p.values.Get(name)
	if text == "" && p.values.Has(name) {
		p.refuse(name, "left out or not empty")
	}
	return text
}

func (p *parser) number(name string, low, high int64) int64 {
	text := p.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		p.refuse(name, fmt.Sprintf("a number from %d to %d", low, high))
	}
	return n
}

func (p *parser) flag(name string) *bool {
	switch text := p.text(name); text {
	case "":
		return nil
	case "true", "false":
		v := text == "true"
		return &v
	}
	p.refuse(name, "true or false")
	return nil
}

// time reads ms since the epoch or RFC 3339.
func (p *parser) time(name string) time.Time {
	text := p.text(name)
	if text == "" {
		return time.Time{}
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 && ms < 1<<43 {
		return time.UnixMilli(ms)
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		p.refuse(name, "a time in ms since 1970 or as RFC 3339 has it, 2026-11-23T21:00:00Z")
	}
	return t
}

// milliseconds reads a time above 0 and up to a day, which may have a fraction.
func (p *parser) milliseconds(name string) time.Duration {
	text := p.text(name)
	if text == "" {
		return 0
	}
	ms, err := strconv.ParseFloat(text, 64)
	d := time.Duration(ms * float64(time.Millisecond))
	if err != nil || !(ms > 0 && ms <= 86_400_000) || d == 0 {
		p.refuse(name, "a number of ms above 0, a day's at most")
		return 0
	}
	return d
}

// status reads a code, a class (5xx) or a range (400-499).
func (p *parser) status() (low, high int) {
	text := p.text("status_code")
	if text == "" {
		return 0, 0
	}
	from, to, _ := strings.Cut(text, "-")
	if class, ok := strings.CutSuffix(text, "xx"); ok {
		from, to = class+"00", class+"99"
	} else if to == "" {
		to = from
	}
	low, errLow := strconv.Atoi(from)
	high, errHigh := strconv.Atoi(to)
	if errLow != nil || errHigh != nil || low < 100 || high > 599 || low > high {
		p.refuse("status_code", "a code, a class or a range: 503, 5xx, 400-499")
	}
	return low, high
}

func (p *parser) newest() bool {
	switch p.text("order") {
	case "", "oldest":
		return false
	case "newest":
		return true
	}
	p.refuse("order", "oldest or newest (first)")
	return false
}

// format takes the parameter, else the first content type of Accept that there is, else JSON.
func (p *parser) format(accept string) export.Format {
	if text := p.text("format"); text != "" {
		if f := export.Format(text); slices.Contains(export.Formats(), f) {
			return f
		}
		p.refuse("format", "json, jsonl, csv, arrow or parquet")
		return export.JSON
	}
	for part := range strings.SplitSeq(accept, ",") {
		if media, _, err := mime.ParseMediaType(part); err == nil {
			if f, ok := export.OfMediaType(media); ok {
				return f
			}
		}
	}
	return export.JSON
}

// clip shortens what a client sent for an error's text.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
