package mlmodel

// Model is a parsed model package.
type Model struct {
	Signature *Signature
}
