package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"
)

const (
	accuracy     = 0.01 // relative, of numbers in a sketch
	maxBins      = 1024 // of each sign; what is nearest to zero collapses
	hllPrecision = 10   // 2^10 registers: 3 % error
)

// Sketch is what is known of the values of one column. Make it with NewSketch.
type Sketch struct {
	Missing  uint64 // null, NaN, infinite, or of no kind that can be compared
	numbers  *ddsketch.DDSketch
	sum      float64 // of numbers
	texts    counter
	distinct *hyperloglog.Sketch
}

// NewSketch returns an empty one.
func NewSketch() *Sketch {
	numbers, err := ddsketch.LogCollapsingLowestDenseDDSketch(accuracy, maxBins)
	if err != nil {
		panic(err) // the accuracy is a constant
	}
	distinct, err := hyperloglog.NewSketch(hllPrecision, true)
	if err != nil {
		panic(err) // likewise
	}
	return &Sketch{numbers: numbers, texts: counter{}, distinct: distinct}
}

// AddNumber takes a number in.
func (s *Sketch) AddNumber(x float64) {
	if math.IsNaN(x) || s.numbers.Add(x) != nil {
		s.Missing++
		return
	}
	s.sum += x
	bits := math.Float64bits(x + 0) // -0 is 0
	s.distinct.InsertHash(mix(bits))
}

// mix spreads the bits of a number over a hash (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// AddText takes a text in.
func (s *Sketch) AddText(text string) {
	s.texts.add(clip(text), tally{count: 1})
	s.distinct.Insert([]byte(text))
}

const maxText = 64 // bytes of a text that tell it from others

// clip cuts between characters: half of one would come back from the store as another text.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// Numbers and Texts are how many of each were taken in; Count is everything.
func (s *Sketch) Numbers() uint64 { return uint64(s.numbers.GetCount()) }
func (s *Sketch) Texts() uint64   { return s.texts.total() }
func (s *Sketch) Count() uint64   { return s.Numbers() + s.Texts() + s.Missing }

// Textual says whether the column holds texts rather than numbers.
func (s *Sketch) Textual() bool { return s.Texts() > s.Numbers() }

// Merge takes in what o holds; o stays as it is.
func (s *Sketch) Merge(o *Sketch) error {
	s.Missing += o.Missing
	s.sum += o.sum
	for _, text := range o.texts.keys() {
		s.texts.add(text, o.texts[text])
	}
	if err := s.distinct.Merge(o.distinct.Clone()); err != nil {
		return err
	}
	return s.numbers.MergeWith(o.numbers)
}

// Quantile is the number below which the share q of the numbers lies; 0 without numbers.
func (s *Sketch) Quantile(q float64) float64 {
	v, err := s.numbers.GetValueAtQuantile(q)
	if err != nil {
		return 0
	}
	return v
}

// Mean is the mean of the numbers; 0 without any.
func (s *Sketch) Mean() float64 {
	if n := s.numbers.GetCount(); n > 0 {
		return s.sum / n
	}
	return 0
}

// Distinct estimates how many different values there are.
func (s *Sketch) Distinct() uint64 { return s.distinct.Estimate() }

// Top returns the most frequent texts, at most n of them.
func (s *Sketch) Top(n int) []Frequency { return s.texts.top(n) }

// bin is numbers that the sketch does not tell apart.
type bin struct{ value, count float64 }

// bins are the numbers in ascending order.
func (s *Sketch) bins() []bin {
	var out []bin
	s.numbers.ForEach(func(value, count float64) bool {
		out = append(out, bin{value, count})
		return false
	})
	slices.SortFunc(out, func(x, y bin) int {
		switch {
		case x.value < y.value:
			return -1
		case x.value > y.value:
			return 1
		}
		return 0
	})
	return out
}

// stored is a Sketch as it is stored; fields are added, never renamed.
type stored struct {
	Missing  uint64            `json:"missing,omitempty"`
	Numbers  []byte            `json:"numbers,omitempty"` // DDSketch's encoding, with its mapping
	Sum      float64           `json:"sum,omitempty"`
	Texts    map[string]uint64 `json:"texts,omitempty"`
	Over     map[string]uint64 `json:"over,omitempty"`     // of Texts, what may be others'; without it everything may be that a full counter cannot rule out
	Distinct []byte            `json:"distinct,omitempty"` // HyperLogLog's encoding
}

// MarshalJSON writes what UnmarshalJSON reads.
func (s *Sketch) MarshalJSON() ([]byte, error) {
	out := stored{Missing: s.Missing, Sum: s.sum}
	out.Texts, out.Over = s.texts.stored()
	if !s.numbers.IsEmpty() {
		s.numbers.Encode(&out.Numbers, false)
	}
	var err error
	if out.Distinct, err = s.distinct.MarshalBinary(); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// UnmarshalJSON replaces the sketch.
func (s *Sketch) UnmarshalJSON(text []byte) error {
	var in stored
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	*s = *NewSketch()
	s.Missing, s.sum = in.Missing, in.Sum
	s.texts = restored(in.Texts, in.Over)
	if len(in.Numbers) > 0 {
		numbers, err := ddsketch.DecodeDDSketch(in.Numbers, func() store.Store { return store.NewCollapsingLowestDenseStore(maxBins) }, nil)
		if err != nil {
			return fmt.Errorf("numbers: %w", err)
		}
		s.numbers = numbers
	}
	if len(in.Distinct) > 0 {
		if err := s.distinct.UnmarshalBinary(in.Distinct); err != nil {
			return fmt.Errorf("distinct values: %w", err)
		}
	}
	return nil
}
