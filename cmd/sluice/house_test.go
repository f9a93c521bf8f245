package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// sourceFile is one Go file that is not a test.
type sourceFile struct {
	path    string // from the project's root
	pkg     string // its folder
	imports []string
	ast     *ast.File
}

func house(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || name == "sluice-data") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f := sourceFile{path: filepath.ToSlash(name), pkg: path.Dir(filepath.ToSlash(name)), ast: parsed}
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d files found: the walk is broken", len(files))
	}
	return files
}

func below(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

func belowAny(p string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return below(p, prefix) })
}

// arrow forbids imports from some rooms; all of them hold at once.
type arrow struct {
	from   []string // folders, with what is below them
	except []string // folders below from that are free
	never  []string // imports, with what is below them
	but    []string // imports below never that are allowed
	why    string
}

var web = []string{"github.com/gofiber/fiber", "github.com/valyala/fasthttp", "net/http"}
var databases = []string{"database/sql", "github.com/mattn/go-sqlite3", "sluice/tracking/sqldb"}

func arrows() []arrow {
	return []arrow{
		{from: []string{"tracking"}, never: []string{"sluice/registry", "sluice/runtime", "sluice/gateway", "sluice/loadtest", "sluice/cmd", "sluice/deploy"},
			why: "tracking is a foundation"},
		{from: []string{"runtime"}, never: []string{"sluice/tracking", "sluice/registry", "sluice/gateway", "sluice/loadtest", "sluice/cmd", "sluice/deploy"},
			why: "runtime is a foundation; it knows no MLflow error and no HTTP"},
		{from: []string{"runtime"}, never: web, why: "runtime knows no HTTP"},
		{from: []string{"registry"}, never: []string{"sluice/runtime", "sluice/gateway", "sluice/loadtest", "sluice/cmd", "sluice/deploy"},
			why: "registry stands on tracking alone"},
		{from: []string{"gateway"}, never: []string{"sluice/loadtest", "sluice/cmd", "sluice/deploy"}, why: "only cmd knows everybody"},
		{from: []string{"loadtest"}, never: []string{"sluice"}, but: []string{"sluice/loadtest"}, why: "the load tool is a black box's user"},
		{from: dataPlane, never: []string{"sluice"}, but: append([]string{"sluice/runtime", "sluice/tracking/mlflow", "sluice/tracking/wire"}, inModule(dataPlane)...),
			why: "no prediction touches a database or the registry: the data plane reaches runtime, the error codes and the endpoint table"},
		{from: dataPlane, never: databases, why: "no prediction touches a database"},
		{from: []string{"gateway/route", "gateway/admit", "gateway/breaker", "gateway/payload", "gateway/predlog", "gateway/outcome", "gateway/respcache"}, never: []string{"github.com/gofiber/fiber"},
			why: "only invoke meets the HTTP engine"},
		{from: []string{"tracking/mlflow"}, never: []string{"sluice", "github.com", "go.opentelemetry.io"}, why: "the vocabulary stands on the standard library"},
		{from: []string{"tracking/filter"}, never: databases, why: "the search language knows no SQL"},
		{from: []string{"."}, except: []string{"runtime/onnx"}, never: []string{"github.com/yalue/onnxruntime_go"}, why: "one user of the C library, so that its traps are in one place"},
		{from: []string{"."}, except: []string{"gateway/telemetry"}, never: []string{"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters"},
			why: "packages use the API; telemetry chooses the SDK"},
		{from: []string{"."}, except: []string{"tracking/sqldb", "cmd/bench"}, never: []string{"github.com/mattn/go-sqlite3"},
			why: "drivers are chosen in one place; the benchmark fills databases without a log, which no server may"},
		{from: []string{"."}, except: []string{"gateway/oip", "gateway/telemetry", "loadtest"}, never: []string{"google.golang.org/grpc"},
			why: "gRPC is spoken in one place, by the exporters, and by the load tool"},
		{from: []string{"."}, except: []string{"gateway/breaker", "gateway/respcache/rediscache"}, never: []string{"github.com/sony/gobreaker"},
			why: "one breaker policy for models, and one for a Redis that is down"},
		{from: []string{"."}, except: []string{"gateway/respcache/rediscache"}, never: []string{"github.com/redis/go-redis"}, why: "drivers are chosen in cmd"},
		{from: []string{"."}, never: []string{"text/template", "html/template"},
			why: "a template calls methods by their names, so that the linker keeps all methods of all types: 13 MB of the server, resident"},
		{from: []string{"."}, except: []string{"gateway/respcache/ottercache"}, never: []string{"github.com/maypok86/otter"}, why: "drivers are chosen in cmd"},
	}
}

var dataPlane = []string{"gateway/invoke", "gateway/route", "gateway/admit", "gateway/breaker", "gateway/payload", "gateway/predlog", "gateway/outcome", "gateway/oip", "gateway/shadow", "gateway/redact", "gateway/respcache"}

func inModule(folders []string) []string {
	out := make([]string, len(folders))
	for i, f := range folders {
		out[i] = "sluice/" + f
	}
	return out
}

func TestArrows(t *testing.T) {
	for _, f := range house(t) {
		for _, a := range arrows() {
			inside := belowAny(f.pkg, a.from) || slices.Contains(a.from, ".")
			if !inside || belowAny(f.pkg, a.except) {
				continue
			}
			for _, imported := range f.imports {
				if belowAny(imported, a.never) && !belowAny(imported, a.but) {
					t.Errorf("%s imports %s: %s", f.path, imported, a.why)
				}
			}
		}
	}
}

