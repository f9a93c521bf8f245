package pyworker

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attributes puts a worker into a process group of its own and has it killed when the gateway ends, however that ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// sight is what one look at a process tells.
type sight struct {
	resident int64 // bytes
	stopped  bool  // by SIGSTOP, or by a debugger
}

// look reads /proc/PID/stat (source: proc_pid_stat(5): state is field 3, rss in pages field 24); false if the process is gone.
func look(pid int) (sight, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return sight{}, false
	}
	_, rest, ok := bytes.Cut(text[bytes.LastIndexByte(text, '(')+1:], []byte(") ")) // the name may hold anything
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 22 {
		return sight{}, false
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	if err != nil {
		return sight{}, false
	}
	return sight{resident: pages * int64(os.Getpagesize()), stopped: fields[0] == "T" || fields[0] == "t"}, true
}

// allocated is what counts against a process's RLIMIT_DATA (source: proc_pid_statm(5): data and stack, in pages, field 6); 0 if the process is gone.
func allocated(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 6 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[5], 10, 64)
	return pages * int64(os.Getpagesize())
}

// outOfMemoryKills counts the processes of this machine that the system has killed for want of memory (Linux 4.13 and newer, else 0).
func outOfMemoryKills() int64 {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
