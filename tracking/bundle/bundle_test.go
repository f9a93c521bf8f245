package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
)

// memory is a Store without a database: rows by table, and what an import gave it.
type memory struct {
	rows     map[string][]bundle.Row
	existing map[string]bool // runs
	fail     error           // of the transaction, after finish
	imported map[string][]bundle.Row
}

func (m *memory) Schema() string { return "abc" }

func (m *memory) Export(_ context.Context, sel bundle.Selection, emit bundle.Emit) (string, error) {
	for _, t := range bundle.Tables() {
		for _, row := range m.rows[t.Name] {
			if err := emit(t, row); err != nil {
				return "", err
			}
		}
	}
	return sel.ID, nil
}

func (m *memory) Plan(_ context.Context, c *bundle.Contents) (*bundle.Plan, error) {
	p := bundle.NewPlan(c)
	t := c.Table("experiments")
	for row, err := range c.Rows(t) {
		if err != nil {
			return nil, err
		}
		p.Experiments[row.Int(t, "experiment_id")] = bundle.Target{ID: 70, Location: c.DefaultLocation("70")}
	}
	var found []string
	for _, id := range c.Owners(bundle.ClassRun) {
		if m.existing[id] {
			found = append(found, id)
		}
	}
	return p, p.Found(bundle.ClassRun, found)
}

func (m *memory) Import(ctx context.Context, c *bundle.Contents, finish func(context.Context, *bundle.Plan) error) (*bundle.Plan, error) {
	p, err := m.Plan(ctx, c)
	if err != nil {
		return nil, err
	}
	imported := map[string][]bundle.Row{}
	for _, t := range bundle.Tables() {
		for row, err := range c.Rows(t) {
			if err != nil {
				return nil, err
			}
			row, keep, err := p.Map(t, row)
			if err != nil {
				return nil, err
			}
			if keep {
				imported[t.Name] = append(imported[t.Name], row)
				p.Wrote(t, 1)
			}
		}
	}
	if err := errors.Join(finish(ctx, p), m.fail); err != nil {
		return nil, err
	}
	m.imported = imported
	return p, nil
}

type locations struct{}

func (locations) DefaultLocation(id string) string { return "mlflow-artifacts:/" + id }
func (locations) CheckLocation(uri string) error {
	if strings.Contains(uri, "..") {
		return mlflow.Invalidf("no")
	}
	return nil
}

// side is a server's share of a test.
type side struct {
	*bundle.Service
	store *memory
	files *artifact.Repo
	dir   string
}

func newSide(t testing.TB, limits bundle.Limits) *side {
	t.Helper()
	dir := t.TempDir()
	d, err := fileartifact.New(dir, nil)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	root := artifact.NewRepo(d)
	store := &memory{}
	s := bundle.New(store, artifact.NewResolver(root, nil), bundle.Options{
		Locations: locations{}, TempDir: filepath.Join(t.TempDir(), "tmp"), Limits: limits, Now: func() time.Time { return time.UnixMilli(5) },
	})
	return &side{s, store, root, dir}
}

// left returns every file on the disk, those that clients can't see too.
func (s *side) left(t testing.TB) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(p, s.dir+"/"))
		}
		return err
	}))
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const run = "0123456789abcdef0123456789abcdef"

// aRow makes a row from what differs from nothing: "" for texts, 0, false.
func aRow(table string, values map[string]any) bundle.Row {
	for _, t := range bundle.Tables() {
		if t.Name != table {
			continue
		}
		row := make(bundle.Row, len(t.Columns))
		for i, c := range t.Columns {
			if !c.Null {
				row[i] = []any{"", int64(0), 0.0, false}[c.Type]
			}
			if v, ok := values[c.Name]; ok {
				row[i] = v
			}
		}
		return row
	}
	panic(table)
}

