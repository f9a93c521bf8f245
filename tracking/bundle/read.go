package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sluice/tracking/mlflow"
)

// Bounds of reading that no setting changes.
const (
	maxWindow   = 32 << 20 // bytes that the decompressor may look back
	maxMeta     = 1 << 20  // bytes of manifest.json, end.json, a root and a file's line
	maxManifest = maxMeta
)

// reader reads a bundle entry by entry and refuses whatever no Outgoing writes. Rows go into temporary files, files to taker.
type reader struct {
	service *Service
	tar     *tar.Reader
	chain
	c     *Contents
	seen  []string // row tables so far
	files struct {
		all   int64
		bytes int64
		root  int64
		path  string
		of    map[int64]int64 // root → how many
		sum   hash.Hash       // over what files.jsonl has to say
	}
	// rowsDone is called when all rows and roots are known, before the first file.
	rowsDone func() error
	// take gets a file's content, which it reads to its end.
	take func(root int64, path string, r io.Reader) error
}

// read reads a whole bundle. The Contents are the caller's to close, on errors too.
func (s *Service) read(ctx context.Context, src io.Reader, c *Contents, rowsDone func() error, take func(int64, string, io.Reader) error) error {
	source := &failing{r: src}
	z, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	limited := &bounded{r: z, ctx: ctx, left: s.opts.Limits.Bytes, most: s.opts.Limits.Bytes}
	r := &reader{service: s, tar: tar.NewReader(limited), chain: chain{sum: sha256.New()}, c: c, rowsDone: rowsDone, take: take}
	r.files.of, r.files.sum = map[int64]int64{}, sha256.New()
	if err := r.all(); err != nil {
		return word(err, source, limited)
	}
	limited.padding = true
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return word(err, source, limited)
	}
	return nil
}

// word tells a broken bundle from a source or a storage that failed.
func word(err error, source *failing, in *bounded) error {
	var coded *mlflow.Error
	switch {
	case source.err != nil:
		return source.err
	case in.ctx.Err() != nil:
		return in.ctx.Err()
	case errors.As(err, &coded):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return broken("it is cut off.")
	case in.err != nil, errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: "The bundle is broken: it is no tar stream in Zstandard, or was damaged.", Cause: err}
	}
	return err
}

