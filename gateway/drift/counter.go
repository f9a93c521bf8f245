package drift

import (
	"cmp"
	"slices"
)

// counter counts the texts that are frequent, as Space-Saving does: when it is full, a new text takes the place and the count of the rarest.
// A count is never too low, and too high by at most the total divided by maxTexts (A. Metwally, D. Agrawal, A. El Abbadi, Efficient computation
// of frequent and top-k elements in data streams, 2005).
type counter map[string]uint64

const maxTexts = 128

func (c counter) add(text string, n uint64) {
	if _, known := c[text]; !known && len(c) >= maxTexts {
		rarest := c.rarest()
		n += c[rarest]
		delete(c, rarest)
	}
	c[text] += n
}

// rarest is the text with the lowest count, of several the first by name.
func (c counter) rarest() string {
	var out string
	least, first := uint64(0), true
	for text, n := range c {
		if first || n < least || n == least && text < out {
			out, least, first = text, n, false
		}
	}
	return out
}

func (c counter) total() (n uint64) {
	for _, k := range c {
		n += k
	}
	return n
}

// keys are the texts, the most frequent first.
func (c counter) keys() []string {
	out := make([]string, 0, len(c))
	for text := range c {
		out = append(out, text)
	}
	slices.SortFunc(out, func(x, y string) int {
		if d := cmp.Compare(c[y], c[x]); d != 0 {
			return d
		}
		return cmp.Compare(x, y)
	})
	return out
}

// Frequency is a text and how often it came.
type Frequency struct {
	Text  string `json:"value"`
	Count uint64 `json:"count"`
}

func (c counter) top(n int) []Frequency {
	var out []Frequency
	for _, text := range c.keys() {
		if len(out) == n {
			break
		}
		out = append(out, Frequency{text, c[text]})
	}
	return out
}
