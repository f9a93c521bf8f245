package route

// Explanation says where a request would go, and why.
type Explanation struct {
	// Decision is where it would go. Its Arm is nil where chance decides, and where Err says why nobody answers.
	Decision Decision
	// Err is what the request would be refused with; nil if it would be answered.
	Err error
	// Rules says of each rule of the endpoint, in order, whether it matches; those after the first that does were not looked at and are
	// missing.
	Rules []Verdict
	// KeyFound says whether the request has a sticky key, KeyGiven whether it is the one that requests may bring to every endpoint.
	KeyFound, KeyGiven bool
}

// Verdict is what a rule made of a request.
type Verdict struct {
	Rule    *Rule
	Matches bool
	Failed  int // index of the condition that does not hold, where the rule does not match
}

// Explain says what PickFor would do with the request. It is not made for speed.
func (t *Table) Explain(endpoint string, req Request, stickyKey string) Explanation {
	var x Explanation
	e, err := t.find(endpoint)
	if err != nil {
		return Explanation{Err: err}
	}
	x.Decision = Decision{Endpoint: e, Revision: t.revision, Bucket: -1}
	for i := range e.Rules {
		v := Verdict{Rule: &e.Rules[i], Matches: true}
		for j := range v.Rule.When {
			ok, err := v.Rule.When[j].holds(req)
			if err != nil {
				x.Err = err
				return x
			}
			if !ok {
				v.Matches, v.Failed = false, j
				break
			}
		}
		x.Rules = append(x.Rules, v)
		if v.Matches {
			x.Decision, x.Err = t.byRule(e, v.Rule, req)
			return x
		}
	}
	x.KeyGiven = stickyKey != ""
	if !x.KeyGiven && e.Sticky.Source != None {
		if stickyKey, x.Err = req.Value(&e.Sticky); x.Err != nil {
			return x
		}
	}
	x.KeyFound = stickyKey != ""
	d, err := t.byWeight(e, stickyKey, 0)
	x.Err = err
	if x.KeyFound || err != nil {
		x.Decision = d
	}
	return x
}
