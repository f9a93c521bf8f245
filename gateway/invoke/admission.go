package invoke

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/admit"
	"sluice/tracking/mlflow"
)

// arrives is the length from which a body is asked for in pieces: so much the engine may have read already.
const arrives = 64 << 10

// arrive reads the body and lets the request in, or turns it away: before the body is read if that is long, and at once in any case.
func (h *Handler) arrive(from carrier, k *call) (err error) {
	gate, long := k.arm.plans.gate, from.length()
	if long < 0 || long > arrives {
		if r := gate.Ask(k.start, k.timeout, k.class, k.random[2]); r != admit.Admitted {
			return refusedFor(r)
		}
	}
	if !k.arrived { // else the route was in it
		if k.body, err = from.body(h, k); err != nil {
			return err
		}
		k.arrived = true
	}
	now, left := k.start, k.timeout
	if long < 0 || long > arrives {
		// Decoding it is a part of what the next one waits for, its arrival is not.
		now = h.opts.Now()
		k.entered, left = now, k.start.Add(k.timeout).Sub(now)
	}
	var r admit.Reason
	if k.ticket, r = gate.Enter(now, left, k.class, k.random[2]); r != admit.Admitted {
		return refusedFor(r)
	}
	return nil
}

// leave tells the gate what the request spent inside.
func (c *call) leave() {
	spent := c.timing.Queue + c.timing.Execute
	if !c.entered.IsZero() {
		spent = c.end.Sub(c.entered) // below 0 if a panic came before the end
	}
	c.arm.plans.gate.Leave(c.ticket, spent, c.timing.Execute > 0)
}

// turnedAway is the error of a request that was refused before it was executed.
type turnedAway struct{ reason admit.Reason }

// reasonTexts are what clients are told; those without a text are no refusals of the gate's.
var reasonTexts = [...]string{
	admit.Full:      "the gateway has too many requests under way",
	admit.Delay:     "has too many requests waiting",
	admit.Deadline:  "has so many requests waiting that this one would not be answered in time",
	admit.Scheduler: "the gateway has more to do than it can",
	admit.Queue:     "has too many requests waiting",
}

// errTurnedAway has one error for each reason. Read only.
var errTurnedAway = func() (all [len(reasonTexts)]turnedAway) {
	for r := range all {
		all[r].reason = admit.Reason(r)
	}
	return all
}()

func refusedFor(r admit.Reason) *turnedAway { return &errTurnedAway[r] }

// Error implements error.
func (t *turnedAway) Error() string { return reasonTexts[t.reason] }

// tell is what the client is told.
func (t *turnedAway) tell(c *call) refusal {
	return refusal{Error: c.turned(t.reason).err, retryAfter: c.wait()}
}

// wait is when the queue is likely to have gone, a second at least.
func (c *call) wait() time.Duration {
	if c.arm == nil {
		return time.Second
	}
	return max(time.Second, c.arm.plans.gate.Wait())
}

// turnedAnswer is the answer to a request that is turned away, made once: a refusal must cost far less than an answer.
type turnedAnswer struct {
	err  *mlflow.Error
	body []byte
}

// turned returns the answer of the call's arm for the reason.
func (c *call) turned(r admit.Reason) *turnedAnswer {
	if c.arm == nil { // on demand, and not loaded yet
		return c.newTurned(r)
	}
	at := &c.arm.turned[r]
	if t := at.Load(); t != nil {
		return t
	}
	t := c.newTurned(r)
	at.Store(t)
	return t
}

func (c *call) newTurned(r admit.Reason) *turnedAnswer {
	text := reasonTexts[r]
	if r != admit.Full && r != admit.Scheduler {
		text = c.target() + " " + text
	}
	t := &turnedAnswer{err: &mlflow.Error{Code: mlflow.ResourceExhausted, Message: text, Cause: refusedFor(r)}}
	t.body = errorBody(t.err)
	return t
}

// turnAway writes the whole answer of a call that was refused, past the engine's error handler.
func (c *call) turnAway(f *fiber.Ctx, t *turnedAway) {
	answer := c.turned(t.reason)
	c.err, c.status, c.refused = answer.err, fiber.StatusTooManyRequests, answer.body
	f.Status(c.status)
	f.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	f.Response().SetBodyRaw(answer.body) // never changed
	c.text = strconv.AppendInt(c.text[:0], wholeSeconds(c.wait()), 10)
	f.Response().Header.SetBytesV(fiber.HeaderRetryAfter, c.text)
}

// errorBody is the JSON of an error as the engine's error handler writes it, without what that adds for some codes.
func errorBody(e *mlflow.Error) []byte {
	body, err := json.Marshal(struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}{string(e.Code), e.Message})
	if err != nil {
		return nil // not reached: two strings always marshal
	}
	return body
}