// filled is a run with everything odd.
func filled(t testing.TB) *side {
	t.Helper()
	s := newSide(t, bundle.Limits{})
	metric := func(v float64, at, step int64) bundle.Row {
		return aRow("metrics", map[string]any{"key": "loss", "value": v, "timestamp": at, "step": step, "run_uuid": run, "is_nan": v != v})
	}
	s.store.rows = map[string][]bundle.Row{
		"experiments":     {aRow("experiments", map[string]any{"experiment_id": int64(3), "name": "é \"x\" \\ 日本", "artifact_location": "mlflow-artifacts:/3", "lifecycle_stage": "active"})},
		"experiment_tags": {aRow("experiment_tags", map[string]any{"experiment_id": int64(3), "key": "k", "value": "line\nfeed\ttab \u2028 \x7f"})},
		"runs":            {aRow("runs", map[string]any{"run_uuid": run, "experiment_id": int64(3), "artifact_uri": "mlflow-artifacts:/3/" + run + "/artifacts", "status": "FINISHED", "lifecycle_stage": "active"})},
		"metrics": {
			metric(0, 1, 1<<40), metric(math.MaxFloat64, math.MaxInt64, math.MinInt64), metric(math.Inf(1), 2, 2), metric(math.Inf(-1), 3, 3), metric(5e-324, 4, 4),
			metric(math.Copysign(0, -1), 5, 5), metric(0.1, 6, 6),
		},
		"inputs":     {aRow("inputs", map[string]any{"input_uuid": "i", "source_type": "DATASET", "source_id": "d", "destination_type": "RUN", "destination_id": run})},
		"input_tags": {aRow("input_tags", map[string]any{"input_uuid": "i", "name": "a", "value": "b"})},
		"datasets":   {aRow("datasets", map[string]any{"dataset_uuid": "d", "experiment_id": int64(3), "name": "n"})},
	}
	for p, content := range map[string]string{"a-b": "1", "a/b": "22", "model/é 1%": strings.Repeat("x", 300_000), "empty": ""} {
		_, err := s.files.Write(t.Context(), "3/"+run+"/artifacts/"+p, strings.NewReader(content))
		must(t, err)
	}
	return s
}

func export(t testing.TB, s *side) []byte {
	t.Helper()
	out, err := s.Gather(t.Context(), bundle.Selection{Kind: bundle.KindRun, ID: run})
	must(t, err)
	defer out.Close()
	var b bytes.Buffer
	must(t, out.WriteTo(t.Context(), &b))
	return b.Bytes()
}

func TestEverythingComesBack(t *testing.T) {
	t.Parallel()
	from, to := filled(t), newSide(t, bundle.Limits{})
	report, err := to.Import(t.Context(), bytes.NewReader(export(t, from)), false)
	must(t, err)
	if report.Files != 4 || report.Bytes != 300_003 || report.Rows["metrics"] != 7 || report.Experiments["3"] != "70" {
		t.Errorf("report %+v", report)
	}
	want := maps.Clone(from.store.rows)
	delete(want, "experiments")
	for table, rows := range want {
		got := to.store.imported[table]
		for i, row := range rows {
			for j := range row {
				if f, ok := row[j].(float64); ok {
					if math.Float64bits(f) != math.Float64bits(got[i][j].(float64)) {
						t.Errorf("%s: got %v, want %v", table, got[i][j], f)
					}
				} else if s, _ := row[j].(string); !strings.HasPrefix(s, "mlflow-artifacts:") && !reflect.DeepEqual(row[j], got[i][j]) && row[j] != int64(3) {
					t.Errorf("%s: got %v, want %v", table, got[i][j], row[j])
				}
			}
		}
	}
	if uri := to.store.imported["runs"][0]; !strings.Contains(fmt.Sprint(uri), "mlflow-artifacts:/70/"+run+"/artifacts") {
		t.Errorf("run %v", uri)
	}
	r, _, err := to.files.Open(t.Context(), "70/"+run+"/artifacts/model/é 1%")
	must(t, err)
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || len(b) != 300_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if left := to.left(t); len(left) != 4 {
		t.Errorf("on the disk: %v", left)
	}
}

func TestWhatIsThereIsAConflictOrLeftAlone(t *testing.T) {
	t.Parallel()
	b := export(t, filled(t))
	to := newSide(t, bundle.Limits{})
	to.store.existing = map[string]bool{run: true}
	_, err := to.Import(t.Context(), bytes.NewReader(b), false)
	if mlflow.CodeOf(err) != mlflow.ResourceAlreadyExists || !strings.Contains(err.Error(), run) {
		t.Errorf("got %v", err)
	}
	report, err := to.Import(t.Context(), bytes.NewReader(b), true)
	if err != nil || report.SkippedAll != 1 || report.Files != 0 || report.Rows["metrics"] != 0 || report.Rows["input_tags"] != 0 || report.Rows["datasets"] != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if left := to.left(t); len(left) != 0 {
		t.Errorf("on the disk: %v", left)
	}
}

