package rest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/tracking/rest"
)

const proxy = "/api/2.0/mlflow-artifacts/artifacts"

func request(method, target, headers, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s", method, target, headers, len(body), body)
}

// create makes an experiment and a run in it and returns their ids.
func (s *server) create(t *testing.T, location string) (experiment, run string) {
	t.Helper()
	post := func(path, body string) map[string]any {
		res, answer := s.raw(t, request("POST", "/api/2.0/mlflow"+path, "Content-Type: application/json\r\n", body))
		if res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", path, res.StatusCode, answer)
		}
		var doc map[string]any
		must(t, json.Unmarshal([]byte(answer), &doc))
		return doc
	}
	experiment = post("/experiments/create", fmt.Sprintf(`{"name":"e%s","artifact_location":%q}`, location, location))["experiment_id"].(string)
	info := post("/runs/create", fmt.Sprintf(`{"experiment_id":%q}`, experiment))["run"].(map[string]any)["info"].(map[string]any)
	return experiment, info["run_id"].(string)
}

// secrets fills a server with a file that clients may see and files beside its folders that they may not, and returns a function
// that fails if any of those was changed, or if anything appeared around the folders.
func (s *server) secrets(t *testing.T) (unchanged func()) {
	t.Helper()
	base := filepath.Dir(s.files)
	write(t, filepath.Join(base, "secret"), "top secret")
	write(t, filepath.Join(base, "passwd"), "top secret")
	write(t, filepath.Join(s.files, "a", "ok.txt"), "fine")
	return func() {
		t.Helper()
		for _, name := range []string{"secret", "passwd"} {
			if b, err := os.ReadFile(filepath.Join(base, name)); err != nil || string(b) != "top secret" {
				t.Errorf("%s is %q now, %v", name, b, err)
			}
		}
		entries, err := os.ReadDir(base)
		must(t, err)
		for _, e := range entries {
			if n := e.Name(); n != "secret" && n != "passwd" && n != "artifacts" && n != "local" {
				t.Errorf("%s appeared beside the artifacts", n)
			}
		}
	}
}

// unsafePaths are raw request paths (or query values) that must never be opened: S01, S04, S07, S08.
var unsafePaths = []string{
	"../secret", "a/../../secret", "../../../../../../etc/passwd", "%2e%2e/secret", "%2E%2E%2Fsecret", "..%2fsecret", "a%2f..%2f..%2fsecret",
	"%252e%252e%252fsecret", "%252E%252E/secret", "%25252e%25252e%25252fsecret", ".%2e/secret", "%2e./secret",
	`..\secret`, `%5c..%5c..%5csecret`, `a%5c..%5c..%5csecret`, `..%5csecret`, `%255c..%255csecret`, "C:%5csecret", "C:/secret", "c%3a/secret", "%5c%5chost%5cshare",
	"%2fetc/passwd", "/etc/passwd", "%252fetc/passwd", "file:///etc/passwd", "FILE%3a%2f%2f/etc/passwd",
	"a%00", "%00", "a/ok.txt%00.png", "%09..", "a%0d%0aX-Evil:%201", "%7f", "%c0%ae%c0%ae/secret", "%c0%af", "%ff", "%e0%80%ae",
	"a%23b", "%2523", "%zz", "a%2",
}

func TestUnsafePathsAreRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	unchanged := s.secrets(t)
	_, run := s.create(t, "")
	for _, p := range unsafePaths {
		q := strings.NewReplacer(" ", "%20").Replace(p)
		for _, text := range []string{
			request("GET", proxy+"/"+q, "", ""), request("PUT", proxy+"/"+q, "", "evil"), request("DELETE", proxy+"/"+q, "", ""),
			request("GET", proxy+"?path="+q, "", ""), request("GET", "/ajax-api"+strings.TrimPrefix(proxy, "/api")+"/"+q, "", ""),
			request("GET", "/get-artifact?run_uuid="+run+"&path="+q, "", ""),
			request("GET", "/api/2.0/mlflow/artifacts/list?run_id="+run+"&path="+q, "", ""),
			request("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid="+run+"&path="+q, "", "evil"),
		} {
			line, _, _ := strings.Cut(text, "\r\n")
			res, body := s.raw(t, text)
			broken := strings.HasSuffix(p, "%zz") || strings.HasSuffix(p, "%2") // in a query these are plain text
			if broken && strings.Contains(line, "path=") && res.StatusCode < 500 {
				continue
			}
			if res.StatusCode != 400 || !strings.Contains(body, `"error_code":"INVALID_PARAMETER_VALUE"`) {
				t.Errorf("%s: got %d %.200s, want 400", line, res.StatusCode, body)
			}
			if strings.Contains(body, "top secret") || strings.Contains(body, "root:") || res.Header.Get("X-Evil") != "" {
				t.Errorf("%s: leaked", line)
			}
		}
	}
	unchanged()
}

