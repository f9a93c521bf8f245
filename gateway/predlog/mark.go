package predlog

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// mark is the file that stands in the directory while the log is open, and that Close removes: found by Open, it tells of a life that was cut off.
type mark struct {
	life   uuid.UUID
	saved  time.Time // what was offered before is on disk, or counted as dropped
	atMost int64     // records that such an end may cost
}

const (
	markName  = "open"
	markMagic = "SLCOPN1\n"
	markBytes = len(markMagic) + 16 + 8 + 8
	savedAt   = len(markMagic) + 16
	// markEvery is how often the mark is moved on while nothing is offered, so that a gap does not begin before a quiet night.
	markEvery = 5 * time.Second
)

func (l *Log) markPath() string { return filepath.Join(l.dir, markName) }

func (m mark) encode() []byte {
	b := append(make([]byte, 0, markBytes), markMagic...)
	b = append(b, m.life[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.saved.UnixNano()))
	return binary.LittleEndian.AppendUint64(b, uint64(m.atMost))
}

// readMark reads the mark at path. One that is torn, as after a power failure, counts as old as its file and is a life of its own.
func readMark(path string) (mark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return mark{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return mark{}, err
	}
	if len(data) != markBytes || string(data[:len(markMagic)]) != markMagic {
		life, err := uuid.NewRandom()
		return mark{life: life, saved: info.ModTime()}, err
	}
	m := mark{saved: time.Unix(0, int64(binary.LittleEndian.Uint64(data[savedAt:]))), atMost: int64(binary.LittleEndian.Uint64(data[savedAt+8:]))}
	copy(m.life[:], data[len(markMagic):])
	return m, nil
}

// marker keeps the mark of this life. A disk that takes no mark leaves the older one: a gap then begins earlier, and still holds all that is missing.
// It is used by one goroutine at a time.
type marker struct {
	path string
	mark mark
	f    *os.File // nil until the file is there
}

// begin makes the file, in place of an earlier life's.
func (m *marker) begin() error {
	if err := writeDurably(m.path, m.mark.encode()); err != nil {
		return err
	}
	f, err := os.OpenFile(m.path, os.O_WRONLY, 0)
	m.f = f
	return err
}

// move says that what was offered before at is saved.
func (m *marker) move(at time.Time) {
	m.mark.saved = at
	if m.f == nil {
		if m.begin() != nil { // the next move tries again
			m.f = nil
		}
		return
	}
	m.f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(at.UnixNano())), int64(savedAt)) // if it fails, the older mark stands
}

// end removes the file: the life ended as it should.
func (m *marker) end() error {
	if m.f == nil {
		return nil
	}
	return errors.Join(m.f.Close(), os.Remove(m.path), syncDir(filepath.Dir(m.path)))
}

// writeDurably makes the file at path hold data, or leaves it as it was.
func writeDurably(path string, data []byte) error {
	temp := path + tempSuffix
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}
