package plan

import (
	"testing"

	"sluice/gateway"
	"sluice/runtime/servable"
)

// setForm is set for a version in a form that an endpoint wants.
func (w *world) setForm(model string, version int, backend string, s servable.State) {
	w.status[servable.ID{Model: model, Version: version, Backend: backend}] = servable.Status{State: s, By: backend}
}

func wanting(backend string, e gateway.ServedEntity) gateway.ServedEntity {
	e.Backend = backend
	return e
}

// Two endpoints may want one version in two forms: both are loaded, each serves its own.
func TestEndpointsChooseTheirForms(t *testing.T) {
	w := newWorld(t)
	w.stages("m", "None")
	w.configure("any", entity("a m 1 100"))
	w.configure("python", wanting("python", entity("a m 1 100")))
	w.status[servable.ID{Model: "m", Version: 1}] = servable.Status{State: servable.Ready, By: "onnx (converted)"}
	w.setForm("m", 1, "python", servable.Ready)
	p := w.compute()
	if len(p.Aspired) != 2 {
		t.Fatalf("aspired to %v", p.Aspired)
	}
	for endpoint, by := range map[string]string{"any": "onnx (converted)", "python": "python"} {
		if got := p.States[endpoint].Arms[0]; got.Serving != 1 || got.ServedBy != by {
			t.Errorf("%s: %+v, want it served by %s", endpoint, got, by)
		}
	}
	if got := p.Table.Endpoint("python").Arms[0].Servable.Backend; got != "python" {
		t.Errorf("the table has the form %q", got)
	}
}

// What an endpoint says about batching is part of the form.
func TestEndpointsSayWhenPredictionsAreJoined(t *testing.T) {
	w := newWorld(t)
	w.stages("m", "None")
	w.configure("any", entity("a m 1 100"))
	for mode, joining := range map[string]servable.Joining{"always": servable.JoinAlways, "never": servable.JoinNever} {
		e := entity("a m 1 100")
		e.Batching = mode
		w.configure(mode, e)
		w.status[servable.ID{Model: "m", Version: 1, Joining: joining}] = servable.Status{State: servable.Ready}
	}
	w.ready("m", 1)
	p := w.compute()
	if len(p.Aspired) != 3 {
		t.Fatalf("aspired to %v", p.Aspired)
	}
	for endpoint, want := range map[string]servable.Joining{"any": servable.JoinMeasured, "always": servable.JoinAlways, "never": servable.JoinNever} {
		if got := p.Table.Endpoint(endpoint).Arms[0].Servable.Joining; got != want {
			t.Errorf("%s: joined %s, want %s", endpoint, got, want)
		}
	}
}

// A change of form is made before the old one is broken.
func TestAChangeOfFormKeepsServing(t *testing.T) {
	w := newWorld(t)
	w.stages("m", "None")
	w.configure("e", entity("a m 1 100"))
	w.ready("m", 1)
	w.compute()
	w.configure("e", wanting("onnx", entity("a m 1 100")))
	w.setForm("m", 1, "onnx", servable.Loading)
	if p := w.compute(); p.Table.Endpoint("e").Arms[0].Servable.Backend != "" || len(p.Aspired) != 2 {
		t.Fatalf("routes to %+v while aspiring to %v", p.Table.Endpoint("e").Arms, p.Aspired)
	}
	w.setForm("m", 1, "onnx", servable.Ready)
	if p := w.compute(); p.Table.Endpoint("e").Arms[0].Servable.Backend != "onnx" || len(p.Aspired) != 1 {
		t.Errorf("routes to %+v, aspiring to %v", p.Table.Endpoint("e").Arms, p.Aspired)
	}
}

// A stage that accepts ONNX only is never served by Python, whatever the entity wants and whatever served before.
func TestAStageMayAcceptONNXOnly(t *testing.T) {
	w := newWorld(t)
	w.onlyONNX = []string{"Production"}
	w.stages("m", "Production", "None")
	w.configure("e", wanting("python", entity("a m Production 100")))
	w.configure("free", wanting("python", entity("a m 1 100")))
	w.setForm("m", 1, "python", servable.Ready)
	w.setForm("m", 1, "onnx", servable.Ready)
	p := w.compute()
	if got := p.Table.Endpoint("e").Arms[0].Servable.Backend; got != "onnx" {
		t.Fatalf("the stage is served by %q", got)
	}
	if got := p.Table.Endpoint("free").Arms[0].Servable.Backend; got != "python" {
		t.Errorf("a version by its number is served by %q", got)
	}
	w.stages("m", "Archived", "Production")
	w.setForm("m", 2, "onnx", servable.Failed)
	if p := w.compute(); p.States["e"].Arms[0].State != gateway.LoadFailed || p.Table.Endpoint("e").Arms[0].Servable != (servable.ID{Model: "m", Version: 1, Backend: "onnx"}) {
		t.Errorf("a version that cannot be converted took over: %+v", p.Table.Endpoint("e").Arms)
	}
}