// S07: what was decoded once is a name; it is not decoded again.
func TestPathsAreDecodedOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for raw, name := range map[string]string{"a%2525b": "a%25b", "a+b": "a+b", "a%2Bb": "a+b", "a%20b": "a b", "d%2Fe": "d/e", "%C3%A9": "é", "x%25y": "x%y"} {
		if res, body := s.raw(t, request("PUT", proxy+"/"+raw, "", "content")); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", raw, res.StatusCode, body)
			continue
		}
		if b, err := os.ReadFile(filepath.Join(s.files, name)); err != nil || string(b) != "content" {
			t.Errorf("%s: %q, %v", raw, b, err)
		}
	}
}

// S03, S05, S06: locations that lead astray are refused when they are recorded, and would be when they are used.
func TestUnsafeLocationsAreRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	unchanged := s.secrets(t)
	for i, location := range []string{
		"mlflow-artifacts://h/../../..", "mlflow-artifacts:/../x", "mlflow-artifacts:/%2e%2e/x", "mlflow-artifacts:/a/%252e%252e/x",
		"s3:/b/a/../../x", "http://h/api/2.0/mlflow-artifacts/artifacts/../..", "http:///#/../../../etc/", "http://h/p?/../../../../etc",
		"mlflow-artifacts:/a;..%2F..%2Fetc", "mlflow-artifacts:/a#/../etc", "file:///etc/../etc", "runs:/abc/x", "mlflow-artifacts://u:p@h/x",
	} {
		res, body := s.raw(t, request("POST", "/api/2.0/mlflow/experiments/create", "Content-Type: application/json\r\n",
			fmt.Sprintf(`{"name":"e%d","artifact_location":%q}`, i, location)))
		if res.StatusCode == 200 {
			// Recorded all the same: then nothing may be reached through it.
			var doc struct {
				ID string `json:"experiment_id"`
			}
			must(t, json.Unmarshal([]byte(body), &doc))
			t.Errorf("%s: recorded as the location of experiment %s", location, doc.ID)
		} else if res.StatusCode != 400 || !strings.Contains(body, "INVALID_PARAMETER_VALUE") {
			t.Errorf("%s: got %d %s", location, res.StatusCode, body)
		}
	}
	unchanged()
}

