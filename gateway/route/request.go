package route

import (
	"fmt"
	"slices"
)

// Source is a place in a request.
type Source uint8

const (
	None Source = iota
	Header
	Cookie
	Query
	Field // of a JSON body
)

// Part names a value in a request.
type Part struct {
	Source Source
	Name   string   // of the header, cookie or query parameter
	Tokens []string // of the JSON Pointer of a Field, unescaped
}

func (p *Part) equal(q *Part) bool {
	return p.Source == q.Source && p.Name == q.Name && slices.Equal(p.Tokens, q.Tokens)
}

// Request is what a route may look at.
type Request interface {
	// Value returns the first value of the part; "" if the request has none, or an empty one. It stays valid until the request ends. An error
	// ends the request: the body could not be read.
	Value(p *Part) (string, error)
	// May says whether the caller has the permission.
	May(permission string) bool
}

// PickFor is Pick for a request whose endpoint may have a sticky key of its own. stickyKey is the one that the request brings in any case;
// where it is not "", the endpoint's is not looked for.
//
// Errors: those of Pick, and those of the request.
func (t *Table) PickFor(endpoint string, req Request, stickyKey string, rnd uint64) (Decision, error) {
	e, err := t.find(endpoint)
	if err != nil {
		return Decision{}, err
	}
	if stickyKey == "" && e.Sticky.Source != None {
		if stickyKey, err = req.Value(&e.Sticky); err != nil {
			return Decision{Endpoint: e, Revision: t.revision, Bucket: -1}, err
		}
	}
	return t.byWeight(e, stickyKey, rnd)
}

// find returns the endpoint of the name; "" means the default.
func (t *Table) find(endpoint string) (*Endpoint, error) {
	if endpoint == "" {
		if t.defaultName == "" {
			return nil, fmt.Errorf("%w, and there is no default: %s", ErrNoEndpointNamed, t.names())
		}
		endpoint = t.defaultName
	}
	i, ok := t.byName[endpoint]
	if !ok {
		return nil, fmt.Errorf("%w: %q; %s", ErrUnknownEndpoint, endpoint, t.names())
	}
	return &t.endpoints[i], nil
}

// byWeight lets the key, or else the random number, choose.
func (t *Table) byWeight(e *Endpoint, stickyKey string, rnd uint64) (Decision, error) {
	if len(e.spans) == 0 {
		return Decision{Endpoint: e, Revision: t.revision, Bucket: -1}, e.noArms()
	}
	bucket := e.bucket(stickyKey, rnd)
	return Decision{Endpoint: e, Arm: &e.Arms[e.arm(bucket)], Revision: t.revision, Bucket: int(bucket)}, nil
}
