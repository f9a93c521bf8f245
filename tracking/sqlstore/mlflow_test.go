package sqlstore_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

// braces are the sets and lists in sentences, which Python prints in any order.
var braces = regexp.MustCompile(`'?[{(\[].*`)

// TestAgainstMLflow lets the real MLflow and us work on one database: each reads what the other wrote, and on SQLite both judge
// the golden filters of tracking/filter alike (PostgreSQL refuses some of the statements that MLflow makes of them).
func TestAgainstMLflow(t *testing.T) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			cases := os.DevNull
			if d == sqldb.SQLite {
				cases = "../filter/testdata/cases.txt"
			}
			againstMLflow(t, sqldbtest.URI(t, d, true), cases)
		})
	}
}

func againstMLflow(t *testing.T, database, cases string) {
	t.Helper()
	script, err := os.ReadFile("testdata/mlflow.py")
	if err != nil {
		t.Fatal(err)
	}
	casesPath, err := filepath.Abs(cases)
	if err != nil {
		t.Fatal(err)
	}
	store := sqlstore.New(sqldbtest.OpenURI(t, database, nil), nil)
	writeOurs(t, store)
	before := everything(t, store)

	var theirs struct {
		Before, After any
		Filters       []*string
	}
	printed := sqldbtest.Python(t, string(script), database, casesPath)
	if err := json.Unmarshal([]byte(printed[strings.LastIndex(printed, "\n")+1:]), &theirs); err != nil {
		t.Fatalf("%v in %q", err, printed)
	}
	if runs := before.(map[string]any)["runs"].(map[string]any); len(runs) != 2 {
		t.Fatalf("we wrote %d runs, want 2", len(runs))
	}
	sameJSON(t, "what we wrote", theirs.Before, before)
	sameJSON(t, "what MLflow wrote", theirs.After, everything(t, store))
	compareFilters(t, cases, theirs.Filters)
}

// compareFilters holds the golden filters against MLflow's answers: accepted by both or refused by both, with the same beginning
// of the sentence, unless the file says "# differs".
func compareFilters(t *testing.T, cases string, answers []*string) {
	f, err := os.Open(cases)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, differs, next, heading := "", false, false, ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "# differs"):
			next = true
		case strings.HasPrefix(line, "["):
			heading = line
		case line == "" || line[0] == '#':
		case line[0] != '\t':
			text, differs, next = line, next, false
		case len(answers) == 0:
			t.Fatalf("no answer for %s", text)
		default:
			if !differs {
				compareAnswers(t, heading+" "+text, line[1:], answers[0])
			}
			answers = answers[1:]
		}
	}
	if len(answers) != 0 {
		t.Errorf("%d answers are left over", len(answers))
	}
}

func compareAnswers(t *testing.T, text, ours string, theirs *string) {
	t.Helper()
	sentence, refused := strings.CutPrefix(ours, "error: ")
	switch {
	case !refused && theirs != nil:
		t.Errorf("%s\nwe accept, MLflow says %s", text, *theirs)
	case refused && theirs == nil:
		t.Errorf("%s\nMLflow accepts, we say %s", text, sentence)
	case refused:
		ours, theirs := beginning(sentence), beginning(*theirs)
		if !strings.HasPrefix(theirs, ours) && !strings.HasPrefix(ours, theirs) {
			t.Errorf("%s\n    we say %s\nMLflow says %s", text, ours, theirs)
		}
	}
}

// beginning cuts what the two may print differently: sets, and the text of invalid clauses.
func beginning(sentence string) string {
	for _, cut := range []string{"Invalid clause(s) in filter string:", "Invalid filter string:", "Invalid comparison:"} {
		if strings.HasPrefix(sentence, cut) {
			return cut
		}
	}
	return braces.ReplaceAllString(sentence, "")
}
