package main

// schemaVersion is Grafana 11's; later ones migrate it when they import.
const schemaVersion = 41

// object is a JSON object of Grafana's dashboard model. (Source: Grafana documentation, "Dashboard JSON model".)
type object = map[string]any

var datasource = object{"type": "prometheus", "uid": "${datasource}"}

// grafana is the dashboard in Grafana's model.
func (d *dashboard) grafana() object {
	return object{
		"uid": d.UID, "title": d.Title, "description": d.Description, "tags": []string{"sluice"},
		"schemaVersion": schemaVersion, "version": 1, "editable": true, "graphTooltip": 1, "refresh": "30s",
		"time":        object{"from": "now-1h", "to": "now"},
		"timezone":    "browser",
		"links":       []object{{"type": "dashboards", "title": "Sluice", "tags": []string{"sluice"}, "asDropdown": true, "includeVars": true, "keepTime": true}},
		"annotations": object{"list": []object{alertMarks()}},
		"templating":  object{"list": d.variables()},
		"panels":      d.panels(),
	}
}

// alertMarks draws the alerts of deploy/prometheus that fire.
func alertMarks() object {
	return object{
		"name": "Alerts", "enable": true, "iconColor": "red", "datasource": datasource,
		"expr": `ALERTS{alertname=~"Sluice.*",alertstate="firing"}`, "titleFormat": "{{alertname}}", "textFormat": "{{endpoint}} {{version}} {{instance}}",
	}
}

func (d *dashboard) variables() []object {
	list := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "current": object{}, "hide": 0}}
	for _, v := range d.Variables {
		o := object{
			"name": v.Name, "label": v.Label, "type": "query", "datasource": datasource, "definition": v.Query,
			"query":   object{"query": v.Query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
			"refresh": 2, "sort": 1, "hide": 0, "multi": !v.Single, "includeAll": !v.Single,
		}
		if v.Single {
			o["current"] = object{"text": v.Default, "value": v.Default}
		} else {
			o["allValue"], o["current"] = ".*", object{"text": "All", "value": "$__all"} // also what has no such label: requests that reached no arm
		}
		list = append(list, o)
	}
	return list
}

// panels lays rows out, left to right and top to bottom.
func (d *dashboard) panels() []object {
	var out []object
	id, y := 0, 0
	for _, r := range d.Rows {
		id++
		out = append(out, object{"id": id, "type": "row", "title": r.Title, "collapsed": false, "panels": []object{}, "gridPos": object{"x": 0, "y": y, "w": 24, "h": 1}})
		y++
		x, tallest := 0, 0
		for i := range r.Panels {
			p := &r.Panels[i]
			w, h := p.size()
			if x+w > 24 {
				x, y, tallest = 0, y+tallest, 0
			}
			id++
			o := p.grafana()
			o["id"], o["gridPos"] = id, object{"x": x, "y": y, "w": w, "h": h}
			out = append(out, o)
			x, tallest = x+w, max(tallest, h)
		}
		y += tallest
	}
	return out
}

func (p *panel) size() (w, h int) {
	w, h = 8, 8
	if p.Kind == number {
		w, h = 4, 4
	}
	if p.Width > 0 {
		w = p.Width
	}
	return w, h
}

var panelTypes = map[kind]string{lines: "timeseries", number: "stat", heat: "heatmap", states: "state-timeline"}

func (p *panel) grafana() object {
	targets := make([]object, len(p.Queries))
	for i, q := range p.Queries {
		targets[i] = object{"refId": string(rune('A' + i)), "datasource": datasource, "editorMode": "code", "range": true, "instant": p.Kind == number, "expr": q.Expr, "legendFormat": q.Legend, "exemplar": q.Exemplars}
		if p.Kind == number {
			targets[i]["range"] = false
		}
		if q.Buckets {
			targets[i]["format"] = "heatmap"
		}
	}
	return object{
		"type": panelTypes[p.Kind], "title": p.Title, "description": p.Description, "datasource": datasource, "targets": targets,
		"fieldConfig": object{"defaults": p.defaults(), "overrides": []object{}}, "options": p.options(),
	}
}

// defaults are how values are written and coloured.
func (p *panel) defaults() object {
	steps := []object{{"color": "green", "value": nil}}
	for i, l := range p.Levels {
		if i > 0 {
			steps = append(steps, object{"color": l.Color, "value": l.From})
		}
	}
	mappings := []object{}
	for i, text := range p.States {
		mappings = append(mappings, object{"type": "value", "options": object{string(rune('0' + i)): object{"text": text, "index": i}}})
	}
	d := object{"unit": p.Unit, "mappings": mappings, "thresholds": object{"mode": "absolute", "steps": steps}, "custom": p.custom()}
	if !p.Signed {
		d["min"] = 0
	}
	if p.Share {
		d["max"] = 1
	}
	if p.Kind != lines {
		d["color"] = object{"mode": "thresholds"}
	}
	return d
}

func (p *panel) custom() object {
	if p.Kind != lines {
		return object{}
	}
	c := object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false, "stacking": object{"mode": "none", "group": "A"}}
	if len(p.Levels) > 0 {
		c["thresholdsStyle"] = object{"mode": "dashed"}
	}
	if p.Stack {
		c["fillOpacity"], c["stacking"] = 40, object{"mode": "normal", "group": "A"}
	}
	return c
}

func (p *panel) options() object {
	switch p.Kind {
	case number:
		return object{"reduceOptions": object{"calcs": []string{"lastNotNull"}, "values": false}, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
	case heat:
		return object{"calculate": false, "yAxis": object{"unit": p.Unit}, "color": object{"mode": "scheme", "scheme": "Oranges", "steps": 64}, "exemplars": object{"color": "rgba(255,0,255,0.7)"}, "legend": object{"show": true}, "tooltip": object{"mode": "single"}}
	case states:
		return object{"showValue": "auto", "mergeValues": true, "legend": object{"showLegend": true, "displayMode": "list", "placement": "bottom"}}
	}
	return object{"legend": object{"showLegend": true, "displayMode": "table", "placement": "bottom", "calcs": []string{"mean", "max", "lastNotNull"}}, "tooltip": object{"mode": "multi", "sort": "desc"}}
}