func TestAFailedTransactionLeavesNoFile(t *testing.T) {
	t.Parallel()
	to := newSide(t, bundle.Limits{})
	to.store.fail = errors.New("the commit failed")
	if _, err := to.Import(t.Context(), bytes.NewReader(export(t, filled(t))), false); !errors.Is(err, to.store.fail) {
		t.Errorf("got %v", err)
	}
	if left := to.left(t); len(left) != 0 {
		t.Errorf("on the disk: %v", left)
	}
}

func TestASourceThatFails(t *testing.T) {
	t.Parallel()
	to, broken := newSide(t, bundle.Limits{}), errors.New("the wire broke")
	b := export(t, filled(t))
	_, err := to.Import(t.Context(), io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotestErr{broken}), false)
	if !errors.Is(err, broken) || len(to.left(t)) != 0 {
		t.Errorf("got %v", err)
	}
}

type iotestErr struct{ error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.error }

// entry is one entry of a bundle under attack.
type entry struct {
	h       tar.Header
	content []byte
}

func unpack(t testing.TB, b []byte) []entry {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b))
	must(t, err)
	defer z.Close()
	var out []entry
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		out = append(out, entry{*h, content})
	}
}

// pack writes entries as a bundle with a right end, so that nothing but what was changed is wrong.
func pack(t testing.TB, entries []entry) []byte {
	t.Helper()
	sum, total := sha256.New(), int64(0)
	for i, e := range entries {
		if e.h.Name == "end.json" {
			end, err := json.Marshal(bundle.End{Entries: int64(i), Bytes: total, SHA256: hex.EncodeToString(sum.Sum(nil))})
			must(t, err)
			entries[i].content = end
			break
		}
		digest := sha256.Sum256(e.content)
		fmt.Fprintf(sum, "%d:%s %d %s\n", len(e.h.Name), e.h.Name, len(e.content), hex.EncodeToString(digest[:]))
		total += int64(len(e.content))
	}
	return packAsIs(t, entries)
}

