package rest

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// transfer is how slow a client may be that sends or takes a file: whatever its size, as long as something moves.
var transfer = wire.Pace{Stall: time.Minute, Total: 6 * time.Hour}

// sendFile answers one file as an attachment that no browser runs on our origin: named, nosniff, sandboxed. It honours a single
// byte range, If-Range and If-None-Match. The reader is closed when the answer has been written.
func sendFile(c *fiber.Ctx, repo *artifact.Repo, p string) error {
	ctx := c.UserContext()
	offset, length := int64(0), int64(-1)
	want := c.Get(fiber.HeaderRange)
	if want != "" {
		info, err := repo.Stat(ctx, p)
		if err != nil {
			return err
		}
		if offset, length, err = rangeOf(c, want, info); err != nil {
			return err
		}
	}
	r, info, err := repo.OpenRange(ctx, p, offset, length)
	if err != nil {
		return err
	}
	downloadHeaders(c, p, info)
	if c.Get(fiber.HeaderIfNoneMatch) == etagOf(info) {
		c.Status(fiber.StatusNotModified)
		return r.Close()
	}
	if length < 0 {
		length = info.Size
	} else {
		c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, info.Size))
		c.Status(fiber.StatusPartialContent)
	}
	wire.Download(c, r, length, transfer)
	return nil
}

func downloadHeaders(c *fiber.Ctx, p string, info artifact.Info) {
	name := path.Base(path.Clean("/" + p))
	c.Set(fiber.HeaderContentType, mimeOf(name))
	c.Set(fiber.HeaderContentDisposition, attachment(name))
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	c.Set(fiber.HeaderCacheControl, "private, no-cache")
	c.Set(fiber.HeaderAcceptRanges, "bytes")
	c.Set(fiber.HeaderETag, etagOf(info))
}

func etagOf(info artifact.Info) string {
	return fmt.Sprintf(`"%x-%x"`, info.Modified.UnixNano(), info.Size)
}

// rangeOf reads a Range header; length -1 means the whole file: for units, lists of ranges and stale If-Range, which RFC 9110 lets
// a server ignore. Returns a 416 for a range beyond the file.
func rangeOf(c *fiber.Ctx, header string, info artifact.Info) (offset, length int64, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if cond := c.Get(fiber.HeaderIfRange); !ok || strings.Contains(spec, ",") || cond != "" && cond != etagOf(info) || info.IsDir {
		return 0, -1, nil
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	first, err1 := strconv.ParseUint(from, 10, 62)
	last, err2 := strconv.ParseUint(to, 10, 62)
	size := info.Size
	switch {
	case !ok || from != "" && err1 != nil || to != "" && err2 != nil || from == "" && to == "" || from != "" && to != "" && first > last:
		return 0, -1, nil
	case from == "":
		offset = max(0, size-int64(last))
		length = size - offset
	default:
		offset, length = int64(first), size-int64(first)
		if to != "" {
			length = min(length, int64(last)-offset+1)
		}
	}
	if length <= 0 {
		c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes */%d", size))
		return 0, 0, &mlflow.Error{Code: mlflow.InvalidParameterValue, Status: fiber.StatusRequestedRangeNotSatisfiable, Message: "The range lies beyond the file."}
	}
	return offset, length, nil
}

// attachment makes a Content-Disposition for a file name (RFC 6266): quoted where it must be, with a UTF-8 twin where it is not
// ASCII.
func attachment(name string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	quoted := ascii
	if ascii == "" {
		quoted = "download"
	}
	if strings.ContainsAny(quoted, " \t()<>@,;:\\\"/[]?={}") {
		quoted = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(quoted) + `"`
	}
	if ascii == name {
		return "attachment; filename=" + quoted
	}
	return "attachment; filename=" + quoted + "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// mimeOf guesses a content type from a name. What MLflow's UI shows as text is text (source: mlflow/utils/mime_type_utils.py).
func mimeOf(name string) string {
	ext := strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
	if name == "MLmodel" || strings.EqualFold(name, "mlproject") {
		ext = "txt"
	}
	switch ext {
	case "txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml", "xml", "json",
		"js", "py", "py3", "csv", "tsv", "md", "rst":
		return "text/plain"
	case "html", "htm":
		return "text/html"
	case "png", "gif", "jpeg", "webp", "bmp":
		return "image/" + ext
	case "jpg":
		return "image/jpeg"
	case "svg":
		return "image/svg+xml"
	case "pdf", "zip":
		return "application/" + ext
	}
	return fiber.MIMEOctetStream
}
