package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Outgoing is a bundle whose rows are gathered; write it, then close it.
type Outgoing struct {
	Manifest  Manifest
	service   *Service
	spools    map[string]*spool
	roots     *spool
	index     *spool // files without digests
	outRoots  []Root
	only      map[int64][]string // root → the paths that are carried; nil means all
	owners    map[Owner]bool
	row, root []byte
}

// Gather reads the rows that sel names, all of one commit (of each store), into temporary files, and counts the artifacts. Close what it
// returns. Returns RESOURCE_DOES_NOT_EXIST, and RESOURCE_EXHAUSTED while too many others are being exported.
func (s *Service) Gather(ctx context.Context, sel Selection) (*Outgoing, error) {
	select {
	case s.exporting <- struct{}{}:
	default:
		return nil, mlflow.Errorf(mlflow.ResourceExhausted, "%d bundles are being exported already; try again later.", maxExports)
	}
	o := &Outgoing{service: s, spools: map[string]*spool{}, owners: map[Owner]bool{}, only: map[int64][]string{}}
	err := o.gather(ctx, sel)
	if err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// Close removes the temporary files and makes room for another export. It is called once.
func (o *Outgoing) Close() {
	defer func() { <-o.service.exporting }()
	for _, s := range o.spools {
		_ = s.close()
	}
	for _, s := range []*spool{o.roots, o.index} {
		if s != nil {
			_ = s.close()
		}
	}
}

func (o *Outgoing) gather(ctx context.Context, sel Selection) (err error) {
	o.Manifest = Manifest{
		Format: Format, Kind: sel.Kind, CreatedMS: o.service.opts.Now().UnixMilli(), Schema: o.service.store.Schema(), MLflow: mlflow.Version,
		Rows: map[string]int64{},
	}
	if o.roots, err = newSpool(o.service.opts.TempDir); err != nil {
		return err
	}
	if o.index, err = newSpool(o.service.opts.TempDir); err != nil {
		return err
	}
	var located []place
	var versions []place
	total := int64(0)
	o.Manifest.ID, err = o.service.store.Export(ctx, sel, func(t *Table, row Row) error {
		if total++; total > o.service.opts.Limits.Rows {
			return tooLarge("rows", o.service.opts.Limits.Rows)
		}
		if t.Defines {
			owner, _ := t.owner(row)
			if o.owners[owner] = true; len(o.owners) > o.service.opts.Limits.Owners {
				return tooLarge("runs, models and traces", int64(o.service.opts.Limits.Owners))
			}
		}
		located = append(located, places(t, row)...)
		if t.Name == "model_versions" {
			owner, _ := t.owner(row)
			versions = append(versions, place{owner, versionURI(t, row)})
		}
		return o.put(t, row)
	})
	if err != nil {
		return err
	}
	if err := o.findRoots(located, versions); err != nil {
		return err
	}
	return o.findFiles(ctx)
}

func (o *Outgoing) put(t *Table, row Row) (err error) {
	s := o.spools[t.Name]
	if s == nil {
		if s, err = newSpool(o.service.opts.TempDir); err != nil {
			return err
		}
		o.spools[t.Name] = s
	}
	if o.row, err = appendRow(o.row[:0], t, row); err != nil {
		return err
	}
	if len(o.row) > o.service.opts.Limits.Row {
		return mlflow.Errorf(mlflow.InvalidState, "A row of %s has more than %d bytes and cannot be exported.", t.Name, o.service.opts.Limits.Row)
	}
	o.Manifest.Rows[t.Name]++
	return s.line(o.row)
}

// findRoots sorts out which locations lie in the server's own storage. Of a registered model's runs only the versions' files are carried.
func (o *Outgoing) findRoots(located, versions []place) error {
	byURI := map[string]int64{}
	add := func(p place) bool {
		if _, err := o.service.artifacts.Resolve(p.uri); err != nil {
			o.foreign(p.uri)
			return false
		}
		root := Root{N: int64(len(o.outRoots)), Class: p.owner.Class, ID: p.owner.ID, URI: p.uri}
		o.outRoots = append(o.outRoots, root)
		if _, taken := byURI[trim(p.uri)]; !taken {
			byURI[trim(p.uri)] = root.N
		}
		return true
	}
	for _, p := range located {
		if add(p) && (p.owner.Class == ClassExperiment || p.owner.Class == ClassRun && o.Manifest.Kind == KindModel) {
			o.only[int64(len(o.outRoots)-1)] = []string{}
		}
	}
	for _, v := range versions {
		if isReference(v.uri) {
			continue // by an id that is a root itself, or not of this server
		}
		n, rest, ok := within(byURI, v.uri)
		if !ok || o.outRoots[n].Class == ClassExperiment {
			add(v)
			continue
		}
		if only, some := o.only[n]; some {
			o.only[n] = append(only, rest)
		}
	}
	return nil
}

func (o *Outgoing) foreign(uri string) {
	o.Manifest.Foreign++
	if len(o.Manifest.ForeignSome) < 20 {
		o.Manifest.ForeignSome = append(o.Manifest.ForeignSome, mlflow.Truncate(uri, 500))
	}
}

// findFiles lists the artifact files of every root.
func (o *Outgoing) findFiles(ctx context.Context) error {
	for i := range o.outRoots {
		if err := o.walk(ctx, &o.outRoots[i]); err != nil {
			return err
		}
		line, err := json.Marshal(o.outRoots[i])
		if err != nil {
			return err
		}
		if err := o.roots.line(append(line, '\n')); err != nil {
			return err
		}
	}
	o.Manifest.Roots = int64(len(o.outRoots))
	return nil
}

func (o *Outgoing) walk(ctx context.Context, root *Root) error {
	repo, err := o.service.artifacts.Resolve(root.URI)
	if err != nil {
		return err
	}
	visit := func(info artifact.Info) error {
		root.Files++
		o.Manifest.Files++
		o.Manifest.Bytes += info.Size
		if o.Manifest.Files > o.service.opts.Limits.Files {
			return tooLarge("files", o.service.opts.Limits.Files)
		}
		line, err := json.Marshal(File{Root: root.N, Path: info.Path, Bytes: info.Size})
		if err != nil {
			return err
		}
		return o.index.line(append(line, '\n'))
	}
	only, some := o.only[root.N]
	if !some {
		return repo.Walk(ctx, "", visit)
	}
	slices.SortFunc(only, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	last := "\x00"
	for _, dir := range only {
		if dir == last || last == "" || strings.HasPrefix(dir, last+"/") {
			continue
		}
		last = dir
		if err := repo.Walk(ctx, dir, visit); err != nil {
			return err
		}
	}
	return nil
}

// WriteTo streams the bundle. What was written until an error is a cut-off bundle, which every import refuses. Returns ABORTED if an
// artifact was changed or removed meanwhile.
func (o *Outgoing) WriteTo(ctx context.Context, w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return err
	}
	out := &writer{tar: tar.NewWriter(z), chain: chain{sum: sha256.New()}, buffer: make([]byte, 256<<10)}
	err = o.write(ctx, out)
	if err == nil {
		err = out.tar.Close()
	}
	if err != nil {
		z.Reset(nil) // not Close: the end must not look like one
		return err
	}
	return z.Close()
}

func (o *Outgoing) write(ctx context.Context, out *writer) error {
	manifest, err := json.Marshal(o.Manifest)
	if err != nil {
		return err
	}
	if err := out.text(manifestName, manifest); err != nil {
		return err
	}
	for _, t := range o.service.tables {
		if s := o.spools[t.Name]; s != nil {
			if err := out.spool(rowsPrefix+t.Name+rowsSuffix, s); err != nil {
				return err
			}
		}
	}
	if err := out.spool(rootsName, o.roots); err != nil {
		return err
	}
	index, err := newSpool(o.service.opts.TempDir)
	if err != nil {
		return err
	}
	defer func() { _ = index.close() }()
	if err := o.writeFiles(ctx, out, index); err != nil {
		return err
	}
	if err := out.spool(indexName, index); err != nil {
		return err
	}
	end, err := json.Marshal(out.end())
	if err != nil {
		return err
	}
	return out.text(endName, end)
}

func (o *Outgoing) writeFiles(ctx context.Context, out *writer, index *spool) error {
	listed, err := o.index.read()
	if err != nil {
		return err
	}
	return lines(listed, maxMeta, func(line []byte) error {
		var f File
		if err := json.Unmarshal(line, &f); err != nil {
			return err
		}
		if err := o.writeFile(ctx, out, &f); err != nil {
			return err
		}
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		return index.line(append(line, '\n'))
	})
}

func (o *Outgoing) writeFile(ctx context.Context, out *writer, f *File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	repo, err := o.service.artifacts.Resolve(o.outRoots[f.Root].URI)
	if err != nil {
		return err
	}
	r, info, err := repo.Open(ctx, f.Path)
	if err == nil && info.Size != f.Bytes {
		err = errors.Join(mlflow.Errorf(mlflow.Aborted, "The artifact '%s' changed while it was exported.", f.Path), r.Close())
	}
	if err != nil {
		return err
	}
	defer r.Close()
	digest, err := out.stream(fileEntry(f.Root, f.Path), r, f.Bytes)
	f.SHA256 = hex.EncodeToString(digest)
	return err
}

// writer writes entries and keeps the chain.
type writer struct {
	tar *tar.Writer
	chain
	buffer []byte
}

func (w *writer) header(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatPAX})
}

func (w *writer) text(name string, content []byte) error {
	if err := w.header(name, int64(len(content))); err != nil {
		return err
	}
	digest := sha256.Sum256(content)
	w.add(name, int64(len(content)), digest[:])
	_, err := w.tar.Write(content)
	return err
}

func (w *writer) spool(name string, s *spool) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	_, err = w.stream(name, r, s.bytes)
	return err
}

// stream copies exactly size bytes.
func (w *writer) stream(name string, r io.Reader, size int64) ([]byte, error) {
	if err := w.header(name, size); err != nil {
		return nil, err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(w.tar, sum)}, onlyReader{io.LimitReader(r, size)}, w.buffer)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	digest := sum.Sum(nil)
	w.add(name, size, digest)
	return digest, err
}

// onlyWriter and onlyReader hide the faster ways that would not use our buffer.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
