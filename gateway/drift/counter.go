package drift

import (
	"cmp"
	"maps"
	"slices"
)

// counter counts the texts that are frequent, as Space-Saving does: when it is full, a new text takes the place and the count of the rarest.
// A count is never too low, and too high by at most the total divided by maxTexts (A. Metwally, D. Agrawal, A. El Abbadi, Efficient computation
// of frequent and top-k elements in data streams, 2005).
type counter map[string]tally

// tally is how often a text came, at most; over of it may be those that had its place before.
type tally struct{ count, over uint64 }

// middle is between the least and the most that the text came.
func (t tally) middle() float64 { return float64(t.count) - float64(t.over)/2 }

const maxTexts = 128

func (c counter) add(text string, n tally) {
	before, known := c[text]
	if !known && len(c) >= maxTexts {
		rarest := c.rarest()
		before = tally{c[rarest].count, c[rarest].count}
		delete(c, rarest)
	}
	c[text] = tally{before.count + n.count, before.over + n.over}
}

// rarest is the text with the lowest count, of several the first by name.
func (c counter) rarest() string {
	var out string
	least, first := uint64(0), true
	for text, t := range c {
		n := t.count
		if first || n < least || n == least && text < out {
			out, least, first = text, n, false
		}
	}
	return out
}

func (c counter) total() (n uint64) {
	for _, t := range c {
		n += t.count
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
		if d := cmp.Compare(c[y].count, c[x].count); d != 0 {
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
		out = append(out, Frequency{text, c[text].count})
	}
	return out
}

// leastOfPart is how often a text came at least that is a part of its own: what came by chance says nothing of the next rows.
const leastOfPart = 5

// parts are the most frequent texts that are sure to be frequent, at most n of them. While there was room for all texts those are any; after that,
// those that came more often than the places of the rarest changed hands: of a column of names or free texts there is none.
func (c counter) parts(n int) []string {
	var out []string
	least := uint64(leastOfPart)
	if len(c) >= maxTexts {
		least = max(least, 2*c.total()/maxTexts)
	}
	for _, text := range c.keys() {
		if t := c[text]; len(out) < n && t.count-t.over >= least {
			out = append(out, text)
		}
	}
	return out
}

// stored are the counts as they are stored.
func (c counter) stored() (counts, over map[string]uint64) {
	counts = make(map[string]uint64, len(c))
	for text, t := range c {
		if counts[text] = t.count; t.over > 0 {
			if over == nil {
				over = map[string]uint64{}
			}
			over[text] = t.over
		}
	}
	return counts, over
}

// restored is the counter that was stored, by an earlier version without over.
func restored(counts, over map[string]uint64) counter {
	c := make(counter, len(counts))
	var unsure uint64
	if over == nil && len(counts) >= maxTexts {
		unsure = slices.Min(slices.Collect(maps.Values(counts)))
	}
	for text, n := range counts {
		c[text] = tally{n, min(n, over[text]+unsure)}
	}
	return c
}
