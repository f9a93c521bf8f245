package pyenv

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

const (
	maxHead = 64 << 10  // bytes of a build's output that are kept from the start,
	maxTail = 192 << 10 // and up to the end
	maxLine = 4 << 10
	maxWhy  = 2 << 10 // bytes of the output that an error repeats
)

// output collects what a build says, line by line, within bounds, without credentials. It is safe for concurrent use.
type output struct {
	line func(string) // told of every line, one after the other; may be nil

	mu      sync.Mutex
	partial []byte
	head    []byte
	tail    []byte
	full    bool // nothing goes to head any more
	cut     bool
}

// Write implements io.Writer; it never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			i = len(p)
		}
		if room := maxLine - len(o.partial); room > 0 {
			o.partial = append(o.partial, p[:min(i, room)]...)
		}
		if i == len(p) {
			break
		}
		o.flush()
		p = p[i+1:]
	}
	return n, nil
}

// flush ends the line under way. o.mu is held.
func (o *output) flush() {
	line := redact(strings.ToValidUTF8(strings.TrimRight(string(o.partial), "\r"), "�"))
	o.partial = o.partial[:0]
	o.full = o.full || len(o.head)+len(line) >= maxHead
	if !o.full {
		o.head = append(append(o.head, line...), '\n')
	} else {
		o.tail = append(append(o.tail, line...), '\n')
		if len(o.tail) > 2*maxTail {
			o.cut = true
			o.tail = append(o.tail[:0], o.tail[len(o.tail)-maxTail:]...)
		}
	}
	if o.line != nil {
		o.line(line)
	}
}

// say adds a line of our own.
func (o *output) say(format string, args ...any) { fmt.Fprintf(o, format+"\n", args...) }

// String is everything that was kept.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	gap := ""
	if o.cut {
		gap = "…\n"
	}
	return string(o.head) + gap + string(o.tail) + string(o.partial)
}

// end is the last lines, for an error.
func (o *output) end() string {
	text := strings.TrimSpace(o.String())
	if len(text) > maxWhy {
		text = "…" + strings.ToValidUTF8(text[len(text)-maxWhy:], "")
	}
	return text
}
