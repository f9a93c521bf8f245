package page_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"

	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

var question = page.NewQuestion("runs", []string{"0"}, "metrics.a > 1", []string{"metrics.a DESC"})

func TestTokensComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 4000)
	for name, c := range map[string]struct{ place, want page.Place }{
		"numbers":    {page.Place{int64(0), int64(math.MaxInt64), int64(math.MinInt64), 0.1, math.MaxFloat64, -5e-324, 1e21}, nil},
		"texts":      {page.Place{"", "null", "1", "ü\n\"", "{}"}, nil},
		"nothing":    {page.Place{nil, "id"}, nil},
		"long texts": {page.Place{long, "a\xff"}, page.Place{page.DigestOf(long), page.DigestOf("a\xff")}},
	} {
		if c.want == nil {
			c.want = c.place
		}
		token, err := question.Token(c.place)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := question.Read(token)
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
		if len(token) > 1000 {
			t.Errorf("%s: a token of %d bytes", name, len(token))
		}
	}
	if place, err := question.Read(""); place != nil || err != nil {
		t.Error(place, err)
	}
	if token, err := question.Token(nil); token != "" || err != nil {
		t.Error(token, err)
	}
	if _, err := question.Token(page.Place{true}); err == nil {
		t.Error("a bool was taken")
	}
}

func TestQuestionsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[page.Question]int{}
	for i, q := range []page.Question{
		question, page.NewQuestion("traces", []string{"0"}, "metrics.a > 1", []string{"metrics.a DESC"}),
		page.NewQuestion("runs", []string{"0", "metrics.a > 1"}, "", []string{"metrics.a DESC"}),
		page.NewQuestion("runs", []string{"0"}, "metrics.a > 1", []string{"metrics.a", "DESC"}),
		page.NewQuestion("runs", []string{"0"}, "metrics.a > 1", []string(nil)), page.NewQuestion("runs"),
	} {
		if j, ok := seen[q]; ok {
			t.Errorf("questions %d and %d have one token", i, j)
		}
		seen[q] = i
	}
}

func TestForeignTokensAreRefused(t *testing.T) {
	t.Parallel()
	ours, err := page.NewQuestion("other").Token(page.Place{int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	head := `{"version":2,"question":"` + question.String() + `",`
	for token, sentence := range map[string]string{
		"*":                     "could not base64-decode",
		encode("x"):             "decoded value=b'x'",
		encode(`[1]`):           "decoded value=",
		encode(`{}`):            "parsed value=",
		encode(`{"offset": 1}`): "not made by this version",
		encode(`{"version":1,"question":"` + question.String() + `","after":[]}`): "not made by this version",
		ours:                                                                   "belongs to another search",
		encode(head + `"after":[]}`):                                           "parsed value=",
		encode(head + `"after":{}}`):                                           "parsed value=",
		encode(head + `"after":[{}]}`):                                         "term 0",
		encode(head + `"after":[null]}{}`):                                     "decoded value=",
		encode(head + `"after":[null],"x":1}`):                                 "parsed value=",
		encode(head + `"after":[{"n":1e999}]}`):                                "term 0",
		encode(head + `"after":[{"t":"a","n":1}]}`):                            "term 0",
		encode(head + `"after":[{"t":"a\u0000"}]}`):                            "term 0",
		encode(head + `"after":[{"d":"short"}]}`):                              "term 0",
		encode(head + `"after":[{"t":"` + strings.Repeat("a", 2000) + `"}]}`):  "term 0",
		encode(head + `"after":[` + strings.Repeat("null,", 200) + `null]}`):   "parsed value=",
		encode(head + `"after":[{"t":"` + strings.Repeat("a", 1<<20) + `"}]}`): "could not base64-decode",
	} {
		_, err := question.Read(token)
		if mlflow.CodeOf(err) != mlflow.InvalidParameterValue || !strings.Contains(err.Error(), sentence) || len(err.Error()) > 1000 {
			t.Errorf("%.80s: %v, want %q", token, err, sentence)
		}
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// FuzzRead: a forged token is a place that makes a token again, or a refusal.
func FuzzRead(f *testing.F) {
	for _, p := range []page.Place{{int64(1), "a"}, {nil, 0.5}, {page.DigestOf("x")}} {
		token, err := question.Token(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add(encode(`{"offset":"3"}`))
	f.Fuzz(func(t *testing.T, token string) {
		place, err := question.Read(token)
		if err != nil {
			if mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
				t.Fatal(err)
			}
			return
		}
		again, err := question.Token(place)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := question.Read(again); err != nil || !back.Equal(place) {
			t.Fatalf("%v became %v, %v", place, back, err)
		}
	})
}

func TestPartsRefuseInTheirOwnWords(t *testing.T) {
	t.Parallel()
	ask := func(scope, filter, order string) page.Question {
		return page.NewQuestion("things", order, page.Part{Value: scope, Refusal: "another scope"}, page.Part{Value: filter, Refusal: "another filter"})
	}
	token, err := ask("a", "f", "o").Token(page.Place{int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		question page.Question
		want     string
	}{
		"the same":               {ask("a", "f", "o"), ""},
		"another scope":          {ask("b", "f", "o"), "another scope"},
		"both: the first":        {ask("b", "g", "o"), "another scope"},
		"another filter":         {ask("a", "g", "p"), "another filter"},
		"what has no words":      {ask("a", "f", "p"), "Invalid page token: it belongs to another search."},
		"another kind of search": {page.NewQuestion("things", "o"), "Invalid page token: it belongs to another search."},
	} {
		_, err := c.question.Read(token)
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %v, want %q", name, got, c.want)
		}
	}
}