func TestDomainRootsHoldNounsAndRulesOnly(t *testing.T) {
	for _, f := range house(t) {
		if f.pkg != "tracking" && f.pkg != "registry" && f.pkg != "gateway" {
			continue
		}
		for _, imported := range f.imports {
			if belowAny(imported, slices.Concat(web, databases)) {
				t.Errorf("%s imports %s: a domain root holds no driver, no SQL, no HTTP", f.path, imported)
			}
		}
	}
}

func TestEveryPackageSaysWhatItOwnsWhoCallsItAndWhatItMustNotKnow(t *testing.T) {
	comments := map[string][]string{}
	for _, f := range house(t) {
		if _, ok := comments[f.pkg]; !ok {
			comments[f.pkg] = nil
		}
		if f.ast.Doc != nil {
			comments[f.pkg] = append(comments[f.pkg], f.ast.Doc.Text())
		}
	}
	for pkg, texts := range comments {
		if len(texts) != 1 {
			t.Errorf("%s has %d package comments, want 1", pkg, len(texts))
			continue
		}
		text := strings.Join(strings.Fields(texts[0]), " ")
		if !strings.Contains(text, "own") || !strings.Contains(text, "call") && !strings.Contains(text, "import") {
			t.Errorf("%s: the package comment does not say what it owns and who calls it", pkg)
		}
		if strings.HasPrefix(pkg, "cmd") {
			continue
		}
		if !strings.Contains(text, "not know") && !strings.Contains(text, "knows no") {
			t.Errorf("%s: the package comment does not say what it must not know", pkg)
		}
	}
}

func TestNothingBelowCmdReadsTheEnvironmentOrRunsBeforeMain(t *testing.T) {
	banned := []string{"Getenv", "LookupEnv", "Environ", "Setenv"}
	for _, f := range house(t) {
		if below(f.pkg, "cmd") || strings.HasSuffix(f.pkg, "test") { // suites and test helpers start processes with this one's environment
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" && path.Base(f.pkg) != "pb" { // generated messages register themselves
					t.Errorf("%s has an init function: drivers are registered in cmd", f.path)
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "os" && slices.Contains(banned, n.Sel.Name) {
					t.Errorf("%s uses os.%s: settings are read in cmd and handed in", f.path, n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestTheFolderNamedRuntimeHoldsNoGoFile(t *testing.T) {
	for _, f := range house(t) {
		if f.pkg == "runtime" {
			t.Errorf("%s would shadow the standard package", f.path)
		}
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	allowed := []string{"cmd", "gateway", "runtime", "registry", "tracking", "loadtest", "deploy", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CHANGELOG.md"}
	built := []string{"bin", "sluice-data", "mlruns"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) && !slices.Contains(built, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

func TestModuleReplacesNothing(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "replace ") {
		t.Error("go.mod has a replace directive")
	}
}

// outgoing are the rooms that may make connections to others; everybody else fetches nothing, whatever URL a client gives (S13, S15).
var outgoing = []struct{ room, why string }{
	{"cmd", "the benchmark drives servers, the commands call one"},
	{"loadtest", "it is a client"},
	{"gateway/telemetry", "it pushes to the operator's collector"},
	{"registry/outbox", "it delivers webhooks, behind its Guard at every connection"},
}

// connects are the names of packages that open connections.
var connects = map[string][]string{
	"net/http":                    {"Client", "DefaultClient", "Transport", "DefaultTransport", "Get", "Head", "Post", "PostForm", "NewRequest", "NewRequestWithContext"},
	"net":                         {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialUnix", "DialIP", "Dialer"},
	"crypto/tls":                  {"Dial", "DialWithDialer", "Dialer", "Client"},
	"github.com/valyala/fasthttp": {"Client", "HostClient", "PipelineClient", "LBClient", "Do", "DoTimeout", "DoDeadline", "DoRedirects", "Get", "GetTimeout", "GetDeadline", "Post", "Dial", "DialTimeout", "DialDualStack", "TCPDialer"},
	"google.golang.org/grpc":      {"NewClient", "Dial", "DialContext"},
	"github.com/gofiber/fiber/v2": {"Client", "AcquireClient", "AcquireAgent", "Agent", "Get", "Head", "Post", "Put", "Patch", "Delete"},
}

func TestNobodyElseMakesOutgoingConnections(t *testing.T) {
	for _, f := range house(t) {
		if slices.ContainsFunc(outgoing, func(o struct{ room, why string }) bool { return below(f.pkg, o.room) }) || strings.HasSuffix(f.pkg, "test") {
			continue
		}
		banned := map[string][]string{}
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if names, ok := connects[imported]; ok {
				local := strings.TrimSuffix(path.Base(strings.TrimSuffix(imported, "/v2")), "/")
				if spec.Name != nil {
					local = spec.Name.Name
				}
				banned[local] = names
			}
			for _, client := range []string{"golang.org/x/net/proxy", "net/rpc", "net/smtp"} {
				if below(imported, client) {
					t.Errorf("%s imports %s: the server fetches nothing", f.path, imported)
				}
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Obj == nil && slices.Contains(banned[pkg.Name], s.Sel.Name) {
					t.Errorf("%s uses %s.%s: the server fetches nothing but in %v", f.path, pkg.Name, s.Sel.Name, outgoing)
				}
			}
			return true
		})
	}
}
