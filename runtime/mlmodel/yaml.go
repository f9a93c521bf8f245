package mlmodel

import (
	"errors"
	"fmt"
	"math"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of a YAML document. MLflow's own files have some dozens of nodes and four levels.
const (
	maxYAMLNodes = 200_000 // after aliases are written out, so an alias bomb stops here
	maxYAMLDepth = 100
)

// ParseYAML reads one YAML document of a stranger's, within bounds, as nil, bool, int64, float64, string, []any and map[string]any. It is for
// the other files of a model package.
func ParseYAML(data []byte) (any, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("larger than %d bytes", maxFileBytes)
	}
	return decodeYAML(data)
}

// decodeYAML reads one YAML document as nil, bool, int64, float64, string, []any and map[string]any. Aliases and merge keys are
// followed within the node budget; tags are ignored, so nothing but these types can come out.
func decodeYAML(data []byte) (any, error) {
	if err := checkNesting(data); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %.200s", err.Error())
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, errors.New("not exactly one YAML document")
	}
	d := yamlDecoder{anchors: map[string]ast.Node{}, open: map[string]bool{}, budget: maxYAMLNodes}
	return d.value(file.Docs[0].Body, 0)
}

// checkNesting bounds what the parser's recursion can meet, before it runs: the stack of a Go program cannot be caught overflowing.
// It counts brackets and "- - -" chains without looking at quotes, and takes indentation as depth, so it may refuse strange files
// that are harmless (thousands of unbalanced brackets in a text), never admit a deep one.
func checkNesting(data []byte) error {
	open, lead, dashes, atStart := 0, 0, 0, true
	for _, c := range data {
		switch c {
		case '\n':
			lead, dashes, atStart = 0, 0, true
			continue
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case 0:
			return errors.New("not text")
		}
		switch {
		case !atStart:
		case c == ' ':
			lead++
		case c == '-' || c == '?' || c == ':' || c == '\t':
			dashes++
			lead++
		default:
			atStart = false
		}
		if open > 4*maxYAMLDepth || lead > 10*maxYAMLDepth || dashes > maxYAMLDepth {
			return errors.New("nested too deep")
		}
	}
	return nil
}

type yamlDecoder struct {
	anchors map[string]ast.Node
	open    map[string]bool // anchors being written out: an alias to one of them is a cycle
	budget  int
}

func (d *yamlDecoder) value(n ast.Node, depth int) (any, error) {
	d.budget--
	if d.budget < 0 {
		return nil, errors.New("too many nodes, or aliases that multiply")
	}
	if depth > maxYAMLDepth {
		return nil, errors.New("nested too deep")
	}
	switch x := n.(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.BoolNode:
		return x.Value, nil
	case *ast.IntegerNode:
		return integerValue(x), nil
	case *ast.FloatNode:
		return x.Value, nil
	case *ast.InfinityNode:
		return x.Value, nil
	case *ast.NanNode:
		return math.NaN(), nil
	case *ast.StringNode:
		return x.Value, nil
	case *ast.LiteralNode:
		return x.Value.Value, nil
	case *ast.TagNode:
		return d.value(x.Value, depth+1)
	case *ast.AnchorNode:
		d.anchors[x.Name.GetToken().Value] = x.Value
		return d.value(x.Value, depth+1)
	case *ast.AliasNode:
		return d.alias(x, depth)
	case *ast.SequenceNode:
		return d.sequence(x, depth)
	case *ast.MappingNode:
		return d.mapping(x.Values, depth)
	case *ast.MappingValueNode:
		return d.mapping([]*ast.MappingValueNode{x}, depth)
	}
	return nil, fmt.Errorf("unexpected %s", n.Type())
}

func integerValue(n *ast.IntegerNode) any {
	switch v := n.Value.(type) {
	case int64:
		return v
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
		return float64(v)
	}
	return n.GetToken().Value
}

func (d *yamlDecoder) alias(n *ast.AliasNode, depth int) (any, error) {
	name := n.Value.GetToken().Value
	target, ok := d.anchors[name]
	if !ok {
		return nil, fmt.Errorf("alias %.50q without anchor", name)
	}
	if d.open[name] {
		return nil, fmt.Errorf("alias %.50q contains itself", name)
	}
	d.open[name] = true
	defer delete(d.open, name)
	return d.value(target, depth+1)
}

func (d *yamlDecoder) sequence(n *ast.SequenceNode, depth int) (any, error) {
	out := make([]any, 0, len(n.Values))
	for _, e := range n.Values {
		v, err := d.value(e, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (d *yamlDecoder) mapping(pairs []*ast.MappingValueNode, depth int) (any, error) {
	out := make(map[string]any, len(pairs))
	for _, p := range pairs {
		v, err := d.value(p.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if p.Key.IsMergeKey() {
			merge(out, v)
			continue
		}
		key, err := d.key(p.Key, depth+1)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}

func (d *yamlDecoder) key(n ast.MapKeyNode, depth int) (string, error) {
	v, err := d.value(n, depth)
	switch k := v.(type) {
	case string:
		return k, err
	case nil, bool, int64, float64:
		return fmt.Sprint(k), err
	}
	return "", errors.New("a key is not a scalar")
}

// merge adds the pairs of a "<<" value that out does not have.
func merge(out map[string]any, v any) {
	m, _ := v.(map[string]any)
	for k, e := range m {
		if _, own := out[k]; !own {
			out[k] = e
		}
	}
}
