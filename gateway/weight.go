package gateway

import (
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// Weight is a share of traffic in basis points: 0–10000, 10000 is 100 %.
type Weight int

// FullWeight is 100 %.
const FullWeight Weight = 10_000

// ParsePercent reads a percentage with at most two decimals ("90", "33.33", "5e1" is refused) into basis points.
// Returns INVALID_PARAMETER_VALUE for anything else, and for values outside 0–100.
func ParsePercent(s string) (Weight, error) {
	whole, frac, dotted := strings.Cut(s, ".")
	if whole == "" || len(whole) > 3 || !digits(whole) || dotted && (frac == "" || !digits(frac)) {
		return 0, mlflow.Invalidf("traffic_percentage %s is not a number from 0 to 100", clip(s, 40))
	}
	trimmed := strings.TrimRight(frac, "0")
	if len(trimmed) > 2 {
		return 0, mlflow.Invalidf("traffic_percentage %s has more than two decimals", clip(s, 40))
	}
	n, _ := strconv.Atoi(whole)
	f, _ := strconv.Atoi((trimmed + "00")[:2])
	w := Weight(n*100 + f)
	if w > FullWeight {
		return 0, mlflow.Invalidf("traffic_percentage %s is not a number from 0 to 100", clip(s, 40))
	}
	return w, nil
}

// String is the percentage without needless decimals: "90", "33.3", "0.01".
func (w Weight) String() string {
	s := strconv.Itoa(int(w / 100))
	if f := int(w % 100); f != 0 {
		s += "." + strings.TrimRight(string([]byte{byte('0' + f/10), byte('0' + f%10)}), "0")
	}
	return s
}

// MarshalJSON writes the percentage as a JSON number.
func (w Weight) MarshalJSON() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (w *Weight) UnmarshalJSON(text []byte) error {
	var err error
	*w, err = ParsePercent(string(text))
	return err
}

// Distribute returns shares that sum to FullWeight and stand to each other as weights do; weights of 0 stay 0. It returns nil if no
// weight is above 0. What rounding leaves over goes to the largest remainders, the earlier first.
func Distribute(weights []Weight) []Weight {
	var total Weight
	for _, w := range weights {
		total += w
	}
	if total <= 0 {
		return nil
	}
	out := make([]Weight, len(weights))
	rest := FullWeight
	for i, w := range weights {
		out[i] = w * FullWeight / total
		rest -= out[i]
	}
	given := make([]bool, len(weights))
	for ; rest > 0; rest-- {
		best := -1
		for i, w := range weights {
			r := w * FullWeight % total
			if !given[i] && r > 0 && (best < 0 || r > weights[best]*FullWeight%total) {
				best = i
			}
		}
		out[best]++
		given[best] = true
	}
	return out
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// clip cuts s to at most n bytes for a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