// failing remembers how its source failed.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// bounded stops at a number of bytes and when its context ends, and remembers how reading failed.
type bounded struct {
	r    io.Reader
	ctx  context.Context
	left int64
	most int64
	err  error
	// padding says that nothing but zeros may come any more, as behind the end of a tar stream.
	padding bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if b.padding && len(bytes.Trim(p[:n], "\x00")) > 0 {
		n, err = 0, broken("something follows its end.")
	}
	if b.left -= int64(n); b.left < 0 {
		n, err = 0, tooLarge("bytes", b.most)
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// all reads the entries in their order.
func (r *reader) all() error {
	if err := r.manifest(); err != nil {
		return err
	}
	h, err := r.next()
	for ; err == nil && strings.HasPrefix(h.Name, rowsPrefix); h, err = r.next() {
		if err := r.rows(h); err != nil {
			return err
		}
	}
	if err == nil {
		err = r.checkRows()
	}
	if err == nil {
		err = r.roots(h)
	}
	if err == nil {
		err = r.rowsDone()
	}
	if err != nil {
		return err
	}
	h, err = r.next()
	for ; err == nil && strings.HasPrefix(h.Name, filesPrefix); h, err = r.next() {
		if err := r.file(h); err != nil {
			return err
		}
	}
	if err == nil {
		err = r.index(h)
	}
	if err == nil {
		err = r.last()
	}
	return err
}

// next returns the header of the next entry: a regular file, without anything that changes what reading it gives.
func (r *reader) next() (*tar.Header, error) {
	h, err := r.tar.Next()
	if err == io.EOF {
		return nil, broken("it is cut off.")
	}
	if err != nil {
		return nil, err
	}
	if h.Typeflag != tar.TypeReg || h.Linkname != "" {
		return nil, broken("the entry %s is not a regular file.", mlflow.Repr(mlflow.Truncate(h.Name, 200)))
	}
	for key := range h.PAXRecords {
		if key != "path" && key != "size" {
			return nil, broken("an entry has the attribute %s.", mlflow.Repr(mlflow.Truncate(key, 100)))
		}
	}
	if h.Size > r.service.opts.Limits.Bytes-r.Bytes {
		return nil, tooLarge("bytes", r.service.opts.Limits.Bytes)
	}
	return h, nil
}

// content returns an entry of at most max bytes.
func (r *reader) content(h *tar.Header, max int64) ([]byte, error) {
	if h.Size > max {
		return nil, broken("the entry %s has %d bytes.", h.Name, h.Size)
	}
	b := make([]byte, h.Size)
	if _, err := io.ReadFull(r.tar, b); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(b)
	r.add(h.Name, h.Size, digest[:])
	return b, nil
}

func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return broken("%v.", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return broken("something follows a JSON object.")
	}
	return nil
}

func (r *reader) manifest() error {
	h, err := r.next()
	if err != nil {
		return err
	}
	if h.Name != manifestName {
		return broken("it does not begin with %s.", manifestName)
	}
	b, err := r.content(h, maxManifest)
	if err != nil {
		return err
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return broken("%v.", err)
	}
	if version.Format != Format {
		return mlflow.Invalidf("The bundle has the format %d; this server reads %d.", version.Format, Format)
	}
	m := &r.c.Manifest
	if err := strict(b, m); err != nil {
		return err
	}
	limits := r.service.opts.Limits
	var rows int64
	for name, n := range m.Rows {
		if r.c.tables[name] == nil || n < 1 || n > limits.Rows {
			return broken("the manifest counts %d rows of %s.", n, mlflow.Repr(mlflow.Truncate(name, 100)))
		}
		if rows += n; rows > limits.Rows {
			return tooLarge("rows", limits.Rows)
		}
	}
	switch {
	case !slices.Contains([]Kind{KindRun, KindExperiment, KindModel}, m.Kind):
		return broken("the manifest names the kind %s.", mlflow.Repr(mlflow.Truncate(string(m.Kind), 100)))
	case m.Files < 0 || m.Bytes < 0 || m.Roots < 0:
		return broken("the manifest has a negative count.")
	case m.Files > limits.Files:
		return tooLarge("files", limits.Files)
	case m.Bytes > limits.Bytes:
		return tooLarge("bytes", limits.Bytes)
	}
	return nil
}

// rows reads one table into a temporary file and checks every row.
func (r *reader) rows(h *tar.Header) error {
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, rowsPrefix), rowsSuffix)
	t := r.c.tables[name]
	if t == nil || h.Name != rowsPrefix+name+rowsSuffix || !r.inOrder(name) {
		return broken("the entry %s is not known, or not in its place.", mlflow.Repr(mlflow.Truncate(h.Name, 200)))
	}
	r.seen = append(r.seen, name)
	s, err := newSpool(r.service.opts.TempDir)
	if err != nil {
		return err
	}
	r.c.spools[name] = s
	var line []byte
	err = lines(io.LimitReader(r.tar, h.Size), r.service.opts.Limits.Row, func(text []byte) error {
		if s.lines == r.c.Manifest.Rows[name] {
			return broken("it has more rows of %s than its manifest says.", name)
		}
		row, err := parseRow(t, text)
		if err != nil {
			return err
		}
		if err := r.admit(t, row); err != nil {
			return err
		}
		line = append(append(line[:0], text...), '\n')
		return s.line(line)
	})
	if err != nil {
		return err
	}
	if s.lines != r.c.Manifest.Rows[name] || s.bytes != h.Size {
		return broken("it has %d rows of %s, its manifest says %d.", s.lines, name, r.c.Manifest.Rows[name])
	}
	r.add(h.Name, h.Size, s.sum.Sum(nil))
	return nil
}

func (r *reader) inOrder(name string) bool {
	at := func(name string) int {
		return slices.IndexFunc(r.service.tables, func(t *Table) bool { return t.Name == name })
	}
	return len(r.seen) == 0 || at(r.seen[len(r.seen)-1]) < at(name)
}

func (r *reader) checkRows() error {
	if len(r.seen) != len(r.c.Manifest.Rows) {
		return broken("it has rows of %d tables, its manifest says %d.", len(r.seen), len(r.c.Manifest.Rows))
	}
	m := r.c.Manifest
	class, table := map[Kind]Class{KindRun: ClassRun, KindExperiment: ClassExperiment, KindModel: ClassRegistered}[m.Kind], m.Rows["registered_models"]
	if !r.c.has[Owner{class, m.ID}] || (m.Kind == KindModel) != (table > 0) {
		return broken("it does not hold the %s that its manifest names.", m.Kind)
	}
	return nil
}

