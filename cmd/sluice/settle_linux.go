package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseProgram takes the program's own file out of the resident memory. Start-up goes once through most of it, as through the tables of types
// and functions, and Linux maps 64 KiB around each byte that is read, or 2 MiB where the page cache holds the file so, which it does when the
// file was just written by the linker; it would all stay. This unmaps those pages, no more: they remain in the page cache, and what is needed
// again is mapped again without a disk, some 200 times half a microsecond in all.
//
// Only mappings are released that are not writable and hold nothing but the file, so that nothing can be lost: where a debugger set a
// breakpoint, or the linker relocated, the mapping stays as it is. Tables come back in small pages, code in as large ones as the page cache
// has: that spares the processor's address translation.
func releaseProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	for _, m := range fileMappings(maps, program) {
		if !m.code {
			_ = m.advise(unix.MADV_NOHUGEPAGE) // a kernel without huge pages does not know it
		}
		if err := m.advise(unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("madvise: %w", err)
		}
	}
	return nil
}

// mapping is a range of addresses.
type mapping struct {
	from, to uintptr
	code     bool
}

func (m mapping) advise(advice uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, advice); errno != 0 {
		return errno
	}
	return nil
}

// fileMappings returns the read-only private mappings of the file at path of which no page is a copy, from the text of smaps (Linux,
// Documentation/filesystems/proc.rst): a line "from-to permissions offset device inode path", then a line "Name: value kB" of each figure.
func fileMappings(smaps []byte, path string) []mapping {
	var out []mapping
	var current mapping
	ours := false
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		if m, ok := header(s.Text(), path); ok {
			current, ours = m, m.to > m.from
			continue
		}
		if value, ok := strings.CutPrefix(s.Text(), "Anonymous:"); ok && ours && strings.TrimSpace(value) == "0 kB" {
			out = append(out, current)
		}
	}
	return out
}

// header says whether a line begins a mapping; the mapping is empty unless it is of the file, private and read-only.
func header(line, path string) (mapping, bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 || strings.HasSuffix(fields[0], ":") {
		return mapping{}, false
	}
	first, last, _ := strings.Cut(fields[0], "-")
	from, err := strconv.ParseUint(first, 16, 64)
	to, err2 := strconv.ParseUint(last, 16, 64)
	if err != nil || err2 != nil {
		return mapping{}, false
	}
	if _, name, ok := strings.Cut(line, fields[4]+" "); !ok || strings.TrimLeft(name, " ") != path {
		return mapping{}, true
	}
	switch fields[1] {
	case "r--p":
		return mapping{from: uintptr(from), to: uintptr(to)}, true
	case "r-xp":
		return mapping{from: uintptr(from), to: uintptr(to), code: true}, true
	}
	return mapping{}, true
}
