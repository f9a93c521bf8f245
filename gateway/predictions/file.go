package predictions

import (
	"context"
	"io"
	"os"
	"sync"

	"sluice/tracking/artifact"
)

// blockBytes is what is read at once of a file that is not on this machine; maxBlocks of them are kept.
const (
	blockBytes = 512 << 10
	maxBlocks  = 16
)

// segmentFile reads a segment wherever it lies.
type segmentFile struct {
	io.ReaderAt
	size  int64
	close func()
}

// file opens the segment's file.
func (r *Reader) file(ctx context.Context, s Segment) (*segmentFile, error) {
	repo, err := r.artifacts.Resolve(s.ArtifactURI)
	if err != nil {
		return nil, err
	}
	if local, ok := repo.LocalPath(s.Place.Path); ok {
		f, err := os.Open(local)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		return &segmentFile{f, info.Size(), func() { f.Close() }}, nil
	}
	info, err := repo.Stat(ctx, s.Place.Path)
	if err != nil {
		return nil, err
	}
	remote := &remoteFile{ctx: ctx, repo: repo, path: s.Place.Path, size: info.Size, blocks: map[int64][]byte{}}
	return &segmentFile{remote, info.Size, func() {}}, nil
}

// remoteFile is a file of an artifact store that is read in blocks. It lives as long as one look, whose context it therefore keeps.
type remoteFile struct {
	ctx  context.Context
	repo *artifact.Repo
	path string
	size int64

	mu     sync.Mutex // guards blocks and order, and is held while a block is fetched
	blocks map[int64][]byte
	order  []int64 // of blocks, oldest first
}

// ReadAt implements io.ReaderAt.
func (f *remoteFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off+int64(n) < f.size {
		at := off + int64(n)
		b, err := f.block(at / blockBytes)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[at%blockBytes:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *remoteFile) block(number int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.blocks[number]; ok {
		return b, nil
	}
	from := number * blockBytes
	b := make([]byte, min(blockBytes, f.size-from))
	in, _, err := f.repo.OpenRange(f.ctx, f.path, from, int64(len(b)))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, err
	}
	if len(f.order) == maxBlocks {
		delete(f.blocks, f.order[0])
		f.order = f.order[1:]
	}
	f.blocks[number], f.order = b, append(f.order, number)
	return b, nil
}
