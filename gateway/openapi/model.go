package openapi

import (
	"encoding/json"

	"sluice/runtime/mlmodel"
)

// Endpoint returns the document of one endpoint's predictions: what its model takes and answers. path is where they are asked for; sig may be
// nil, which leaves the shapes open.
func Endpoint(version, name, path string, sig *mlmodel.Signature) ([]byte, error) {
	var in, out *mlmodel.Schema
	if sig != nil {
		in, out = sig.Inputs, sig.Outputs
	}
	post := Object{
		"operationId": "predict",
		"summary":     "Predictions of endpoint " + name,
		"requestBody": Object{"required": true, "content": jsonContent(requestSchema(in), nil)},
		"responses": Object{
			"200":     Object{"description": "one prediction for each row", "content": jsonContent(answerSchema(out), nil)},
			"default": Object{"description": "refused or failed", "content": jsonContent(Object{"$ref": "#/components/schemas/Error"}, nil)},
		},
	}
	return json.Marshal(Object{
		"openapi":    Version,
		"info":       Object{"title": name, "version": version},
		"servers":    []Object{{"url": "/"}},
		"paths":      Object{path: Object{"post": post}},
		"components": Object{"schemas": Object{"Error": errorSchema()}},
	})
}

// requestSchema is what MLflow's scoring server takes: exactly one of four shapes.
func requestSchema(in *mlmodel.Schema) Object {
	row, tensors := rowSchema(in), tensorsSchema(in)
	params := Object{"type": "object"}
	shape := func(field string, schema Object) Object {
		return Object{"type": "object", "required": []string{field}, "properties": Object{field: schema, "params": params}}
	}
	split := Object{"type": "object", "required": []string{"data"}, "properties": Object{
		"columns": Object{"type": "array", "items": Object{"type": "string"}}, "index": Object{"type": "array"}, "data": Object{"type": "array", "items": Object{"type": "array"}},
	}}
	if in != nil && len(in.Tensors) > 0 {
		return Object{"oneOf": []Object{shape("inputs", tensors), shape("instances", Object{"type": "array"})}}
	}
	return Object{"oneOf": []Object{
		shape("dataframe_split", split), shape("dataframe_records", Object{"type": "array", "items": row}),
		shape("inputs", Object{}), shape("instances", Object{"type": "array", "items": Object{}}),
	}}
}

// rowSchema is one row of columns.
func rowSchema(s *mlmodel.Schema) Object {
	row := Object{"type": "object"}
	if s == nil || len(s.Columns) == 0 {
		return row
	}
	properties, required := Object{}, []string{}
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Name == "" {
			return row // columns without names are sent by position
		}
		properties[c.Name] = kindSchema(c.Kind)
		if c.Required {
			required = append(required, c.Name)
		}
	}
	row["properties"], row["required"] = properties, required
	return row
}

// tensorsSchema is the only tensor, or all by name.
func tensorsSchema(s *mlmodel.Schema) Object {
	if s == nil || len(s.Tensors) == 0 {
		return Object{}
	}
	if len(s.Tensors) == 1 && s.Tensors[0].Name == "" {
		return tensorSchema(len(s.Tensors[0].Shape))
	}
	properties, required := Object{}, []string{}
	for _, t := range s.Tensors {
		properties[t.Name] = tensorSchema(len(t.Shape))
		required = append(required, t.Name)
	}
	return Object{"type": "object", "properties": properties, "required": required}
}

// tensorSchema is nested lists, one in another for each dimension.
func tensorSchema(dimensions int) Object {
	schema := Object{}
	for range dimensions {
		schema = Object{"type": "array", "items": schema}
	}
	return schema
}

func kindSchema(k mlmodel.Kind) Object {
	switch k {
	case mlmodel.Boolean:
		return Object{"type": "boolean"}
	case mlmodel.Integer, mlmodel.Long:
		return Object{"type": "integer"}
	case mlmodel.Float, mlmodel.Double:
		return Object{"type": "number"}
	case mlmodel.String:
		return Object{"type": "string"}
	}
	return Object{}
}

func answerSchema(out *mlmodel.Schema) Object {
	items := Object{}
	if out != nil && len(out.Columns) > 0 && out.Columns[0].Name != "" {
		items = rowSchema(out)
	}
	predictions := Object{"type": "array", "items": items}
	if out != nil && len(out.Tensors) > 1 {
		predictions = Object{"type": "object"}
	}
	return Object{"type": "object", "required": []string{"predictions"}, "properties": Object{"predictions": predictions}}
}
