package pyenv

import (
	"bufio"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Variables that are handed to builds as they are: where packages come from, and how to get there. Everything else stays with the server.
var indexVariables = []string{
	"UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_INDEX_STRATEGY", "UV_OFFLINE",
	"UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_CONFIG_FILE", "UV_CACHE_DIR",
	"UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS", "UV_CONCURRENT_BUILDS",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "CONDARC", "CONDA_CHANNELS",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
}

// indexCredential matches the credentials of named indexes.
var indexCredential = regexp.MustCompile(`^UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)$`)

// pipSettings are pip's settings and the variables of uv that mean the same. list: the values are separated by spaces there and commas here.
var pipSettings = []struct {
	key, variable string
	list          bool
}{
	{"index-url", "UV_DEFAULT_INDEX", false}, {"extra-index-url", "UV_EXTRA_INDEX_URL", false}, {"find-links", "UV_FIND_LINKS", true},
	{"no-index", "UV_NO_INDEX", false}, {"cert", "SSL_CERT_FILE", false}, {"client-cert", "SSL_CLIENT_CERT", false},
	{"trusted-host", "UV_INSECURE_HOST", false},
}

// overridden are older names of a variable: who sets one of them has said it.
var overridden = map[string][]string{"UV_DEFAULT_INDEX": {"UV_INDEX_URL", "UV_INDEX"}, "UV_EXTRA_INDEX_URL": {"UV_INDEX"}}

// indexSettings returns, sorted, the variables that a build gets to find packages: from environ those that are allowed, and where uv is told
// nothing, what pip is told by its PIP_ variables and, after them, by its configuration files (the last one counts).
func indexSettings(environ, pipFiles []string) []string {
	set := map[string]string{}
	pip := pipFileSettings(pipFiles)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case value == "":
		case slices.Contains(indexVariables, name) || indexCredential.MatchString(name):
			set[name] = value
		case strings.HasPrefix(name, "PIP_"):
			pip[strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "PIP_"), "_", "-"))] = value
		}
	}
	for _, s := range pipSettings {
		value := pip[s.key]
		said := slices.ContainsFunc(append(overridden[s.variable], s.variable), func(v string) bool { return set[v] != "" })
		if value == "" || said {
			continue
		}
		if s.list {
			value = strings.Join(strings.Fields(value), ",")
		}
		set[s.variable] = value
	}
	out := make([]string, 0, len(set))
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// pipFileSettings reads the sections [global] and [install] of pip's configuration files. A file that is not there says nothing.
func pipFileSettings(files []string) map[string]string {
	set := map[string]string{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		readPipFile(bufio.NewScanner(f), set)
		_ = f.Close()
	}
	return set
}

func readPipFile(lines *bufio.Scanner, set map[string]string) {
	wanted, key := false, ""
	for lines.Scan() {
		line := lines.Text()
		text := strings.TrimSpace(line)
		switch {
		case text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";"):
		case strings.HasPrefix(text, "["):
			wanted, key = text == "[global]" || text == "[install]", ""
		case !wanted:
		case line[0] == ' ' || line[0] == '\t': // goes on from the line before
			if key != "" {
				set[key] = strings.TrimSpace(set[key] + " " + text)
			}
		default:
			name, value, _ := strings.Cut(text, "=")
			key = strings.ReplaceAll(strings.TrimSpace(name), "_", "-")
			set[key] = strings.TrimSpace(value)
		}
	}
}

// identity are the settings that decide which packages are found, without credentials, for the key.
func identity(settings []string) []string {
	var out []string
	for _, entry := range settings {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_INDEX_STRATEGY", "UV_CONFIG_FILE", "CONDARC", "CONDA_CHANNELS":
			out = append(out, name+"="+redact(value))
		}
	}
	return out
}

var credentials = regexp.MustCompile(`://[^/@\s]*@`)

// redact strikes user names and passwords out of URLs.
func redact(text string) string { return credentials.ReplaceAllString(text, "://") }
