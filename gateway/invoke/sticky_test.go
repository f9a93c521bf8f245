package invoke

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"sluice/gateway/route"
)

// halves is an endpoint of two equal arms whose sticky key stands at the part.
func halves(p route.Part) route.Endpoint {
	e := split(5000, 5000)
	e.Sticky = p
	return e
}

// bodyOf is a good body with a user in its params.
func bodyOf(user string) string {
	return `{"params":{"user":"` + user + `"},"dataframe_split":{"columns":["a","b"],"data":[[1,2]]}}`
}

// TestStickyKeyWhereverItStands: the same key gets the same arm from every place, the one that the header X-Sluice-Sticky-Key gives it; and the
// bucket is in the log.
func TestStickyKeyWhereverItStands(t *testing.T) {
	for name, c := range map[string]struct {
		part route.Part
		ask  func(r *rig, key string) *answer
	}{
		"header": {route.Part{Source: route.Header, Name: "X-User"}, func(r *rig, key string) *answer {
			return r.ask(t, "POST", "/invocations", goodBody, "X-User", key)
		}},
		"header in small letters": {route.Part{Source: route.Header, Name: "x-user"}, func(r *rig, key string) *answer {
			return r.ask(t, "POST", "/invocations", goodBody, "x-user", key)
		}},
		"cookie": {route.Part{Source: route.Cookie, Name: "uid"}, func(r *rig, key string) *answer {
			return r.ask(t, "POST", "/invocations", goodBody, "Cookie", "theme=dark; uid="+key)
		}},
		"query": {route.Part{Source: route.Query, Name: "user"}, func(r *rig, key string) *answer {
			return r.ask(t, "POST", "/invocations?a=b&user="+key, goodBody)
		}},
		"field": {route.Part{Source: route.Field, Tokens: []string{"params", "user"}}, func(r *rig, key string) *answer {
			return r.ask(t, "POST", "/invocations", bodyOf(key))
		}},
		"field of a compressed body": {route.Part{Source: route.Field, Tokens: []string{"params", "user"}}, func(r *rig, key string) *answer {
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			_, _ = w.Write([]byte(bodyOf(key)))
			_ = w.Close()
			return r.ask(t, "POST", "/invocations", zipped.String(), "Content-Encoding", "gzip")
		}},
		"the header that always counts": {route.Part{Source: route.Header, Name: "X-User"}, func(r *rig, key string) *answer {
			return r.ask(t, "POST", "/invocations", goodBody, "X-User", "another", HeaderStickyKey, key)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			e := halves(c.part)
			r.publish(t, "", e)
			table, err := route.NewTable(1, []route.Endpoint{split(5000, 5000)}, "")
			if err != nil {
				t.Fatal(err)
			}
			arms := map[string]bool{}
			for i := range 40 {
				key := fmt.Sprintf("user-%d", i)
				want, err := table.Pick("wine", key, 0)
				if err != nil {
					t.Fatal(err)
				}
				a := c.ask(r, key)
				if got := a.header.Get(HeaderArm); a.status != 200 || got != want.Arm.Name {
					t.Fatalf("key %s: %d %s, arm %q, want %q", key, a.status, a.body, got, want.Arm.Name)
				}
				if records := r.log.all(); records[len(records)-1].Bucket != want.Bucket {
					t.Errorf("key %s: bucket %d in the log, want %d", key, records[len(records)-1].Bucket, want.Bucket)
				}
				arms[want.Arm.Name] = true
			}
			if len(arms) != 2 {
				t.Errorf("all keys went to %v", arms)
			}
		})
	}
}

func TestNoStickyKeyIsRandom(t *testing.T) {
	for name, c := range map[string]struct {
		part route.Part
		body string
	}{
		"header absent": {route.Part{Source: route.Header, Name: "X-User"}, goodBody},
		"field absent":  {route.Part{Source: route.Field, Tokens: []string{"params", "user"}}, goodBody},
		"field empty":   {route.Part{Source: route.Field, Tokens: []string{"params", "user"}}, bodyOf("")},
	} {
		t.Run(name, func(t *testing.T) {
			bits := uint64(0)
			r := newRig(t, rigOptions{options: &Options{Random: func() uint64 { bits++; return bits * 1250 }}})
			r.publish(t, "", halves(c.part))
			arms := map[string]int{}
			for range 16 {
				a := r.ask(t, "POST", "/invocations", c.body)
				arms[a.header.Get(HeaderArm)]++
			}
			if arms["prod"] == 0 || arms["next"] == 0 {
				t.Errorf("got %v, want both arms", arms)
			}
		})
	}
}

func TestStickyFieldOfALongBody(t *testing.T) {
	r := newRig(t, rigOptions{options: &Options{MaxBodyBytes: 1 << 20}})
	r.publish(t, "", halves(route.Part{Source: route.Field, Tokens: []string{"params", "user"}}))
	rows := strings.TrimSuffix(strings.Repeat("[1,2],", 20_000), ",")
	body := `{"dataframe_split":{"columns":["a","b"],"data":[` + rows + `]},"params":{"user":"ann"}}`
	first := r.ask(t, "POST", "/invocations", body).header.Get(HeaderArm)
	for range 5 {
		if a := r.ask(t, "POST", "/invocations", body); a.status != 200 || a.header.Get(HeaderArm) != first {
			t.Errorf("%d, arm %q, want %q", a.status, a.header.Get(HeaderArm), first)
		}
	}
	if a := r.ask(t, "POST", "/invocations", strings.Repeat(" ", 2<<20)); a.status != 413 {
		t.Errorf("a body past the bound: %d %s", a.status, a.body)
	}
}