func packAsIs(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	must(t, err)
	w := tar.NewWriter(z)
	for _, e := range entries {
		if e.h.Typeflag == tar.TypeReg {
			e.h.Size = int64(len(e.content))
		}
		must(t, w.WriteHeader(&e.h))
		if e.h.Typeflag == tar.TypeReg {
			_, err = w.Write(e.content)
			must(t, err)
		}
	}
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

func at(t testing.TB, entries []entry, name string) *entry {
	t.Helper()
	for i := range entries {
		if strings.HasPrefix(entries[i].h.Name, name) {
			return &entries[i]
		}
	}
	t.Fatalf("no entry %s", name)
	return nil
}

func replace(e *entry, old, with string) {
	e.content = []byte(strings.ReplaceAll(string(e.content), old, with))
}

// Hostile bundles: each is whole but for one thing, is refused with INVALID_PARAMETER_VALUE, and leaves neither row nor file.
func TestHostileBundlesAreRefused(t *testing.T) {
	t.Parallel()
	good := export(t, filled(t))
	rename := func(name, to string) func(t *testing.T, e []entry) []entry {
		return func(t *testing.T, e []entry) []entry {
			found := at(t, e, name)
			found.h = tar.Header{Typeflag: tar.TypeReg, Name: to, Mode: 0o644}
			return e
		}
	}
	edit := func(name, old, with string) func(t *testing.T, e []entry) []entry {
		return func(t *testing.T, e []entry) []entry {
			found := at(t, e, name)
			if !bytes.Contains(found.content, []byte(old)) {
				t.Fatalf("%s has no %q: %s", name, old, found.content)
			}
			replace(found, old, with)
			return e
		}
	}
	special := func(kind byte) func(t *testing.T, e []entry) []entry {
		return func(t *testing.T, e []entry) []entry {
			at(t, e, "files/").h = tar.Header{Typeflag: kind, Name: "files/1/a-b", Linkname: "/etc/passwd", Mode: 0o644}
			return e
		}
	}
	drop := func(name string) func(t *testing.T, e []entry) []entry {
		return func(t *testing.T, e []entry) []entry {
			var out []entry
			for _, x := range e {
				if x.h.Name != name {
					out = append(out, x)
				}
			}
			return out
		}
	}
	twice := func(name string) func(t *testing.T, e []entry) []entry {
		return func(t *testing.T, e []entry) []entry {
			var out []entry
			for _, x := range e {
				out = append(out, x)
				if strings.HasPrefix(x.h.Name, name) {
					out = append(out, x)
				}
			}
			return out
		}
	}
	for name, change := range map[string]func(t *testing.T, e []entry) []entry{
		"traversal":                   rename("files/", "files/1/../../../etc/cron.d/x"),
		"traversal, escaped":          rename("files/", "files/1/%2e%2e/x"),
		"traversal, backslash":        rename("files/", `files/1/..\x`),
		"absolute":                    rename("files/", "/etc/passwd"),
		"absolute below the root":     rename("files/", "files/1//etc/passwd"),
		"a dot":                       rename("files/", "files/1/./a"),
		"a control character":         rename("files/", "files/1/a\nb"),
		"a root that is not there":    rename("files/", "files/9/a-b"),
		"a root with a sign":          rename("files/", "files/+1/a-b"),
		"a root without a path":       rename("files/", "files/1"),
		"an unknown entry":            rename("files/", "other"),
		"a symbolic link":             special(tar.TypeSymlink),
		"a hard link":                 special(tar.TypeLink),
		"a device":                    special(tar.TypeChar),
		"a pipe":                      special(tar.TypeFifo),
		"a folder":                    special(tar.TypeDir),
		"a file twice":                twice("files/1/a/b"),
		"a table twice":               twice("rows/runs"),
		"no manifest":                 drop("manifest.json"),
		"no roots":                    drop("roots.jsonl"),
		"no list of files":            drop("files.jsonl"),
		"no end":                      drop("end.json"),
		"a file less":                 drop("files/1/a-b"),
		"a table less":                drop("rows/metrics.jsonl"),
		"another content":             edit("files/1/a/b", "22", "23"),
		"a longer content":            edit("files/1/a/b", "22", "222"),
		"another digest":              edit("files.jsonl", `"sha256":"`, `"sha256":"0`),
		"an unknown format":           edit("manifest.json", `"format":1`, `"format":2`),
		"a negative format":           edit("manifest.json", `"format":1`, `"format":-1`),
		"an unknown kind":             edit("manifest.json", `"kind":"run"`, `"kind":"all"`),
		"another kind":                edit("manifest.json", `"kind":"run"`, `"kind":"model"`),
		"another id":                  edit("manifest.json", `"id":"`+run, `"id":"x`+run),
		"an unknown field":            edit("manifest.json", `{"format"`, `{"evil":1,"format"`),
		"more rows than said":         edit("manifest.json", `"metrics":7`, `"metrics":6`),
		"fewer rows than said":        edit("manifest.json", `"metrics":7`, `"metrics":8`),
		"rows of an unknown table":    edit("manifest.json", `"metrics":7`, `"secrets":7`),
		"a huge number of rows":       edit("manifest.json", `"metrics":7`, `"metrics":9000000000000000000`),
		"a huge number of bytes":      edit("manifest.json", `"bytes":300003`, `"bytes":9000000000000000000`),
		"a negative number of bytes":  edit("manifest.json", `"bytes":300003`, `"bytes":-1`),
		"a huge number of files":      edit("manifest.json", `"files":4`, `"files":9000000000000000000`),
		"more bytes than said":        edit("manifest.json", `"bytes":300003`, `"bytes":300002`),
		"another root":                edit("roots.jsonl", `"n":1`, `"n":2`),
		"a root of nobody":            edit("roots.jsonl", `"id":"`+run, `"id":"f`+run[1:]),
		"a root with more files":      edit("roots.jsonl", `"files":4`, `"files":5`),
		"a root with fewer files":     edit("roots.jsonl", `"files":4`, `"files":3`),
		"a metric of another run":     edit("rows/metrics", run, "f"+run[1:]),
		"a run of another experiment": edit("rows/runs", `"experiment_id":3`, `"experiment_id":4`),
		"an id with a path":           edit("rows/runs", run, "../../x"),
		"a location with a path":      edit("rows/runs", "mlflow-artifacts:/3/", "mlflow-artifacts:/../"),
		"an unknown column":           edit("rows/runs", `{"run_uuid"`, `{"evil":1,"run_uuid"`),
		"a column twice":              edit("rows/runs", `{"run_uuid"`, `{"run_uuid":"x","run_uuid"`),
		"a missing column":            edit("rows/runs", `"run_uuid":"`+run+`",`, ``),
		"a wrong type":                edit("rows/runs", `"experiment_id":3`, `"experiment_id":"3"`),
		"a fraction":                  edit("rows/runs", `"experiment_id":3`, `"experiment_id":3.0`),
		"a number beyond 64 bits":     edit("rows/metrics", `9223372036854775807`, `9223372036854775808`),
		"a value out of the list":     edit("rows/runs", `FINISHED`, `EVIL`),
		"a state out of the list":     edit("rows/runs", `"active"`, `"evil"`),
		"a text that is too long":     edit("rows/inputs", `"source_id":"d"`, `"source_id":"`+strings.Repeat("d", 37)+`"`),
		"a NUL":                       edit("rows/input_tags", `"b"`, `"\u0000"`),
		"no UTF-8":                    edit("rows/input_tags", `"b"`, "\"\xff\""),
		"no JSON":                     edit("rows/input_tags", `"b"`, "b"),
		"a row on two lines":          edit("rows/input_tags", `,"value"`, ",\n\"value\""),
		"a tag of no input":           edit("rows/input_tags", `"input_uuid":"i"`, `"input_uuid":"j"`),
		"a run twice": func(t *testing.T, e []entry) []entry {
			found := at(t, e, "rows/runs")
			found.content = append(found.content, found.content...)
			replace(at(t, e, "manifest.json"), `"runs":1`, `"runs":2`)
			return e
		},
		"tables in another order": func(t *testing.T, e []entry) []entry {
			e[1], e[2] = e[2], e[1]
			return e
		},
		"an entry behind the end": func(t *testing.T, e []entry) []entry {
			return append(e, entry{tar.Header{Typeflag: tar.TypeReg, Name: "x", Mode: 0o644}, []byte("x")})
		},
		"attributes": func(t *testing.T, e []entry) []entry {
			at(t, e, "files/").h = tar.Header{Typeflag: tar.TypeReg, Name: "files/1/a/b", Mode: 0o644, Format: tar.FormatPAX, PAXRecords: map[string]string{"SLUICE.x": "y"}}
			return e
		},
		"a file below a file": func(t *testing.T, e []entry) []entry {
			at(t, e, "files/1/a/b").h.Name = "files/1/a-b/x"
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, newSide(t, bundle.Limits{}), pack(t, change(t, unpack(t, good))))
		})
	}
	wrongEnd := unpack(t, good)
	replace(at(t, wrongEnd, "end.json"), `"entries":`, `"entries":1`)
	for name, b := range map[string][]byte{
		"nothing": {}, "no Zstandard": []byte("PK\x03\x04 and so on"), "no tar": zstdOf(t, []byte(strings.Repeat("evil", 1000))),
		"wrong totals":    packAsIs(t, wrongEnd),
		"something after": append(bytes.Clone(good), zstdOf(t, []byte("more"))...),
		"a byte changed":  flip(good),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, newSide(t, bundle.Limits{}), b)
		})
	}
}

func zstdOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	must(t, err)
	_, err = z.Write(b)
	must(t, err)
	must(t, z.Close())
	return out.Bytes()
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func refused(t testing.TB, to *side, b []byte) {
	t.Helper()
	_, err := to.Import(t.Context(), bytes.NewReader(b), false)
	if mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("got %v, want INVALID_PARAMETER_VALUE", err)
	}
	if left := to.left(t); to.store.imported != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", to.store.imported, left)
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	t.Parallel()
	b := export(t, filled(t))
	to := newSide(t, bundle.Limits{})
	for n := 0; n < len(b); n += max(1, len(b)/60) {
		refused(t, to, b[:n])
	}
	refused(t, to, b[:len(b)-1])
}

func TestLimits(t *testing.T) {
	t.Parallel()
	b := export(t, filled(t))
	for name, limits := range map[string]bundle.Limits{
		"bytes": {Bytes: 200_000}, "rows": {Rows: 10}, "a row": {Row: 100}, "owners": {Owners: 1}, "files": {Files: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, newSide(t, limits), b)
		})
	}
	// A bomb: little that becomes much, inside of one entry that says so.
	bomb := unpack(t, b)
	at(t, bomb, "files/1/model").content = make([]byte, 64<<20)
	refused(t, newSide(t, bundle.Limits{Bytes: 1 << 20}), pack(t, bomb))
}