// S02: a file: location outside of the folders that the operator opened is never followed, whoever recorded it.
func TestLocalLocationsStayInOpenedFolders(t *testing.T) {
	t.Parallel()
	versions := map[string]string{}
	s := newServer(t, &rest.Options{Versions: versionSource(versions)})
	unchanged := s.secrets(t)
	base := filepath.Dir(s.files)
	write(t, filepath.Join(s.local, "v", "MLmodel"), "model")
	versions["good"], versions["etc"], versions["base"] = "file://"+s.local+"/v", "file:///etc/", base
	versions["dots"], versions["plain"] = "file://"+s.local+"/v/../..", s.local+"/v"

	_, inside := s.create(t, s.local)
	_, outside := s.create(t, base)
	for _, c := range []struct {
		target string
		status int
	}{
		{"/model-versions/get-artifact?name=good&version=1&path=MLmodel", 200},
		{"/model-versions/get-artifact?name=plain&version=1&path=MLmodel", 200},
		{"/model-versions/get-artifact?name=etc&version=1&path=passwd", 403},
		{"/model-versions/get-artifact?name=base&version=1&path=secret", 403},
		{"/model-versions/get-artifact?name=dots&version=1&path=secret", 400},
		{"/model-versions/get-artifact?name=good&version=1&path=..%2f..%2fsecret", 400},
		{"/get-artifact?run_id=" + inside + "&path=zz", 404},
		{"/get-artifact?run_id=" + outside + "&path=zz", 403},
		{"/api/2.0/mlflow/artifacts/list?run_id=" + inside, 200},
		{"/api/2.0/mlflow/artifacts/list?run_id=" + outside, 403},
	} {
		if res, body := s.raw(t, request("GET", c.target, "", "")); res.StatusCode != c.status || strings.Contains(body, "secret:") {
			t.Errorf("%s: got %d %.200s, want %d", c.target, res.StatusCode, body, c.status)
		}
	}
	if res, _ := s.raw(t, request("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid="+outside+"&path=x", "", "evil")); res.StatusCode != 403 {
		t.Errorf("upload outside: got %d", res.StatusCode)
	}
	unchanged()
}

// S10: links below the artifact folder, planted by somebody with access to the disk, lead nowhere.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	unchanged := s.secrets(t)
	base := filepath.Dir(s.files)
	must(t, os.Symlink(filepath.Join(base, "secret"), filepath.Join(s.files, "a", "leaf")))
	must(t, os.Symlink(base, filepath.Join(s.files, "a", "dir")))
	must(t, os.Symlink("/", filepath.Join(s.files, "root")))
	for _, p := range []string{"/a/leaf", "/a/dir/secret", "/root/etc/passwd"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			if res, body := s.raw(t, request(method, proxy+p, "", "evil")); res.StatusCode != 400 || strings.Contains(body, "top secret") {
				t.Errorf("%s %s: got %d %s", method, p, res.StatusCode, body)
			}
		}
	}
	if _, body := s.raw(t, request("GET", proxy+"?path=a", "", "")); strings.Contains(body, "leaf") || strings.Contains(body, `"dir"`) || !strings.Contains(body, "ok.txt") {
		t.Errorf("listed: %s", body)
	}
	if res, body := s.raw(t, request("DELETE", proxy+"/a", "", "")); res.StatusCode != 200 {
		t.Errorf("delete the folder with the links: %d %s", res.StatusCode, body)
	}
	unchanged()
}

// S12: the bounds on bodies hold for chunked bodies too, and nothing of a refused upload stays.
func TestChunkedUploadsAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, &rest.Options{MaxUploadBytes: 100_000})
	_, run := s.create(t, "")
	chunks := func(target string, n, size int, headers string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: h\r\n%sTransfer-Encoding: chunked\r\n\r\n", target, headers)
		for range n {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", size, strings.Repeat("x", size))
		}
		return b.String() + "0\r\n\r\n"
	}
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"upload within", chunks("PUT "+proxy+"/in", 10, 10_000, ""), 200},
		{"upload beyond", chunks("PUT "+proxy+"/out", 11, 10_000, ""), 413},
		{"declared beyond", request("PUT", proxy+"/out", "", strings.Repeat("x", 100_001)), 413},
		{"UI upload beyond", chunks("POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid="+run+"&path=out", 11, 1<<20, ""), 413},
		{"batch beyond", chunks("POST /api/2.0/mlflow/runs/log-batch", 11, 100_000, "Content-Type: application/json\r\n"), 400},
	} {
		if res, body := s.raw(t, c.text); res.StatusCode != c.status {
			t.Errorf("%s: got %d %.200s, want %d", c.name, res.StatusCode, body, c.status)
		}
	}
	var left []string
	must(t, filepath.WalkDir(s.files, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, filepath.Base(p))
		}
		return err
	}))
	if len(left) != 1 || left[0] != "in" {
		t.Errorf("on the disk: %v, want the one complete upload", left)
	}
}

