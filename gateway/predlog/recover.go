package predlog

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// badSuffix marks a segment file that cannot be read; it is kept for a person to look at and never delivered.
const badSuffix = ".bad"

// recover reads what an earlier life left in the directory: its spools become segments again, whatever segments a crash left half made, and
// finished segments wait for delivery.
func (l *Log) recover() error {
	spools, err := l.leftSpools()
	if err != nil {
		return err
	}
	files, err := os.ReadDir(l.segmentDir)
	if err != nil {
		return fmt.Errorf("predlog: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(l.segmentDir, f.Name())
		switch {
		case strings.HasSuffix(f.Name(), tempSuffix), spools[spoolOf(f.Name())]:
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("predlog: remove an unfinished segment: %w", err)
			}
		case strings.HasSuffix(f.Name(), segmentSuffix):
			if err := l.leftSegment(path); err != nil {
				return err
			}
		}
	}
	if n, m := len(l.st.spools), len(l.st.segments); n+m > 0 {
		l.opts.Logger.Info("prediction log recovered", slog.Int("spools", n), slog.Int("segments", m))
	}
	return nil
}

// leftSpools puts the spools in the directory into the state, oldest first, and returns their ids.
func (l *Log) leftSpools() (map[string]bool, error) {
	files, err := os.ReadDir(l.spoolDir)
	if err != nil {
		return nil, fmt.Errorf("predlog: %w", err)
	}
	ids := map[string]bool{}
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), spoolSuffix)
		if !ok || len(id) != idLen {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return nil, fmt.Errorf("predlog: %w", err)
		}
		ids[id] = true
		l.st.spools = append(l.st.spools, spool{id: id, path: filepath.Join(l.spoolDir, f.Name()), bytes: info.Size(), rows: -1})
		l.st.spoolBytes += info.Size()
	}
	return ids, nil
}

// leftSegment puts a finished segment into the state, or sets it aside if it cannot be read.
func (l *Log) leftSegment(path string) error {
	s, err := openSegment(path)
	if err != nil {
		l.fail("prediction segment set aside as unreadable", err, slog.String("path", path+badSuffix))
		if err := os.Rename(path, path+badSuffix); err != nil {
			return fmt.Errorf("predlog: set aside: %w", err)
		}
		return nil
	}
	l.st.segments = append(l.st.segments, pending{Segment: s})
	l.st.segBytes += s.Bytes
	return nil
}

// openSegment reads the footer of the segment file at path.
func openSegment(path string) (Segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return Segment{}, err
	}
	defer f.Close()
	var info fs.FileInfo
	if info, err = f.Stat(); err != nil {
		return Segment{}, err
	}
	return segmentOf(f, path, info.Size())
}