func TestAnArtifactThatChangesCutsTheBundleOff(t *testing.T) {
	t.Parallel()
	from := filled(t)
	out, err := from.Gather(t.Context(), bundle.Selection{Kind: bundle.KindRun, ID: run})
	must(t, err)
	defer out.Close()
	_, err = from.files.Write(t.Context(), "3/"+run+"/artifacts/a/b", strings.NewReader("longer"))
	must(t, err)
	var b bytes.Buffer
	if err := out.WriteTo(t.Context(), &b); mlflow.CodeOf(err) != mlflow.Aborted {
		t.Errorf("got %v, want ABORTED", err)
	}
	refused(t, newSide(t, bundle.Limits{}), b.Bytes())
}

func TestExportsAreBounded(t *testing.T) {
	t.Parallel()
	from := filled(t)
	for {
		out, err := from.Gather(t.Context(), bundle.Selection{Kind: bundle.KindRun, ID: run})
		if mlflow.CodeOf(err) == mlflow.ResourceExhausted {
			break
		}
		must(t, err)
		t.Cleanup(out.Close)
	}
}

// FuzzImport: whatever a bundle is, an import fails with a code, or succeeds; it never panics nor leaves a file behind on an error.
func FuzzImport(f *testing.F) {
	from := filled(f)
	_, err := from.files.Write(f.Context(), "3/"+run+"/artifacts/model/é 1%", strings.NewReader("small"))
	must(f, err)
	good := export(f, from)
	var flat bytes.Buffer
	unzip, err := zstd.NewReader(bytes.NewReader(good))
	must(f, err)
	_, err = io.Copy(&flat, unzip)
	must(f, err)
	unzip.Close()
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	must(f, err)
	f.Add(flat.Bytes(), false)
	f.Add(flat.Bytes()[:flat.Len()/2], true)
	f.Add([]byte{}, false)
	to := newSide(f, bundle.Limits{Bytes: 4 << 20, Rows: 1000, Row: 1 << 16, Owners: 100, Files: 100})
	f.Fuzz(func(t *testing.T, tarball []byte, skip bool) {
		if len(tarball) > 1<<20 {
			return
		}
		_, err := to.Import(t.Context(), bytes.NewReader(zip.EncodeAll(tarball, nil)), skip)
		if err != nil && mlflow.CodeOf(err) == mlflow.InternalError {
			t.Fatalf("no code: %v", err)
		}
		if left := to.left(t); err != nil && len(left) > 0 {
			t.Fatalf("left behind: %v", left)
		}
		if err == nil {
			must(t, to.files.Clear(t.Context()))
		}
	})
}

func BenchmarkArtifacts(b *testing.B) {
	from := filled(b)
	const size = 64 << 20
	noise := sha256.Sum256(nil)
	_, err := from.files.Write(b.Context(), "3/"+run+"/artifacts/large", io.LimitReader(&stream{noise[:]}, size))
	must(b, err)
	to := newSide(b, bundle.Limits{})
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		_, err := to.Import(b.Context(), bytes.NewReader(export(b, from)), false)
		must(b, err)
	}
}

// stream is bytes without a pattern that is short.
type stream struct{ state []byte }

func (s *stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		next := sha256.Sum256(s.state)
		copy(s.state, next[:])
		n += copy(p[n:], next[:])
	}
	return n, nil
}