// An upload whose client dies half way leaves nothing.
func TestBrokenUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	conn, err := net.Dial("tcp", s.addr)
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "PUT %s/half HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n%s", proxy, strings.Repeat("x", 300_000))
	must(t, err)
	must(t, conn.(*net.TCPConn).CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer res.Body.Close()
	if res.StatusCode != 400 {
		t.Errorf("got %d, want 400", res.StatusCode)
	}
	if res, _ := s.raw(t, request("GET", proxy+"/half", "", "")); res.StatusCode != 404 {
		t.Errorf("the half file: %d", res.StatusCode)
	}
}

// S22: whatever an artifact holds, a browser downloads it and runs none of it.
func TestDownloadsAreInert(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for name, disposition := range map[string]string{
		"evil.html": `attachment; filename=evil.html`, "evil.svg": `attachment; filename=evil.svg`, "a b.xml": `attachment; filename="a b.xml"`,
		`q".html`: `attachment; filename="q\".html"`, "é.html": `attachment; filename=.html; filename*=UTF-8''%C3%A9.html`,
		"日本": `attachment; filename=download; filename*=UTF-8''%E6%97%A5%E6%9C%AC`, "a;b=c": `attachment; filename="a;b=c"`,
	} {
		write(t, filepath.Join(s.files, "x", name), "<script>alert(1)</script>")
		res, body := s.raw(t, request("GET", proxy+"/x/"+escape(name), "", ""))
		if res.StatusCode != 200 || body != "<script>alert(1)</script>" {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		for header, want := range map[string]string{
			"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
		} {
			if got := res.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	}
}

// escape percent-encodes every byte, so that nothing is left to a client's taste.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestRanges(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	write(t, filepath.Join(s.files, "f"), "0123456789")
	res, _ := s.raw(t, request("GET", proxy+"/f", "", ""))
	etag := res.Header.Get("ETag")
	for _, c := range []struct {
		headers      string
		status       int
		body, ranged string
	}{
		{"Range: bytes=2-4\r\n", 206, "234", "bytes 2-4/10"}, {"Range: bytes=8-\r\n", 206, "89", "bytes 8-9/10"}, {"Range: bytes=-3\r\n", 206, "789", "bytes 7-9/10"},
		{"Range: bytes=0-99\r\n", 206, "0123456789", "bytes 0-9/10"}, {"Range: bytes=-99\r\n", 206, "0123456789", "bytes 0-9/10"},
		{"Range: bytes=10-\r\n", 416, "", "bytes */10"}, {"Range: bytes=-0\r\n", 416, "", "bytes */10"},
		{"Range: bytes=4-2\r\n", 200, "0123456789", ""}, {"Range: bytes=a-b\r\n", 200, "0123456789", ""}, {"Range: lines=1-2\r\n", 200, "0123456789", ""},
		{"Range: bytes=0-1,3-4\r\n", 200, "0123456789", ""}, {"Range: bytes=99999999999999999999-\r\n", 200, "0123456789", ""},
		{"Range: bytes=2-4\r\nIf-Range: " + etag + "\r\n", 206, "234", "bytes 2-4/10"}, {"Range: bytes=2-4\r\nIf-Range: \"other\"\r\n", 200, "0123456789", ""},
		{"If-None-Match: " + etag + "\r\n", 304, "", ""},
	} {
		res, body := s.raw(t, request("GET", proxy+"/f", c.headers, ""))
		if res.StatusCode != c.status || c.status != 416 && body != c.body || res.Header.Get("Content-Range") != c.ranged {
			t.Errorf("%q: got %d %q %q", c.headers, res.StatusCode, body, res.Header.Get("Content-Range"))
		}
	}
}

// An upload is streamed: the server's memory does not grow with it, and the file on the disk is the body.
func TestLargeUploadStreams(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	const size = 64 << 20
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.addr+proxy+"/big", io.LimitReader(zeros{}, size))
	must(t, err)
	res, err := http.DefaultClient.Do(req) // chunked: the length is not known
	must(t, err)
	defer res.Body.Close()
	info, err := os.Stat(filepath.Join(s.files, "big"))
	if res.StatusCode != 200 || err != nil || info.Size() != size {
		t.Errorf("got %d, %v, %v", res.StatusCode, info, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
