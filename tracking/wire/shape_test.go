package wire

import (
	"reflect"
	"sync"
	"testing"
)

type shaped struct {
	ID    string            `json:"run_id" wire:"required,alias=run_uuid"`
	Tags  []shapedTag       `json:"tags"`
	Again *shaped           `json:"again"`
	ByKey map[string]shaped `json:"by_key"`
	Rest  any               `json:"rest"`
}

type shapedTag struct {
	Key   string `json:"key" wire:"required"`
	Value string `json:"value"`
}

const shapedBody = `{"runUuid": "r", "tags": [{"key": "k", "value": "v"}], "again": {"run_id": "s"}, "by_key": {"x": {"run_id": "t"}}, "rest": [1]}`

// TestShapeIsReadOnce: requests decoded at once by one Shape, of its type and of another, give what they give without it.
func TestShapeIsReadOnce(t *testing.T) {
	t.Parallel()
	var want shaped
	if err := Decode([]byte(shapedBody), &want); err != nil {
		t.Fatal(err)
	}
	shape := ShapeOf[shaped]()
	known := len(shape.plans)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var got shaped
			if err := shape.decoder([]byte(shapedBody)).document(&got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
			var other struct {
				Name string `json:"name" wire:"required"`
			}
			if err := shape.decoder([]byte(`{"name": "n"}`)).document(&other); err != nil || other.Name != "n" {
				t.Errorf("another type: got %+v, %v", other, err)
			}
			if err := shape.decoder([]byte(`{"tags": [{}]}`)).document(&shaped{}); err == nil {
				t.Error("a tag without a key is taken")
			}
		})
	}
	wg.Wait()
	if known != 2 || len(shape.plans) != known {
		t.Errorf("%d plans, then %d; want 2", known, len(shape.plans))
	}
}

func BenchmarkDecodeSmall(b *testing.B) {
	body, shape := []byte(`{"run_id": "r", "tags": [{"key": "k", "value": "v"}]}`), ShapeOf[shaped]()
	for name, s := range map[string]Shape{"known shape": shape, "unknown": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.decoder(body).document(&shaped{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
