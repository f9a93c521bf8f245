package outbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"sluice/registry"
)

// Headers of a message (source: mlflow/webhooks/constants.py).
const (
	HeaderSignature  = "X-MLflow-Signature"
	HeaderDeliveryID = "X-MLflow-Delivery-Id"
	HeaderTimestamp  = "X-MLflow-Timestamp"
)

// maxAnswer is how much of an answer is read, bytes.
const maxAnswer = 64 << 10

// maxAnswerHead bounds the head of an answer, bytes.
const maxAnswerHead = 64 << 10

// SenderOptions are the settings of a Sender; the zero value works.
type SenderOptions struct {
	// Guard decides which addresses may be called; nil allows public https alone.
	Guard *Guard
	// Sealer opens secrets; without one, webhooks that have a secret are not called.
	Sealer registry.Sealer
	// Timeout bounds an attempt, from the name's resolution to the answer's last byte; default 30 s.
	Timeout time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// NewID makes ids of trial deliveries; required for Try.
	NewID func() string
}

// Sender makes attempts. It follows no redirect, uses no proxy and keeps no connection. Safe for concurrent use.
type Sender struct {
	opts   SenderOptions
	client *http.Client
}

// NewSender returns a Sender.
func NewSender(opts SenderOptions) (*Sender, error) {
	if opts.Guard == nil {
		guard, err := NewGuard(nil)
		if err != nil {
			return nil, err
		}
		opts.Guard = guard
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	client := &http.Client{
		Timeout:       opts.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: opts.Guard.dial, DisableKeepAlives: true, DisableCompression: true, TLSHandshakeTimeout: dialTimeout,
			MaxResponseHeaderBytes: maxAnswerHead, ForceAttemptHTTP2: false,
		},
	}
	return &Sender{opts, client}, nil
}

// Timeout is the most time that an attempt takes.
func (s *Sender) Timeout() time.Duration { return s.opts.Timeout }

// answer is what a receiver said.
type answer struct {
	status     int
	retryAfter string
	body       string // its beginning
}

// message is one attempt.
type message struct {
	id      string
	event   registry.WebhookEvent
	timeMS  int64
	payload string
}

// ErrSecret is why a signed delivery did not leave: its secret cannot be read with the key of this server.
var ErrSecret = errors.New("the webhook's secret cannot be read with this server's key (--webhook-secret-key); set the secret again")

// post makes one attempt. Errors match ErrRefused and ErrSecret, or are the network's.
func (s *Sender) post(ctx context.Context, w registry.Webhook, m message) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if err := s.opts.Guard.CheckURL(ctx, w.URL); err != nil {
		return answer{}, err
	}
	req, err := s.request(ctx, w, m)
	if err != nil {
		return answer{}, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	// What follows the status does not decide: a receiver that breaks off behind it has the message.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return answer{res.StatusCode, res.Header.Get("Retry-After"), string(bytes.ToValidUTF8(body, []byte("\uFFFD")))}, nil
}

func (s *Sender) request(ctx context.Context, w registry.Webhook, m message) (*http.Request, error) {
	body, err := encode(m)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	at := strconv.FormatInt(s.opts.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	req.Header[HeaderDeliveryID] = []string{m.id} // spelled as MLflow does, not in Go's canonical form
	req.Header[HeaderTimestamp] = []string{at}
	if w.SealedSecret == "" {
		return req, nil
	}
	if s.opts.Sealer == nil {
		return nil, ErrSecret
	}
	secret, err := s.opts.Sealer.Open(w.SealedSecret)
	if err != nil {
		return nil, ErrSecret
	}
	req.Header[HeaderSignature] = []string{sign(secret, m.id, at, body)}
	return req, nil
}

func encode(m message) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Entity    string          `json:"entity"`
		Action    string          `json:"action"`
		Timestamp string          `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{m.event.Entity, m.event.Action, time.UnixMilli(m.timeMS).UTC().Format("2006-01-02T15:04:05.000000-07:00"), json.RawMessage(m.payload)})
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// sign returns the signature of a message.
func sign(secret, id, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Try makes one trial delivery of MLflow's example for the event. A receiver that answers 2xx passes.
func (s *Sender) Try(ctx context.Context, w registry.Webhook, event registry.WebhookEvent) (registry.Trial, error) {
	payload, err := registry.ExamplePayload(event)
	if err != nil {
		return registry.Trial{}, err
	}
	got, err := s.post(ctx, w, message{s.opts.NewID(), event, s.opts.Now().UnixMilli(), payload})
	if err != nil {
		return registry.Trial{Error: "Failed to test webhook: " + err.Error()}, nil
	}
	return registry.Trial{OK: got.status < 300, Status: got.status, Body: got.body}, nil
}
