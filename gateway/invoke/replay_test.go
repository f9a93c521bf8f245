package invoke

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"google.golang.org/protobuf/proto"

	"sluice/gateway/oip/pb"
)

func TestAReplayLeavesNoTraceAsLiveTraffic(t *testing.T) {
	r, _ := onDemand(t)
	for _, path := range []string{"/models/wine/versions/3/invocations", "/models/wine/versions/1/invocations"} { // one without a route, one with
		if a := r.ask(t, "POST", path, goodBody, HeaderReplay, "1"); a.status != 200 || a.body != goodAnswer {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := r.ask(t, "POST", "/models/wine/versions/3/invocations", `{"inputs": 1}`, HeaderReplay, "1"); a.status != 400 {
		t.Errorf("a bad body: %d", a.status)
	}
	if n := len(r.log.all()); n != 0 {
		t.Errorf("%d replayed requests were logged", n)
	}
	if s := r.h.deps.Outcomes.Snapshot(); len(s) != 0 {
		t.Errorf("replayed requests were counted: %+v", s)
	}
	if n := r.h.Replayed(); n != 3 {
		t.Errorf("%d replays, want 3", n)
	}
	if a := r.ask(t, "POST", "/models/wine/versions/3/invocations", goodBody); a.status != 200 || len(r.log.all()) != 1 {
		t.Errorf("the next live request: %d, %d records", a.status, len(r.log.all()))
	}
}

func TestWhoMayReplayAndWhere(t *testing.T) {
	for name, c := range map[string]struct {
		path, value string
		may         bool
		status      int
		says        string
	}{
		"an endpoint":            {"/invocations", "1", true, 400, "/models/NAME/versions/N"},
		"a stage":                {"/models/wine/stages/Production/invocations", "1", true, 400, "/models/NAME/versions/N"},
		"another value":          {"/models/wine/versions/1/invocations", "yes", true, 400, HeaderReplay},
		"an empty value":         {"/models/wine/versions/1/invocations", "", true, 400, HeaderReplay},
		"without the permission": {"/models/wine/versions/1/invocations", "1", false, 403, "manage"},
		"with the permission":    {"/models/wine/versions/1/invocations", "1", true, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := onDemand(t)
			r.h.deps.May = func(_ *fiber.Ctx, permission string) bool { return c.may && permission == "manage" }
			if a := r.ask(t, "POST", c.path, goodBody, HeaderReplay, c.value); a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("%d %s, want %d that says %q", a.status, a.body, c.status, c.says)
			}
		})
	}
}

// Requests of the Open Inference Protocol are asked of a version with and without a route, in every form that they were recorded in.
func TestAReplayOfTheInferenceProtocol(t *testing.T) {
	r, _ := onDemand(t)
	head := `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1]},{"name":"b","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}`
	asJSON := `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1]},{"name":"b","shape":[1],"datatype":"FP64","data":[2]}]}`
	for _, version := range []string{"1", "3"} {
		path := "/models/wine/versions/" + version + "/infer"
		a := r.ask(t, "POST", path, asJSON, HeaderReplay, "1")
		if a.status != 200 || !strings.Contains(a.body, `"data":[6.0]`) || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("version %s, JSON: %d %s", version, a.status, a.body)
		}
		a = r.ask(t, "POST", path, head+"\x00\x00\x00\x00\x00\x00\x00\x40", HeaderReplay, "1", "Content-Type", "application/octet-stream", HeaderInferLength, strconv.Itoa(len(head)))
		if a.status != 200 || !strings.Contains(a.body, `"data":[6.0]`) {
			t.Errorf("version %s, bytes: %d %s", version, a.status, a.body)
		}
		a = r.ask(t, "POST", path, string(twoNumbers(t, "another", "9", 1, 2)), HeaderReplay, "1", "Content-Type", TypeMessage)
		var message pb.ModelInferResponse
		if err := proto.Unmarshal([]byte(a.body), &message); err != nil || a.status != 200 || a.header.Get("Content-Type") != TypeMessage || message.GetModelVersion() != version ||
			math.Float64frombits(binary.LittleEndian.Uint64(message.GetRawOutputContents()[0])) != 6 {
			t.Errorf("version %s, message: %d %v %v", version, a.status, &message, err)
		}
	}
	if len(r.log.all()) != 0 || len(r.h.deps.Outcomes.Snapshot()) != 0 {
		t.Error("replayed requests were logged or counted")
	}
	for name, c := range map[string]struct {
		path, body, kind string
		status           int
	}{
		"half a message":       {"/models/wine/versions/3/infer", "\x2a\x09", TypeMessage, 400},
		"MLflow's body":        {"/models/wine/versions/3/infer", goodBody, "application/json", 400},
		"no version":           {"/models/wine/versions/x/infer", asJSON, "application/json", 404},
		"the protocol's route": {"/v2/models/wine/infer", asJSON, "application/json", 400},
	} {
		a := r.ask(t, "POST", c.path, c.body, HeaderReplay, "1", "Content-Type", c.kind)
		if a.status != c.status || !strings.Contains(a.body, `"error"`) {
			t.Errorf("%s: %d %s, want %d with the protocol's field error", name, a.status, a.body, c.status)
		}
	}
}
