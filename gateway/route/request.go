package route

import (
	"fmt"
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

// Request is what a route may look at.
type Request interface {
	// Value returns the first value of the part; "" if the request has none, or an empty one. It stays valid until the request ends. An error
	// ends the request: the body could not be read.
	Value(p *Part) (string, error)
	// May says whether the caller has the permission.
	May(permission string) bool
}

// PickFor is Pick for a request whose endpoint may have rules, and a sticky key of its own. stickyKey is the one that the request brings in any case;
// where it is not "", the endpoint's is not looked for.
//
// Errors: those of Pick, ErrForbidden, and those of the request.
func (t *Table) PickFor(endpoint string, req Request, stickyKey string, rnd uint64) (Decision, error) {
	e, err := t.find(endpoint)
	if err != nil {
		return Decision{}, err
	}
	if len(e.Rules) > 0 {
		r, err := e.ruleFor(req)
		if err != nil {
			return Decision{Endpoint: e, Revision: t.revision, Bucket: -1}, err
		}
		if r != nil {
			d, err := t.byRule(e, r, req)
			d.Draw, d.Keyed = e.draw(stickyKey, rnd), stickyKey != ""
			return d, err
		}
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
	draw := e.draw(stickyKey, rnd)
	bucket := uint32(draw % FullWeight) // uniform to within 2^-50
	return Decision{Endpoint: e, Arm: &e.Arms[e.arm(bucket)], Revision: t.revision, Bucket: int(bucket), Draw: draw, Keyed: stickyKey != ""}, nil
}
