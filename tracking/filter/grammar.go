package filter

import (
	"maps"
	"slices"
	"strings"
)

// Grammar is the language of one kind of record: which entities, attributes and comparisons it allows, and with which words
// it refuses. Get one from Runs, Experiments, LoggedModels, RegisteredModels, ModelVersions or Traces.
type Grammar struct {
	kind     kind
	entities []entityName
	// expected is the list of entity names in the refusal of another one.
	expected string
	// text and numeric are the canonical attributes by type; numeric ones compare with numbers.
	text, numeric []string
	// aliases lead from other spellings of attributes to the canonical ones.
	aliases map[string]string
	// lists are the attributes that IN and NOT IN work on; nil with anyList means all text attributes.
	lists   []string
	anyList bool
	// nulls are the entities that IS [NOT] NULL works on.
	nulls []Entity
	// order are the attributes in order_by, orderEntities the other entities there.
	order         []string
	orderEntities []Entity
	// datasets are the keys of Dataset.
	datasets []string
}

type kind uint8

const (
	runs kind = iota
	experiments
	loggedModels
	registeredModels
	modelVersions
	traces
)

// entityName is one spelling of an entity.
type entityName struct {
	word   string
	entity Entity
}

// Runs returns the grammar of runs (source: SearchUtils in mlflow/utils/search_utils.py, MLflow 3.17).
func Runs() *Grammar { return &runGrammar }

// Experiments returns the grammar of experiments (source: SearchExperimentsUtils).
func Experiments() *Grammar { return &experimentGrammar }

// LoggedModels returns the grammar of logged models (source: mlflow/utils/search_logged_model_utils.py).
func LoggedModels() *Grammar { return &loggedModelGrammar }

// RegisteredModels returns the grammar of registered models (source: SearchModelUtils).
func RegisteredModels() *Grammar { return &registeredModelGrammar }

// ModelVersions returns the grammar of model versions (source: SearchModelVersionUtils).
func ModelVersions() *Grammar { return &modelVersionGrammar }

// OrderKey returns the canonical name of an attribute that order_by allows.
func (g *Grammar) OrderKey(name string) (string, bool) {
	name = g.canonical(name)
	return name, slices.Contains(g.order, name)
}

// keys are the attributes of filters by all their spellings.
func (g *Grammar) keys() []string {
	all := slices.Concat(g.text, g.numeric)
	if g.kind == loggedModels || g.kind == registeredModels {
		return all
	}
	return slices.AppendSeq(all, maps.Keys(g.aliases))
}

// orderKeys are the attributes of order_by as MLflow names them in refusals.
func (g *Grammar) orderKeys() []string {
	if g.kind == registeredModels {
		return []string{"name", "timestamp"}
	}
	all := slices.Clone(g.order)
	for alias, key := range g.aliases {
		if slices.Contains(g.order, key) && !strings.Contains(alias, " ") {
			all = append(all, alias)
		}
	}
	return all
}

func (g *Grammar) canonical(key string) string {
	if c, ok := g.aliases[key]; ok {
		return c
	}
	return key
}
