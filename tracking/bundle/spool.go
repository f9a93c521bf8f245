package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// spool is a temporary file that has no name any more: it goes with the process, however that ends.
type spool struct {
	file  *os.File
	w     *bufio.Writer
	sum   hash.Hash
	bytes int64
	lines int64
}

func newSpool(dir string) (*spool, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("temporary folder: %w", err)
		}
	}
	f, err := os.CreateTemp(dir, "sluice-bundle-")
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("temporary file: %w", err), f.Close())
	}
	return &spool{file: f, w: bufio.NewWriterSize(f, 256<<10), sum: sha256.New()}, nil
}

// line appends a line, which ends with a line feed.
func (s *spool) line(b []byte) error {
	s.bytes += int64(len(b))
	s.lines++
	s.sum.Write(b)
	_, err := s.w.Write(b)
	return err
}

// read returns what was written, from the start; line must not be called any more.
func (s *spool) read() (io.Reader, error) {
	if err := s.w.Flush(); err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	return io.NewSectionReader(s.file, 0, s.bytes), nil
}

func (s *spool) close() error { return s.file.Close() }

// lines calls visit with every line of r, without its line feed. A line of more than max bytes, or one that does not end, is an error.
func lines(r io.Reader, max int, visit func(line []byte) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	for {
		part, err := b.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if long = append(long, part...); len(long) > max {
				return broken("a line has more than %d bytes.", max)
			}
			continue
		case errors.Is(err, io.EOF) && len(part)+len(long) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return broken("its last line does not end.")
		case err != nil:
			return err
		}
		line := part
		if len(long) > 0 {
			line = append(long, part...)
		}
		if len(line) > max {
			return broken("a line has more than %d bytes.", max)
		}
		if err := visit(bytes.TrimSuffix(line, []byte{'\n'})); err != nil {
			return err
		}
		long = long[:0]
	}
}
