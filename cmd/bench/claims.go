package main

import "fmt"

// claim is one ratio that the server is held to, and what was measured.
type claim struct {
	work        string
	must, reach float64
	noReach     bool   // there is only must
	most        bool   // must and reach are upper limits; else lower ones
	unit        string // behind the figures, such as " x"
	digits      int    // after the point
	measured    float64
	missing     string // why it was not measured
}

func (c claim) holds(limit float64) bool {
	if c.most {
		return c.measured <= limit
	}
	return c.measured >= limit
}

func (c claim) verdict() string {
	switch {
	case c.missing != "":
		return "not measured: " + c.missing
	case !c.holds(c.must):
		return "MISSED"
	case c.noReach || !c.holds(c.reach):
		return "pass"
	}
	return "pass, within reach"
}

func (c claim) number(v float64) string { return fmt.Sprintf("%.*f%s", c.digits, v, c.unit) }

func (c claim) figure() string {
	if c.missing != "" {
		return "-"
	}
	return c.number(c.measured)
}

func (c claim) limits() (must, reach string) {
	sign := "≥ "
	if c.most {
		sign = "≤ "
	}
	if c.noReach {
		return sign + c.number(c.must), "-"
	}
	return sign + c.number(c.must), sign + c.number(c.reach)
}

// claim prints a ratio beside its limits and keeps it for the table at the end.
func (b *bench) claim(c claim) {
	b.claims = append(b.claims, c)
	must, reach := c.limits()
	b.say("  %s: %s (must %s, reach for %s): %s", c.work, c.figure(), must, reach, c.verdict())
}

// printClaims prints the table in Markdown.
func (b *bench) printClaims() {
	if len(b.claims) == 0 {
		return
	}
	b.say("\n| work | measured | must | reach for | |\n|---|---|---|---|---|")
	for _, c := range b.claims {
		must, reach := c.limits()
		b.say("| %s | %s | %s | %s | %s |", c.work, c.figure(), must, reach, c.verdict())
	}
}