// roots reads the places in which artifacts lay.
func (r *reader) roots(h *tar.Header) error {
	if h.Name != rootsName {
		return broken("%s is missing.", rootsName)
	}
	var files int64
	sum := sha256.New()
	err := lines(io.TeeReader(io.LimitReader(r.tar, h.Size), sum), maxMeta, func(line []byte) error {
		var root Root
		if err := strict(line, &root); err != nil {
			return err
		}
		o := Owner{root.Class, root.ID}
		_, twice := r.c.byOwner[o]
		if root.N != int64(len(r.c.roots)) || root.Files < 0 || root.Files > r.c.Manifest.Files || trim(root.URI) == "" || !r.c.has[o] || twice {
			return broken("a root is not in its place: %s.", mlflow.Repr(mlflow.Truncate(root.ID, 200)))
		}
		if len(r.c.roots) > 2*r.service.opts.Limits.Owners {
			return tooLarge("roots", int64(2*r.service.opts.Limits.Owners))
		}
		files += root.Files
		r.c.roots = append(r.c.roots, root)
		r.c.byOwner[o] = root.N
		if _, taken := r.c.byURI[trim(root.URI)]; !taken {
			r.c.byURI[trim(root.URI)] = root.N
		}
		return nil
	})
	if err != nil {
		return err
	}
	if int64(len(r.c.roots)) != r.c.Manifest.Roots || files != r.c.Manifest.Files {
		return broken("its roots are not those that the manifest counts.")
	}
	r.add(h.Name, h.Size, sum.Sum(nil))
	return nil
}

// file hands on one artifact.
func (r *reader) file(h *tar.Header) error {
	root, p, ok := parseFileEntry(h.Name)
	f := &r.files
	if !ok || root >= int64(len(r.c.roots)) {
		return broken("the entry %s is refused.", mlflow.Repr(mlflow.Truncate(h.Name, 200)))
	}
	if f.all > 0 && (root < f.root || root == f.root && !after(f.path, p)) {
		return broken("the entry %s is not in its place, or there twice.", mlflow.Repr(mlflow.Truncate(h.Name, 200)))
	}
	f.all, f.bytes, f.root, f.path = f.all+1, f.bytes+h.Size, root, p
	if f.of[root]++; f.of[root] > r.c.roots[root].Files || f.bytes > r.c.Manifest.Bytes {
		return broken("it has more artifacts than its manifest says.")
	}
	sum := sha256.New()
	content := &counted{r: io.TeeReader(r.tar, sum)}
	if err := r.take(root, p, content); err != nil {
		return err
	}
	if content.n != h.Size {
		return io.ErrUnexpectedEOF
	}
	digest := sum.Sum(nil)
	r.add(h.Name, h.Size, digest)
	return addFile(f.sum, File{root, p, h.Size, hex.EncodeToString(digest)})
}

// addFile adds a line of files.jsonl to a sum.
func addFile(sum hash.Hash, f File) error {
	line, err := json.Marshal(f)
	sum.Write(append(line, '\n'))
	return err
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// index compares the digests of the files with the list behind them.
func (r *reader) index(h *tar.Header) error {
	if h.Name != indexName {
		return broken("%s is missing.", indexName)
	}
	stored, said := sha256.New(), sha256.New()
	err := lines(io.TeeReader(io.LimitReader(r.tar, h.Size), stored), maxMeta, func(line []byte) error {
		var f File
		if err := strict(line, &f); err != nil {
			return err
		}
		return addFile(said, f)
	})
	if err != nil {
		return err
	}
	if !bytes.Equal(said.Sum(nil), r.files.sum.Sum(nil)) {
		return broken("an artifact is not the one that was exported: its size or its SHA-256 differs.")
	}
	if r.files.all != r.c.Manifest.Files || r.files.bytes != r.c.Manifest.Bytes {
		return broken("it has %d artifacts with %d bytes, its manifest says %d with %d.", r.files.all, r.files.bytes, r.c.Manifest.Files, r.c.Manifest.Bytes)
	}
	r.add(h.Name, h.Size, stored.Sum(nil))
	return nil
}

// last reads the totals.
func (r *reader) last() error {
	h, err := r.next()
	if err != nil {
		return err
	}
	if h.Name != endName {
		return broken("%s is missing.", endName)
	}
	want := r.end()
	b, err := r.content(h, maxMeta)
	if err != nil {
		return err
	}
	var end End
	if err := strict(b, &end); err != nil {
		return err
	}
	if end != want {
		return broken("its totals or its digest are wrong.")
	}
	if _, err := r.tar.Next(); err != io.EOF {
		return errors.Join(broken("something follows its end."), err)
	}
	return nil
}
