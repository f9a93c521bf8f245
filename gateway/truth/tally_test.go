package truth

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-12 {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// The numbers are those of scikit-learn 1.9: precision_recall_fscore_support(y, p, average=None | "macro", zero_division=0) and accuracy_score of
//
//	y = [a a a a b b b c c d]
//	p = [a a b c b b a c e b]
func TestQualityOfClasses(t *testing.T) {
	t.Parallel()
	var tally Tally
	y, p := "aaaabbbccd", "aabcbbaceb"
	for i := range y {
		tally.Count(Judgement{Judged: true, Actual: y[i : i+1], Predicted: p[i : i+1], Wrong: y[i] != p[i]})
	}
	q := tally.Quality()
	near(t, "accuracy", q.Accuracy, 0.5)
	near(t, "precision", q.PrecisionMacro, (2.0/3+0.5+0.5+0+0)/5)
	near(t, "recall", q.RecallMacro, (0.5+2.0/3+0.5+0+0)/5)
	near(t, "F1", q.F1Macro, (4.0/7+4.0/7+0.5+0+0)/5)
	if q.MAE != nil || q.RMSE != nil || len(q.Classes) != 5 || q.Classes[0].Name != "a" || q.Classes[0].Support != 4 || q.Classes[4].Support != 0 {
		t.Fatalf("got %+v", q)
	}
	near(t, "precision of a", &q.Classes[0].Precision, 2.0/3)
	near(t, "recall of a", &q.Classes[0].Recall, 0.5)
	near(t, "F1 of a", &q.Classes[0].F1, 4.0/7)
}

func TestQualityOfNumbers(t *testing.T) {
	t.Parallel()
	var tally Tally
	for _, e := range []float64{1, -2, 2, -4} {
		tally.Count(Judgement{Measured: true, Error: e})
	}
	q := tally.Quality()
	near(t, "MAE", q.MAE, 2.25)
	near(t, "RMSE", q.RMSE, 2.5)
	if q.Accuracy != nil || q.PrecisionMacro != nil || q.Classes != nil || q.Labels != 4 {
		t.Errorf("got %+v", q)
	}
	if q := (&Tally{}).Quality(); !reflect.DeepEqual(q, Quality{}) {
		t.Errorf("nothing says %+v", q)
	}
}

// However labels are divided among tallies, the sum says the same, also after it was stored.
func TestTalliesAddUp(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var whole Tally
		parts := make([]Tally, 1+random.IntN(5))
		for range random.IntN(400) {
			j := Judgement{Judged: true, Actual: fmt.Sprint(random.IntN(7)), Predicted: fmt.Sprint(random.IntN(7))}
			if j.Wrong = j.Actual != j.Predicted; random.IntN(3) == 0 {
				j = Judgement{Measured: true, Error: float64(random.IntN(9) - 4)}
			}
			whole.Count(j)
			parts[random.IntN(len(parts))].Count(j)
		}
		var sum Tally
		for i := range parts {
			b, err := json.Marshal(parts[i])
			if err != nil {
				t.Fatal(err)
			}
			var back Tally
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			sum.Add(&back)
		}
		if !reflect.DeepEqual(sum.Quality(), whole.Quality()) {
			t.Fatalf("got %+v, want %+v", sum, whole)
		}
	}
}

// Labels of more classes than are kept apart stay right or wrong, and no tally grows past its bound.
func TestClassesAreBounded(t *testing.T) {
	t.Parallel()
	var tally Tally
	for i := range 10000 {
		tally.Count(Judgement{Judged: true, Wrong: i%4 == 0, Actual: fmt.Sprint(i), Predicted: fmt.Sprint(i / 2)})
	}
	for actual, row := range tally.Classes {
		if len(row) > maxClasses+1 {
			t.Errorf("%s has %d", actual, len(row))
		}
	}
	if len(tally.Classes) > maxClasses+1 {
		t.Errorf("%d classes", len(tally.Classes))
	}
	near(t, "accuracy", tally.Quality().Accuracy, 0.75)
}
